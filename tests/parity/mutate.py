"""Damage to artifacts that loads and runs: what the comparison must find, one function per format and kind of damage.

A function takes the artifact's directory and changes files in it. `flip-N` changes the sign of the largest weight of
the N-th layer, `swap` exchanges the two equal-shaped outputs `left` and `right`, `dtype` answers in another dtype.
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

import numpy as np

LAYERS = 4  # weight matrices of the model: conv, hidden, left, right
Mutation = Callable[[Path], None]


def flip(weights: np.ndarray) -> np.ndarray:
    """The same weights, the largest with the other sign."""
    out = np.array(weights)
    out.reshape(-1)[np.argmax(np.abs(out))] *= -1
    return out


# -- Keras


def _datasets(file: Any) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    file.visititems(lambda name, item: found.update({name: item.shape}) if hasattr(item, "shape") else None)
    return found


def _h5_flip(file: Any, layer: int) -> None:
    names = sorted(name for name, shape in _datasets(file).items() if len(shape) > 1)
    assert len(names) == LAYERS, names
    file[names[layer]][...] = flip(file[names[layer]][...])


def _h5_swap(file: Any) -> None:
    """Exchange the two layers' weights. (Exchanging them in the configuration is none: Keras loads by position.)"""
    for shape in ((8, 3), (3,)):
        left, right = sorted(name for name, found in _datasets(file).items() if found == shape)
        file[left][...], file[right][...] = file[right][...], file[left][...]


def _keras(directory: Path, change_weights: Any = None, change_config: Any = None) -> None:
    import h5py

    path = directory / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change_weights:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            change_weights(file)
        members["model.weights.h5"] = buffer.getvalue()
    if change_config:
        config = json.loads(members["config.json"])
        change_config(config)
        members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _h5(directory: Path, change_weights: Any = None, change_config: Any = None) -> None:
    import h5py

    with h5py.File(directory / "model.h5", "r+") as file:
        if change_weights:
            change_weights(file)
        if change_config:
            config = json.loads(file.attrs["model_config"])
            change_config(config)
            file.attrs["model_config"] = json.dumps(config)


def _config_dtype(config: Any) -> None:
    layer = next(found for found in config["config"]["layers"] if found["name"] == "left")
    layer["config"]["dtype"]["config"]["name"] = "float16"


# -- SavedModel, in a process of its own because it needs TensorFlow

SAVED_MODEL = """
import os, shutil, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

def checkpoint(directory, change):
    prefix = directory + "/variables/variables"
    reader = tf.train.load_checkpoint(prefix)
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    change(tensors)
    names = sorted(tensors)
    values = [tf.constant(tensors[n]) for n in names]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)

def flip(layer):
    def change(tensors):
        names = sorted(n for n, v in tensors.items() if np.ndim(v) > 1)
        assert len(names) == 4, names
        value = np.array(tensors[names[layer]])
        value.reshape(-1)[np.argmax(np.abs(value))] *= -1
        tensors[names[layer]] = value
    return change

def swap(tensors):
    left, right = (sorted(n for n, v in tensors.items() if np.shape(v) == s) for s in ((8, 3), (3,)))
    for a, b in (left, right):
        tensors[a], tensors[b] = tensors[b], tensors[a]

def swap_signature(directory):
    path = directory + "/saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(open(path, "rb").read())
    outputs = model.meta_graphs[0].signature_def["serving_default"].outputs
    outputs["left"].name, outputs["right"].name = outputs["right"].name, outputs["left"].name
    open(path, "wb").write(model.SerializeToString())

def dtype(directory):
    module = tf.Module()
    module.inner = tf.saved_model.load(directory)
    inner = module.inner.signatures["serving_default"]
    spec = tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")
    module.f = tf.function(lambda image: {n: tf.cast(v, tf.float64) for n, v in inner(image=image).items()}, [spec])
    tf.saved_model.save(module, directory + ".new", signatures={"serving_default": module.f})
    shutil.rmtree(directory)
    os.rename(directory + ".new", directory)

for argument in sys.argv[1:]:
    kind, _, directory = argument.partition("=")
    if kind.startswith("flip-"):
        checkpoint(directory, flip(int(kind[5:])))
    elif kind == "swap":
        checkpoint(directory, swap)
    else:
        {"swap-signature": swap_signature, "dtype": dtype}[kind](directory)
"""


def saved_models(directories: Mapping[str, Path]) -> None:
    """Damage copies of one SavedModel: kind of damage -> directory. One TensorFlow import for all of them."""
    arguments = [f"{kind}={directory}" for kind, directory in directories.items()]
    argv = [sys.executable, "-c", textwrap.dedent(SAVED_MODEL), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


# -- ONNX


def _onnx(directory: Path, change: Callable[[Any], None]) -> None:
    import onnx

    model = onnx.load(str(directory / "model.onnx"))
    change(model)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(directory / "model.onnx"))


def _onnx_flip(model: Any, layer: int) -> None:
    from onnx import TensorProto, numpy_helper

    weights = [w for w in model.graph.initializer if w.data_type == TensorProto.FLOAT and len(w.dims) > 1]
    assert len(weights) == LAYERS
    weights[layer].CopyFrom(numpy_helper.from_array(flip(numpy_helper.to_array(weights[layer])), weights[layer].name))


def _onnx_swap(model: Any) -> None:
    other = {"left": "right", "right": "left"}
    for node in model.graph.node:
        node.output[:] = [other.get(name, name) for name in node.output]


def _onnx_dtype(model: Any) -> None:
    from onnx import TensorProto, helper

    for node in model.graph.node:
        node.output[:] = ["left32" if name == "left" else name for name in node.output]
    model.graph.node.append(helper.make_node("Cast", ["left32"], ["left"], to=TensorProto.DOUBLE))
    for value in model.graph.output:
        if value.name == "left":
            value.type.tensor_type.elem_type = TensorProto.DOUBLE


# -- TFLite


def _tflite(directory: Path, change: Callable[[Any], None]) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    path = directory / "model.tflite"
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))
    change(model)
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


def _tflite_flip(model: Any, layer: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    weights = [
        model.buffers[t.buffer]
        for t in model.subgraphs[0].tensors
        if t.type == schema.TensorType.FLOAT32 and len(t.shape) > 1 and model.buffers[t.buffer].data is not None
    ]
    assert len(weights) == LAYERS
    values = np.frombuffer(bytes(bytearray(weights[layer].data)), "<f4")
    weights[layer].data = np.frombuffer(flip(values).tobytes(), np.uint8)


def _tflite_swap(model: Any) -> None:
    left, right = (entry.tensorIndex for entry in model.signatureDefs[0].outputs)
    other = {left: right, right: left}
    for entry in model.signatureDefs[0].outputs:
        entry.tensorIndex = other[entry.tensorIndex]
    # by position as well: the order alone would give it away
    model.subgraphs[0].outputs = [other[int(i)] for i in model.subgraphs[0].outputs]


def _tflite_dtype(model: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    output = next(entry for entry in model.signatureDefs[0].outputs if entry.name == b"left")
    tensor = schema.TensorT()
    before = graph.tensors[output.tensorIndex]
    tensor.name, tensor.type, tensor.buffer = b"left_cast", schema.TensorType.INT32, 0
    tensor.shape, tensor.shapeSignature, tensor.hasRank = before.shape, before.shapeSignature, before.hasRank
    graph.tensors.append(tensor)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CAST
    code.version = 1
    model.operatorCodes.append(code)
    cast = schema.OperatorT()
    cast.opcodeIndex = len(model.operatorCodes) - 1
    cast.inputs, cast.outputs = [output.tensorIndex], [len(graph.tensors) - 1]
    graph.operators.append(cast)
    graph.outputs = [len(graph.tensors) - 1 if i == output.tensorIndex else i for i in graph.outputs]
    output.tensorIndex = len(graph.tensors) - 1


# -- TF.js


def _tfjs(directory: Path, change: Callable[[Any], None]) -> None:
    (path,) = directory.rglob("model.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _tfjs_flip(directory: Path, layer: int) -> None:
    (path,) = directory.rglob("model.json")
    (group,) = json.loads(path.read_text())["weightsManifest"]
    (shard,) = group["paths"]
    data = bytearray((path.parent / shard).read_bytes())
    position, weights = 0, []
    for weight in group["weights"]:
        size = 4 * int(np.prod(weight["shape"]))
        assert weight["dtype"] in ("float32", "int32")
        if weight["dtype"] == "float32" and len(weight["shape"]) > 1:
            weights.append((position, size))
        position += size
    assert position == len(data)
    assert len(weights) == LAYERS
    begin, size = weights[layer]
    data[begin : begin + size] = flip(np.frombuffer(bytes(data[begin : begin + size]), "<f4")).tobytes()
    (path.parent / shard).write_bytes(data)


def _graph_swap(document: Any) -> None:
    outputs = document["signature"]["outputs"]
    outputs["left"]["name"], outputs["right"]["name"] = outputs["right"]["name"], outputs["left"]["name"]


def _graph_dtype(document: Any) -> None:
    output = document["signature"]["outputs"]["left"]
    attributes = {"SrcT": {"type": "DT_FLOAT"}, "DstT": {"type": "DT_INT32"}, "Truncate": {"b": False}}
    node = {"name": "left_cast", "op": "Cast", "input": [output["name"].removesuffix(":0")], "attr": attributes}
    document["modelTopology"]["node"].append(node)
    output.update(name="left_cast:0", dtype="DT_INT32")


def _layers_swap(document: Any) -> None:
    (group,) = document["weightsManifest"]
    other = {"left": "right", "right": "left"}
    for weight in group["weights"]:
        layer, _, part = weight["name"].partition("/")
        weight["name"] = f"{other.get(layer, layer)}/{part}"


def _flips(change: Callable[[Path, int], None]) -> dict[str, Mutation]:
    return {f"flip-{i}": lambda directory, i=i: change(directory, i) for i in range(LAYERS)}  # type: ignore[misc]


MUTATIONS: dict[str, dict[str, Mutation]] = {
    "keras": {
        **_flips(lambda d, i: _keras(d, change_weights=lambda f: _h5_flip(f, i))),
        "swap": lambda d: _keras(d, change_weights=_h5_swap),
        "dtype": lambda d: _keras(d, change_config=_config_dtype),
    },
    "h5": {
        **_flips(lambda d, i: _h5(d, change_weights=lambda f: _h5_flip(f, i))),
        "swap": lambda d: _h5(d, change_weights=_h5_swap),
        "dtype": lambda d: _h5(d, change_config=_config_dtype),
    },
    "onnx": {
        **_flips(lambda d, i: _onnx(d, lambda m: _onnx_flip(m, i))),
        "swap": lambda d: _onnx(d, _onnx_swap),
        "dtype": lambda d: _onnx(d, _onnx_dtype),
    },
    "tflite": {
        **_flips(lambda d, i: _tflite(d, lambda m: _tflite_flip(m, i))),
        "swap": lambda d: _tflite(d, _tflite_swap),
        "dtype": lambda d: _tflite(d, _tflite_dtype),
    },
    "tfjs-graph": {
        **_flips(_tfjs_flip),
        "swap": lambda d: _tfjs(d, _graph_swap),
        "dtype": lambda d: _tfjs(d, _graph_dtype),
    },
    # a layers model has no way to answer in another dtype
    "tfjs-layers": {**_flips(_tfjs_flip), "swap": lambda d: _tfjs(d, _layers_swap)},
}
SAVED_MODEL_KINDS = (*(f"flip-{i}" for i in range(LAYERS)), "swap", "swap-signature", "dtype")
