"""Sources that exist and cannot be used: one message that says what was found, and what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

MODELS = Path(__file__).with_name("models.py")


def truncated(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


def keras_1(source: Path, target: Path) -> None:
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        file.attrs["keras_version"] = "1.2.2"


def mislabelled(source: Path, target: Path) -> None:
    """A file of Keras 3 that says that Keras 2 wrote it."""
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        file.attrs["keras_version"] = "2.15.0"


def weights_only(source: Path, target: Path) -> None:
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        del file.attrs["model_config"]


def other_archive(source: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("readme.txt", "not a model")


FILES: dict[str, tuple[str, Callable[[Path, Path], None], list[str]]] = {
    "truncated.keras": ("functional.keras", truncated, ["is not a complete .keras file", "save or copy it again"]),
    "truncated.h5": ("functional.h5", truncated, ["is not a complete .h5 file", "truncated", "save or copy it again"]),
    "empty.keras": ("functional.keras", lambda source, target: target.touch(), ["(0 bytes)", "save or copy it again"]),
    "other.keras": ("functional.keras", other_archive, ["is not a complete .keras file", "metadata.json"]),
    "oldest.h5": ("functional.h5", keras_1, ["was written by Keras 1.2.2", "Keras 2.2", "save it again"]),
    "mislabelled.h5": ("functional.h5", mislabelled, ["cannot be loaded by tf_keras"]),
    "lambda.h5": ("lambda.h5", shutil.copy, ["holds code in its Lambda layer 'lambda'", "module.py:callable"]),
    "truncated-old.h5": ("old.h5", truncated, ["is not a complete .h5 file", "save or copy it again"]),
    "weights.h5": ("functional.h5", weights_only, ["holds weights but no model", "model.save"]),
    "custom.keras": ("custom.keras", shutil.copy, ["uses Scale, which Keras does not have", "--custom module.py"]),
}


@pytest.mark.parametrize("name", FILES)
def test_keras_file(cli: Any, files: Path, name: str) -> None:
    good, spoil, words = FILES[name]
    spoil(files / good, cli.directory / name)
    result = cli("convert", name, status=1)
    assert result.out == ""
    assert result.err.count("error: ") == 1
    assert name in result.err
    assert all(word in result.err for word in words), result.err


def test_directories_are_judged_at_once(cli: Any, files: Path) -> None:
    (cli.directory / "empty").mkdir()
    shutil.copytree(files / "unsigned", cli.directory / "served" / "17")
    assert "empty has no saved_model.pb" in cli("convert", "empty", status=1).err
    result = cli("convert", "served", status=1)
    assert "give the directory that holds saved_model.pb; served/17 has one" in result.err


def test_keras_2_without_tf_keras(cli: Any, files: Path) -> None:
    """The file is refused with the command that helps; a SavedModel needs tf_keras for Keras' own formats only."""
    (cli.directory / "without").mkdir()
    (cli.directory / "without" / "sitecustomize.py").write_text('import sys\nsys.modules["tf_keras"] = None\n')
    hidden = {"PYTHONPATH": f"{cli.directory / 'without'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    result = cli("convert", files / "old.h5", status=1, **hidden)
    assert result.err.count("error: ") == 1
    assert "old.h5 was written by Keras 2." in result.err
    assert "pip install --no-deps 'tf-keras==2.21.*'" in result.err  # that of the locked TensorFlow
    result = cli("convert", files / "old", "--to", "keras", "--to", "onnx", "--runtime", "keras", "--runtime",
                 "onnxruntime", status=1, **hidden)  # fmt: skip
    assert "refused: keras: the source is a SavedModel of Keras 2" in result.err
    assert "pip install --no-deps" in result.err
    assert "5 passed" in result.out


def test_tfjs_directories(cli: Any, every_format: Any) -> None:
    """Told before TensorFlow is started, and by the worker."""
    for name, change in {
        "graph": lambda document: document.update(format="graph-model"),
        "outside": lambda document: document["weightsManifest"][0]["paths"].insert(0, "../secret.bin"),
    }.items():
        shutil.copytree(every_format.root / "artifacts" / "tfjs-layers", cli.directory / name)
        file = cli.directory / name / "model.json"
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))
    expected = {
        "graph": ["is a TF.js graph model", "no Keras model can be made", "SavedModel"],
        "outside": ["'../secret.bin'", "outside the model's directory"],
    }
    for name, words in expected.items():
        result = cli("convert", name, status=1)
        assert result.out == ""
        assert result.err.count("error: ") == 1
        assert all(word in result.err for word in words), result.err


def test_what_only_tensorflow_can_tell(cli: Any, files: Path) -> None:
    """Each of these starts a source worker; the message still names the cause and the way on."""
    broken = cli.directory / "broken"
    shutil.copytree(files / "functional", broken)
    truncated(files / "functional" / "saved_model.pb", broken / "saved_model.pb")
    expected: list[tuple[list[object], list[str]]] = [
        ([broken], ["broken cannot be loaded", "save it again"]),
        ([files / "unsigned"], ["has no signatures", "tf.saved_model.save", "signatures="]),
        ([f"{MODELS}:raises"], ["raises() raised RuntimeError: the weights are elsewhere", f"{MODELS}, line "]),
        ([f"{MODELS}:integers"], ["codes: int32[?,2] takes integers", "--range codes:LOW:HIGH"]),
    ]
    results = cli.together(*(["convert", *arguments] for arguments, _ in expected), status=1)
    for result, (_, words) in zip(results, expected, strict=True):
        assert result.out == ""
        assert result.err.count("error: ") == 1
        assert all(word in result.err for word in words), result.err
    assert not list((cli.directory / "build").iterdir())


OPENED = """
import json, sys
from pathlib import Path
from exporter.errors import ExporterError
from exporter.source.opening import open_source

for number, spec in enumerate(json.loads(sys.argv[1])):
    staging = Path(sys.argv[2]) / str(number)
    staging.mkdir()
    try:
        open_source(spec, staging)
        print(json.dumps("opened"))
    except ExporterError as error:
        print(json.dumps(str(error)))
"""


def test_what_the_source_worker_says_of_more_sources(tmp_path: Path, files: Path) -> None:
    """One process for many: what a command prints of these errors was seen above."""
    module = {"kind": "callable", "path": str(MODELS)}
    model = {**module, "callable": "functional"}
    expected: list[tuple[dict[str, str], list[str]]] = [
        ({**module, "callable": "functionl"}, ["no callable 'functionl'", "did you mean 'functional'?"]),
        ({**module, "callable": "number"}, ["an instance of int", "expected a keras.Model or a tf.Module"]),
        ({**module, "callable": "unbuilt"}, ["was never called, so its input shapes are unknown", "tf.TensorSpec"]),
        ({**model, "signature": "serve"}, ["no signature 'serve'", "it has: serving_default"]),
        (
            {"kind": "saved-model", "path": str(files / "two"), "signature": "othr"},
            ["no signature 'othr'", "did you mean 'other'?", "it has: one, other"],
        ),
        ({**model, "inputs": f"{MODELS}:input"}, ["no callable 'input'", "did you mean 'inputs'?"]),
        ({**model, "inputs": f"{MODELS}:raises"}, ["raises() raised RuntimeError", f"{MODELS}, line "]),
        ({**model, "inputs": f"{MODELS}:number"}, ["an instance of int", "a dict of arrays by input name"]),
    ]
    arguments = [json.dumps([spec for spec, _ in expected]), str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", OPENED, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    for message, (_, words) in zip(said, expected, strict=True):
        assert all(word in message for word in words), message
