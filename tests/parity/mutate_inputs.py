"""Damage to the inputs of artifacts that load and run: another dtype, rank or name, and two inputs exchanged.

The model is `pair`: inputs `a` and `b`, float32 [?, 3]; where they are exchanged, outputs differ. A function takes the
artifact's directory and changes files in it. TFLite files are converted anew from the damaged SavedModel.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

KINDS = ("dtype", "rank", "name", "swap")
Json = Any

TENSORFLOW = """
import os, shutil, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf

def spec(name, dtype=tf.float32, shape=(None, 3)):
    return tf.TensorSpec(shape, dtype, name=name)

# kind -> what the damaged signature takes, and what the inner one is given for it
KINDS = {
    "dtype": ([spec("a", tf.float64), spec("b")], lambda a, b: (tf.cast(a, tf.float32), b)),
    "rank": ([spec("a", shape=(None, 3, 1)), spec("b")], lambda a, b: (tf.squeeze(a, -1), b)),
    "name": ([spec("other"), spec("b")], lambda a, b: (a, b)),
    "swap": ([spec("a"), spec("b")], lambda a, b: (b, a)),
}

def damage(directory, kind):
    specs, change = KINDS[kind]
    module = tf.Module()
    module.inner = tf.saved_model.load(directory)
    inner = module.inner.signatures["serving_default"]
    def call(first, second):
        a, b = change(first, second)
        return inner(a=a, b=b)
    module.f = tf.function(call, input_signature=specs)
    tf.saved_model.save(module, directory + ".new", signatures={"serving_default": module.f})
    shutil.rmtree(directory)
    os.rename(directory + ".new", directory)

made = {}
for argument in sys.argv[1:]:
    kind, saved_model, tflite = argument.split("=")
    damage(saved_model, kind)
    with open(tflite, "wb") as file:
        file.write(tf.lite.TFLiteConverter.from_saved_model(saved_model).convert())
"""


def saved_models(directories: Mapping[str, tuple[Path, Path]]) -> None:
    """Damage copies of one SavedModel, and write what each converts to: kind -> (directory, .tflite file)."""
    arguments = [f"{kind}={saved_model}={tflite}" for kind, (saved_model, tflite) in directories.items()]
    argv = [sys.executable, "-c", textwrap.dedent(TENSORFLOW), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


# -- ONNX


def _onnx(directory: Path, kind: str) -> None:
    import onnx
    from onnx import TensorProto, helper

    path = str(directory / "model.onnx")
    model = onnx.load(path)
    other = {"a": "b", "b": "a"} if kind == "swap" else {"a": "inner"}
    for node in model.graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]
    value = next(found for found in model.graph.input if found.name == "a")
    if kind == "dtype":
        value.type.tensor_type.elem_type = TensorProto.INT32
        model.graph.node.insert(0, helper.make_node("Cast", ["a"], ["inner"], to=TensorProto.FLOAT))
    elif kind == "rank":
        value.type.tensor_type.shape.dim.add().dim_value = 1
        model.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [1], [2]))
        model.graph.node.insert(0, helper.make_node("Squeeze", ["a", "axes"], ["inner"]))
    elif kind == "name":
        value.name = "inner"
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


# -- TF.js


def _document(directory: Path, change: Callable[[Json], None]) -> None:
    (path,) = directory.rglob("model.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _graph(document: Json, kind: str) -> None:
    inputs, nodes = document["signature"]["inputs"], document["modelTopology"]["node"]
    a, b = inputs["a"], inputs["b"]
    placeholder = a["name"].removesuffix(":0")
    if kind == "swap":
        a["name"], b["name"] = b["name"], a["name"]
    elif kind == "name":
        document["signature"]["inputs"] = {"other" if name == "a" else name: entry for name, entry in inputs.items()}
    else:
        for node in nodes:
            node["input"] = ["inner" if name == placeholder else name for name in node.get("input", ())]
        attributes: Json = {"T": {"type": "DT_FLOAT"}, "squeeze_dims": {"list": {"i": ["2"]}}}
        if kind == "dtype":
            attributes = {"SrcT": {"type": "DT_INT32"}, "DstT": {"type": "DT_FLOAT"}, "Truncate": {"b": False}}
            next(node for node in nodes if node["name"] == placeholder)["attr"]["dtype"] = {"type": "DT_INT32"}
            a["dtype"] = "DT_INT32"
        else:
            a["tensorShape"]["dim"].append({"size": "1"})
            next(node for node in nodes if node["name"] == placeholder)["attr"].pop("shape", None)
        op = {"dtype": "Cast", "rank": "Squeeze"}[kind]
        nodes.append({"name": "inner", "op": op, "input": [placeholder], "attr": attributes})


def _layers(document: Json, kind: str) -> None:
    text = json.dumps(document["modelTopology"])
    if kind == "name":
        document["modelTopology"] = json.loads(text.replace('"a"', '"other"'))
        return
    layers = document["modelTopology"]["model_config"]["config"]["layers"]
    if kind == "dtype":
        next(layer for layer in layers if layer["name"] == "a")["config"]["dtype"] = "int32"
        return
    for layer in layers:
        layer["inbound_nodes"] = _exchanged(layer["inbound_nodes"])


def _exchanged(value: Json) -> Json:
    if isinstance(value, list):
        return [_exchanged(item) for item in value]
    if isinstance(value, dict):
        return {key: _exchanged(item) for key, item in value.items()}
    return {"a": "b", "b": "a"}.get(value, value) if isinstance(value, str) else value


# -- Keras


def _keras(directory: Path, kind: str) -> None:
    path = directory / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    layers = config["config"]["layers"]
    if kind == "dtype":
        next(layer for layer in layers if layer["name"] == "a")["config"]["dtype"] = "float64"
    elif kind == "name":
        config = json.loads(json.dumps(config).replace('"a"', '"other"'))
    else:
        for layer in layers:
            layer["inbound_nodes"] = _exchanged(layer["inbound_nodes"])
    members["config.json"] = json.dumps(config).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    path.write_bytes(buffer.getvalue())


# format -> kind -> what damages its files; SavedModel and TFLite by `saved_models`
MUTATIONS: dict[str, dict[str, Callable[[Path], None]]] = {
    "onnx": {kind: lambda d, k=kind: _onnx(d, k) for kind in KINDS},  # type: ignore[misc]
    "tfjs-graph": {kind: lambda d, k=kind: _document(d, lambda m: _graph(m, k)) for kind in KINDS},  # type: ignore[misc]
    # another rank does not fit the layers that follow
    "tfjs-layers": {
        kind: lambda d, k=kind: _document(d, lambda m: _layers(m, k))  # type: ignore[misc]
        for kind in KINDS
        if kind != "rank"
    },
    "keras": {kind: lambda d, k=kind: _keras(d, k) for kind in KINDS if kind != "rank"},  # type: ignore[misc]
}
