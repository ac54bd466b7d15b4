"""exporter-tfjs-converter: the published converter's flags and spellings, one conversion of every pair of formats."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

MATRIX = pytest.mark.matrix  # `make test-matrix`


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    x = keras.Input((12,), name="x")
    y = layers.Dense(96, activation="relu", bias_initializer="normal", name="hidden")(x)
    y = layers.Dense(96, activation="tanh", bias_initializer="normal", name="wide")(y)
    return keras.Model(x, layers.Dense(5, activation="softmax", name="out")(y), name="net")


@pytest.fixture(scope="module")
def start(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.h5, net.keras, a SavedModel, and a layers model made by the command itself."""
    top = tmp_path_factory.mktemp("converter")
    model.save(top / "net.h5")
    model.save(top / "net.keras")
    model.export(top / "saved", verbose=False)
    return top


@pytest.fixture(scope="module")
def layers_model(converter: Any, start: Path) -> Path:
    done = converter("--input_format=keras", "--output_format=tfjs_layers_model", start / "net.h5", start / "web")
    assert done.out.startswith(f"wrote {start / 'web'}, confirmed in tfjs-node-cpu, tfjs-node-wasm")
    return start / "web" / "model.json"


def weight_bytes(document: Path) -> tuple[list[str], int]:
    """Names of the weight files, and their bytes together."""
    manifest = json.loads(document.read_text())["weightsManifest"]
    names = [name for group in manifest for name in group["paths"]]
    return names, sum((document.parent / name).stat().st_size for name in names)


def predicted(path: Path, rows: Any) -> Any:
    return keras.models.load_model(path).predict(rows, verbose=0)


def test_there_and_back_is_bit_exact(converter: Any, model: keras.Model, start: Path, layers_model: Path) -> None:
    back = start / "back.h5"
    converter("--input_format=tfjs_layers_model", "--output_format=keras", layers_model, back)
    rows = np.random.default_rng(0).normal(size=(7, 12)).astype(np.float32)
    np.testing.assert_array_equal(predicted(back, rows), model.predict(rows, verbose=0))


@pytest.mark.parametrize(
    "flag", ["--weight_shared_size_bytes", pytest.param("--weight_shard_size_bytes", marks=MATRIX)]
)
def test_shards_are_as_many_as_the_size_says(converter: Any, start: Path, layers_model: Path, flag: str) -> None:
    out = start / f"sharded{flag}"
    formats = ["--input_format=tf_layers_model", "--output_format=tf_layers_model"]
    done = converter(*formats, f"{flag}=10000", layers_model, out)
    names, total = weight_bytes(out / "model.json")
    assert total == weight_bytes(layers_model)[1] == 4 * (12 * 96 + 96 + 96 * 96 + 96 + 96 * 5 + 5)
    count = math.ceil(total / 10000)
    assert names == [f"group1-shard{k}of{count}.bin" for k in range(1, count + 1)]
    assert ("taken as --weight_shard_size_bytes" in done.err) == (flag == "--weight_shared_size_bytes")


@pytest.mark.parametrize(
    ("flags", "share"),
    [
        pytest.param(["--quantization_bytes=2"], 0.5, marks=MATRIX),
        pytest.param(["--quantization_bytes=1"], 0.25, marks=MATRIX),
        pytest.param(["--quantize_uint16"], 0.5, marks=MATRIX),
        pytest.param(["--quantize_float16=*"], 0.5, marks=MATRIX),
        pytest.param(["--quantize_uint8"], 0.25, marks=MATRIX),
        (["--quantize_uint8=wide/*"], 1 - 0.75 * (96 * 96 + 96) / (12 * 96 + 96 + 96 * 96 + 96 + 96 * 5 + 5)),
    ],
)
def test_quantized_weights(converter: Any, start: Path, layers_model: Path, flags: list[str], share: float) -> None:
    out = start / "-".join(flags).replace("*", "").replace("/", "")
    done = converter("--input_format=tfjs_layers_model", "--output_format=tfjs_layers_model", layers_model, out, *flags)
    assert weight_bytes(out / "model.json")[1] / weight_bytes(layers_model)[1] == pytest.approx(share, abs=0.01)
    assert ("is old" in done.err) == ("quantization_bytes" in flags[0])


@pytest.mark.parametrize("source", ["net.keras", *(pytest.param(s, marks=MATRIX) for s in ("web/model.json", "saved"))])
def test_graph_models(converter: Any, start: Path, layers_model: Path, source: str) -> None:
    kinds = {"net.keras": "keras", "web/model.json": "tfjs_layers_model", "saved": "tf_saved_model"}
    out = start / f"graph-{kinds[source]}"
    (start / "labels.json").write_text('["a", "b"]')
    metadata = f"--metadata=labels:{start / 'labels.json'}"
    converter(f"--input_format={kinds[source]}", "--output_format=tf_graph_model", metadata, start / source, out)
    document = json.loads((out / "model.json").read_text())
    assert document["format"] == "graph-model"
    assert document["userDefinedMetadata"] == {"labels": ["a", "b"]}


def test_defaults_are_those_of_the_published_converter(converter: Any, start: Path, layers_model: Path) -> None:
    converter(start / "saved", start / "by-default", "--signature_name=serve")
    assert json.loads((start / "by-default" / "model.json").read_text())["format"] == "graph-model"
    converter("--input_format=tfjs_layers_model", layers_model, start / "by-default.h5")
    assert (start / "by-default.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "INPUT_PATH and OUTPUT_PATH are expected"),
        (["--input_format=kers", "a", "b"], "did you mean 'keras'?"),
        (["--input_format=tf_frozen_model", "a", "b"], "has no signature"),
        (["--input_format=tf_saved_model", "--output_format=keras", "a", "b"], "is not converted to keras"),
        (["a", "b", "--quantize_uint8", "--quantization_bytes=1"], "give one of them"),
        (["--quantize_uint8", "a", "b"], "write --quantize_uint8=*"),
        (["--quantization_bytes=3", "a", "b"], "quantization_bytes"),
        (["--input_format=tfjs_layers_model", "--quantize_uint8=*", "a", "b.h5"], "no weight files"),
        (["--saved_model_tags=train", "a", "b"], "the tag serve only"),
    ],
)
def test_what_is_wrong_is_said(converter: Any, arguments: list[str], words: str) -> None:
    assert words in converter(*arguments, status=2).err


def test_nothing_is_written_where_the_source_is_broken(converter: Any, start: Path) -> None:
    (start / "broken").mkdir()
    (start / "broken" / "model.json").write_text("{")
    converter("--input_format=tfjs_layers_model", start / "broken" / "model.json", start / "none.h5", status=1)
    assert not (start / "none.h5").exists()


def test_what_is_in_the_way_of_the_output_is_said(converter: Any, start: Path, layers_model: Path) -> None:
    """Before the work where it can be known; where it cannot, nothing is left behind."""
    taken = start / "taken"
    taken.write_text("mine")
    for output in (taken, taken / "below"):
        said = converter("--input_format=keras", start / "net.h5", output, status=1).err
        assert f"{taken} exists and is not a directory" in said
    assert taken.read_text() == "mine"
    said = converter("--input_format=tfjs_layers_model", layers_model, start / "saved", status=1).err
    assert f"{start / 'saved'} is a directory" in said
    (start / "half" / "model.json").mkdir(parents=True)
    said = converter("--input_format=keras", "--no-verify", start / "net.h5", start / "half", status=1).err
    assert f"cannot write {start / 'half' / 'model.json'}: Is a directory" in said
    assert not [path for path in (start / "half").iterdir() if path.name.startswith(".")]


def test_versions(converter: Any) -> None:
    assert "exporter " in converter("--version").out
