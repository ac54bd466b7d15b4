"""`run`, `compare` and `inspect` on every format, outside any bundle's bookkeeping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors

FORMATS = ("keras", "h5", "tfjs-layers", "saved-model", "tfjs-graph", "onnx", "tflite")
ROWS = np.array([[0, 1, 2, 3], [-1, 0.5, 0.25, 8], [1, 1, 1, 1]], np.float32)


def test_every_format_runs_and_agrees(cli: Any, every_format: Any) -> None:
    names = [name for name in FORMATS if name != "h5"]  # it would run exactly as keras does
    np.savez(cli.directory / "in.npz", features=ROWS)
    commands = []
    for name in names:
        # a SavedModel is asked for its signatures first, unless they are said; asking takes a TensorFlow
        more = ["--signature", "serving_default"] if name == "saved-model" else []
        artifact = every_format.root / "artifacts" / name
        commands.append(["run", artifact, "--inputs", "in.npz", "--outputs", f"{name}.npz", "--json", *more])
    ran = cli.together(*commands)
    for name, result in zip(names, ran, strict=True):
        assert result.json["outputs"] == [{"name": "scores", "dtype": "float32", "shape": [3, 3]}], name
        assert result.json["elapsed_ns"] > 0
        assert result.json["versions"]
    keras = np.load(cli.directory / "keras.npz")["scores"]
    assert np.allclose(keras.sum(axis=1), 1)
    for name in names[1:]:
        assert np.allclose(np.load(cli.directory / f"{name}.npz")["scores"], keras, rtol=1e-4, atol=1e-6), name
    same = cli("compare", "tflite.npz", "keras.npz", "--json").json
    assert (same["outcome"], same["code"]) == ("passed", "")
    assert same["outputs"]["scores"]["elements"] == 9


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".json", ".safetensors"])
def test_outputs_in_every_kind_of_file(cli: Any, small: Any, suffix: str) -> None:
    np.save(cli.directory / "in.npy", ROWS)
    artifact = small.root / "artifacts" / "onnx" / "model.onnx"
    result = cli("run", artifact, "--inputs", "in.npy", "--outputs", f"deep/out{suffix}", "--runtime", "onnxruntime")
    assert f"written to deep/out{suffix}" in result.out
    cli("run", artifact, "--inputs", "in.npy", "--outputs", "again.safetensors", "--quiet")
    assert cli("compare", f"deep/out{suffix}", "again.safetensors", "--json").json["outcome"] == "passed"


def test_files_without_names_or_dtypes_take_the_other_ones(cli: Any) -> None:
    expected = np.array([[0.1, 0.9], [0.5, 0.5]], np.float32)
    np.savez(cli.directory / "expected.npz", scores=expected)
    np.save(cli.directory / "got.npy", expected)
    (cli.directory / "got.json").write_text(json.dumps(expected.tolist()))
    for got in ("got.npy", "got.json"):
        assert "equal within tolerance" in cli("compare", got, "expected.npz").out
    np.save(cli.directory / "got.npy", expected.astype(np.float64))
    assert cli("compare", "got.npy", "expected.npz", "--json", status=1).json["code"] == "dtype"


def test_compare_says_what_differs_and_where(cli: Any) -> None:
    expected = np.arange(6, dtype=np.float32).reshape(2, 3)
    got = expected.copy()
    got[1, 2] += 1
    tensors.save(cli.directory / "expected.safetensors", {"a": expected, "b": expected})
    tensors.save(cli.directory / "got.safetensors", {"a": expected, "b": got})
    files = ["got.safetensors", "expected.safetensors"]
    found = cli("compare", *files, "--json", status=1).json
    assert found["outcome"] == "mismatched"
    assert found["reason"].startswith("b[1, 2] is 6.0, expected 5.0")
    assert found["outputs"]["b"]["worst_index"] == [1, 2]
    assert (found["outputs"]["b"]["worst_got"], found["outputs"]["b"]["worst_expected"]) == (6.0, 5.0)
    assert found["outputs"]["a"]["max_abs"] == 0
    assert "[1, 2]" in cli("compare", *files, status=1).out
    # a tolerance that is wide enough makes it pass, for that output alone
    cli("compare", *files, "--rtol", "b:0.3")
    cli("compare", *files, "--rtol", "a:0.3", status=1)
    assert "did you mean" not in cli("compare", *files, "--rtol", "zzz:0.3", status=2).err


@pytest.mark.parametrize(
    ("got", "code"),
    [
        ({"b": np.zeros((2, 3), np.float32)}, "names"),
        ({"a": np.zeros((2, 3), np.float64)}, "dtype"),
        ({"a": np.zeros((3, 2), np.float32)}, "shape"),
        ({"a": np.full((2, 3), np.nan, np.float32)}, "non-finite"),
    ],
)
def test_the_first_step_that_fails_decides(cli: Any, got: dict[str, np.ndarray], code: str) -> None:
    tensors.save(cli.directory / "expected.safetensors", {"a": np.zeros((2, 3), np.float32)})
    tensors.save(cli.directory / "got.safetensors", got)
    found = cli("compare", "got.safetensors", "expected.safetensors", "--json", status=1).json
    assert code in found["code"]


def test_two_artifacts_on_the_same_inputs(cli: Any, every_format: Any, small: Any) -> None:
    artifacts = every_format.root / "artifacts"
    np.savez(cli.directory / "in.npz", features=ROWS)
    same = cli("compare", artifacts / "tflite", artifacts / "onnx", "--inputs", "in.npz", "--json").json
    assert same["outcome"] == "passed"
    other = cli("compare", artifacts / "onnx", small.root / "artifacts" / "onnx", "--inputs", "in.npz", status=1)
    assert "outputs" in other.out  # another model, with another output


def test_unreadable_files(cli: Any, every_format: Any) -> None:
    for name in ("x.npz", "x.npy", "x.json", "x.safetensors"):
        (cli.directory / name).write_bytes(b"\x93nothing")
        result = cli("compare", name, name, status=1)
        assert f"{name} cannot be read" in result.err
    (cli.directory / "in.npz").write_bytes(b"")
    for name in ("model.onnx", "model.tflite"):
        (cli.directory / name).write_bytes(b"nothing like a model")
        result = cli("inspect", name, status=1)
        assert f"{name} cannot be read as" in result.err
    np.savez(cli.directory / "in.npz", features=ROWS)
    result = cli("run", "model.onnx", "--inputs", "in.npz", "--outputs", "out.npz", status=1)
    assert result.err.count("error: ") == 1
    assert not (cli.directory / "out.npz").exists()


OPS = {
    "keras": {"InputLayer": 1, "Dense": 2},
    "h5": {"InputLayer": 1, "Dense": 2},
    "tfjs-layers": {"InputLayer": 1, "Dense": 2},
    "saved-model": {"MatMul": 2, "Tanh": 1, "Softmax": 1},
    "tfjs-graph": {"Placeholder": 1},
    "onnx": {"MatMul": 2, "Tanh": 1, "Softmax": 1},
    "tflite": {"FULLY_CONNECTED": 2, "TANH": 1, "SOFTMAX": 1},
}


def test_inspect_every_format(cli: Any, every_format: Any) -> None:
    found = cli.together(*(["inspect", every_format.root / "artifacts" / n, "--json", "--quiet"] for n in FORMATS))
    for name, result in zip(FORMATS, found, strict=True):
        assert result.err == ""
        facts = result.json
        assert facts["format"] == name
        assert facts["bytes"] > 0
        assert all(facts["ops"][op] >= n for op, n in OPS[name].items()), (name, facts["ops"])
        (signature,) = facts["signatures"]
        (given,), (taken,) = signature["inputs"], signature["outputs"]
        assert (given["name"], given["dtype"], given["shape"]) == ("features", "float32", [None, 4]), name
        assert (taken["name"], taken["dtype"]) == ("scores", "float32"), name
        if name != "tfjs-layers":  # the file does not say
            assert taken["shape"][1:] == [3], name
        if name != "saved-model":  # its weights are apart
            assert facts["dtypes"]["float32"] >= 4 * (4 * 32 + 32 + 32 * 3 + 3), name


def test_inspect_keras_without_its_code(cli: Any, custom: Any) -> None:
    facts = cli("inspect", custom.root / "artifacts" / "keras", "--json").json
    assert facts["signatures"] == []
    assert facts["ops"]["Scale"] == 1
    assert facts["facts"]["needs the code of"] == "Scale"


def test_inspect_for_people(cli: Any, every_format: Any) -> None:
    out = cli("inspect", every_format.root / "artifacts" / "onnx" / "model.onnx").out
    assert "ONNX model" in out
    assert "features" in out
    assert "[?, 4]" in out
    assert "2 MatMul" in out


def test_inspect_a_bundle(cli: Any, every_format: Any) -> None:
    facts = cli("inspect", every_format.root, "--json").json
    assert facts["format"] == "bundle"
    assert facts["signatures"][0]["inputs"][0]["name"] == "features"
    assert all(f"{name} (written)" in facts["facts"]["artifacts"] for name in FORMATS)


def test_run_names_the_inputs_it_wants(cli: Any, every_format: Any, files: Path) -> None:
    np.savez(cli.directory / "in.npz", feature=ROWS)
    result = cli(
        "run", every_format.root / "artifacts" / "tflite", "--inputs", "in.npz", "--outputs", "o.npz", status=1
    )
    assert "did you mean 'features'?" in result.err
    np.savez(cli.directory / "in.npz", features=ROWS[:, :2])
    several = cli("run", files / "two", "--inputs", "in.npz", "--outputs", "o.npz", status=2)
    assert "2 signatures: one, other" in several.err
    assert "--signature" in several.err
