"""Damage that no name shows: artifacts whose inputs or outputs are listed in another order, and right by name.

A function takes the artifact's directory and a side, `inputs` or `outputs`, and turns that side's order round.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Mutation = Callable[[Path, str], None]


def _keras(directory: Path, side: str) -> None:
    path = directory / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    _turn_layers(config, side)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _h5(directory: Path, side: str) -> None:
    import h5py

    with h5py.File(directory / "model.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        _turn_layers(config, side)
        file.attrs["model_config"] = json.dumps(config)


def _turn_layers(model: Any, side: str) -> None:
    """The inputs or outputs of a Keras model's configuration; the layers between are called by name."""
    model["config"][f"{side[:-1]}_layers"].reverse()


def _onnx(directory: Path, side: str) -> None:
    import onnx

    path = directory / "model.onnx"
    model = onnx.load(str(path))
    values = getattr(model.graph, side[:-1])
    turned = [type(v).FromString(v.SerializeToString()) for v in reversed(values)]
    del values[:]
    values.extend(turned)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))


def _tflite(directory: Path, side: str) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    path = directory / "model.tflite"
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))
    # the signature alone has no order for callers by index
    (graph,) = model.subgraphs
    setattr(graph, side, list(reversed([int(i) for i in getattr(graph, side)])))
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def _tfjs_graph(directory: Path, side: str) -> None:
    path, document = _document(directory)
    found = document["signature"][side]
    document["signature"][side] = dict(reversed(found.items()))
    path.write_text(json.dumps(document))


def _tfjs_layers(directory: Path, side: str) -> None:
    path, document = _document(directory)
    _turn_layers(document["modelTopology"]["model_config"], side)
    path.write_text(json.dumps(document))


def _document(directory: Path) -> tuple[Path, Any]:
    (path,) = directory.rglob("model.json")
    return path, json.loads(path.read_text())


MUTATIONS: dict[str, Mutation] = {
    "keras": _keras,
    "h5": _h5,
    "onnx": _onnx,
    "tflite": _tflite,
    "tfjs-graph": _tfjs_graph,
    "tfjs-layers": _tfjs_layers,
}
