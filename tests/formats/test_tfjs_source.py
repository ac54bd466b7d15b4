"""TF.js layers models that are broken: each is refused with what was found, and nothing outside of them is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import Input, Sequential
from keras import layers as L

from exporter.errors import ExporterError, SourceError
from exporter.formats.tfjs_layers import write
from exporter.source.loaders import from_keras
from exporter.source.tfjs_layers import load_tfjs
from exporter.source.tfjs_weights import read_weights
from exporter.source_spec import parse_source

Document = dict[str, Any]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small layers model in three shards."""
    directory = tmp_path_factory.mktemp("model")
    model = Sequential([Input((4,)), L.Dense(5, "relu", name="first"), L.Dense(2, name="second")])
    write(from_keras(model, tmp_path_factory.mktemp("staging")), directory, {"shard-size": "64B"})
    return {p.name: p.read_bytes() for p in directory.iterdir()}


def weight(document: Document, name: str = "first/kernel") -> Document:
    return next(w for w in document["weightsManifest"][0]["weights"] if w["name"] == name)


def layers(document: Document) -> list[Document]:
    return document["modelTopology"]["model_config"]["config"]["layers"]


def renamed_shard(path: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["weightsManifest"][0]["paths"][0] = path

    return change


def quantization(**how: Any) -> Callable[[Document], None]:
    return lambda document: weight(document).update(quantization=how)


def unknown_class(document: Document) -> None:
    layers(document)[1]["class_name"] = "Discombobulate"


def unknown_argument(document: Document) -> None:
    layers(document)[1]["config"]["wobble"] = 3


def other_units(document: Document) -> None:
    layers(document)[2]["config"]["units"] = 3


def one_weight_less(document: Document) -> None:
    document["weightsManifest"][0]["weights"][0]["name"] = "third/kernel"


def twice(document: Document) -> None:
    weight(document, "second/bias")["name"] = "first/bias"
    weight(document)["shape"] = [4, 5]


def of_keras_3(document: Document) -> None:
    document["modelTopology"]["keras_version"] = "3.5.0"


def as_graph(document: Document) -> None:
    document["format"] = "graph-model"


def loose_end(document: Document) -> None:
    layers(document)[2]["inbound_nodes"][0][0][0] = "nobody"


def no_layers(document: Document) -> None:
    del document["modelTopology"]["model_config"]["config"]["layers"]


# name -> (what is spoilt, the error's code, words of its message)
BROKEN: dict[str, tuple[Callable[[Document], None], str, list[str]]] = {
    "parent": (renamed_shard("../secret.bin"), "unsafe-path", ["'../secret.bin'", "outside the model's directory"]),
    "absolute": (renamed_shard("/etc/hostname"), "unsafe-path", ["'/etc/hostname'", "outside"]),
    "address": (renamed_shard("https://example.org/a.bin"), "unsafe-path", ["https://example.org/a.bin", "outside"]),
    "link": (renamed_shard("link.bin"), "unsafe-path", ["'link.bin'", "outside"]),
    "no path": (renamed_shard(7), "bad-manifest", ["a path is 7"]),  # type: ignore[arg-type]
    "missing": (renamed_shard("group9.bin"), "missing-weights", ["'group9.bin'", "no such file"]),
    "larger": (lambda d: weight(d).update(shape=[4, 6]), "weights-size", ["ends at byte 156", "hold 148"]),
    "negative": (lambda d: weight(d).update(shape=[4, -5]), "bad-manifest", ["'first/kernel'", "[4, -5]"]),
    "float8": (lambda d: weight(d).update(dtype="float8"), "bad-manifest", ["'float8'", "expected string, float32"]),
    "int4": (quantization(dtype="int4", scale=1, min=0), "bad-manifest", ["quantized to 'int4'"]),
    "no scale": (quantization(dtype="uint8", min=0.0), "bad-manifest", ["scale=None", "expected a finite number"]),
    "NaN scale": (quantization(dtype="uint8", scale=float("nan"), min=0.0), "bad-manifest", ["scale=nan"]),
    "unknown class": (unknown_class, "not-exact", ["layer 'first' (Discombobulate)", "no counterpart in Keras 3"]),
    "unknown argument": (unknown_argument, "not-exact", ["layer 'first' (Dense)", "wobble=3"]),
    "other shape": (other_units, "weights-shape", ["second/", "[5, 2]", "[5, 3]"]),
    "other name": (one_weight_less, "weights-names", ["'first/kernel' is missing", "'third/kernel' belongs to no"]),
    "two of a name": (twice, "bad-manifest", ["two weights are called 'first/bias'"]),
    "Keras 3": (of_keras_3, "keras-3-topology", ["Keras 3.5.0", "TF.js cannot load either", ".keras or .h5"]),
    "graph": (as_graph, "graph-model", ["graph model", "no Keras model", "SavedModel"]),
    "no topology": (lambda d: d.pop("modelTopology"), "not-a-tfjs-model", ["no modelTopology"]),
    "no weights": (lambda d: d.pop("weightsManifest"), "missing-weights", ["no weightsManifest"]),
    "loose end": (loose_end, "not-exact", ["nothing leads to 'second'"]),
    "no layers": (no_layers, "bad-topology", ["is not what Keras 2 writes", "'layers'"]),
    "manifest": (
        lambda d: d.update(weightsManifest={}),
        "bad-manifest",
        ["no list of groups"],
    ),
}


def spoilt(files: dict[str, bytes], directory: Path, change: Callable[[Document], Any]) -> Path:
    directory.mkdir()
    for name, data in files.items():
        (directory / name).write_bytes(data)
    (directory.parent / "secret.bin").write_bytes(b"\0" * 64)
    (directory / "link.bin").symlink_to(directory.parent / "secret.bin")
    document = json.loads(files["model.json"])
    change(document)
    (directory / "model.json").write_text(json.dumps(document))
    return directory / "model.json"


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said(name, files, tmp_path):
    change, code, words = BROKEN[name]
    with pytest.raises(SourceError) as error:
        load_tfjs(spoilt(files, tmp_path / "m", change))
    assert error.value.code == code
    assert all(word in str(error.value) for word in words), str(error.value)


def test_the_unspoilt_model_loads(files, tmp_path):
    translation, notes = load_tfjs(spoilt(files, tmp_path / "m", lambda document: None))
    assert [layer.name for layer in translation.model.layers[1:]] == ["first", "second"]
    assert notes == ()
    assert translation.model.count_params() == 37


def test_a_truncated_shard(files, tmp_path):
    path = spoilt(files, tmp_path / "m", lambda document: None)
    shard = path.parent / "group1-shard2of3.bin"
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(SourceError, match="ends at byte 148, and the weight files hold 145"):
        load_tfjs(path)


def test_no_json(tmp_path):
    (tmp_path / "model.json").write_text('{"modelTopology": ')
    with pytest.raises(SourceError, match="is not JSON") as error:
        parse_source(str(tmp_path))
    assert error.value.code == "unreadable-file"


@pytest.mark.parametrize("values", [[1.0, np.nan], [np.inf, 0.0]])
def test_what_is_no_number_is_no_weight(values, tmp_path):
    (tmp_path / "w.bin").write_bytes(np.array(values, np.float32).tobytes())
    manifest = [{"paths": ["w.bin"], "weights": [{"name": "w", "shape": [2], "dtype": "float32"}]}]
    with pytest.raises(SourceError, match="'w' holds 1 values that are NaN or infinite") as error:
        read_weights(tmp_path, manifest)
    assert error.value.code == "weights-not-finite"


def test_what_overflowed_in_float16_is_said(tmp_path):
    (tmp_path / "w.bin").write_bytes(np.array([1.0, np.inf], np.float16).tobytes())
    spec = {"name": "w", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}}
    with pytest.raises(SourceError, match="too large for float16"):
        read_weights(tmp_path, [{"paths": ["w.bin"], "weights": [spec]}])


def test_decoding_is_that_of_tfjs(tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes([0, 3, 255]) + np.array([1, 65535], "<u2").tobytes() + bytes([1, 0]))
    specs = [
        {"name": "a", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.1, "min": -1}},
        {"name": "b", "shape": [2], "dtype": "int32", "quantization": {"dtype": "uint16", "scale": 0.5, "min": -1.0}},
        {"name": "c", "shape": [2], "dtype": "bool"},
    ]
    found = read_weights(tmp_path, [{"paths": ["w.bin"], "weights": specs}])
    expected = np.array([v * 0.1 - 1 for v in (0, 3, 255)]).astype(np.float32)  # rounded once, as JavaScript does
    np.testing.assert_array_equal(found["a"], expected)
    assert found["b"].tolist() == [0, 32767]  # halves go up
    assert found["b"].dtype == np.int32
    assert found["c"].tolist() == [True, False]
    specs[1]["quantization"] = {"dtype": "uint16", "scale": 1e6, "min": 0}
    with pytest.raises(SourceError, match="beyond int32"):
        read_weights(tmp_path, [{"paths": ["w.bin"], "weights": specs}])


def test_the_kind_of_a_directory(files, tmp_path):
    path = spoilt(files, tmp_path / "m", lambda document: None)
    for text in (path, path.parent):
        found = parse_source(str(text))
        assert (found.kind, found.path, found.name) == ("tfjs", path, "m")
    (path.parent / "other.json").write_text("[]")
    with pytest.raises(ExporterError, match="no modelTopology"):
        parse_source(str(path.parent / "other.json"))
