"""Write the smallest artifacts there are: per format and dtype a model that returns its input, and a few more.

What a runtime says it can carry is proved with these: a tensor of random bits goes in and must come back bit for bit.
Deterministic; needs the packages `onnx` and `ai-edge-litert`. Run from the repository's root:
`python tests/vectors/make_identity.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tflite_files as tflite
from onnx import TensorProto, helper

HERE = Path(__file__).resolve().parent
IDENTITY = HERE / "identity"
MODELS = HERE / "models"

ONNX = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "uint16": TensorProto.UINT16,
    "int16": TensorProto.INT16,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "uint32": TensorProto.UINT32,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
    "uint64": TensorProto.UINT64,
    "int64": TensorProto.INT64,
    "float64": TensorProto.DOUBLE,
    "complex64": TensorProto.COMPLEX64,
    "string": TensorProto.STRING,
}
TFJS = {
    "bool": "DT_BOOL",
    "uint8": "DT_UINT8",
    "int8": "DT_INT8",
    "uint16": "DT_UINT16",
    "int16": "DT_INT16",
    "float16": "DT_HALF",
    "bfloat16": "DT_BFLOAT16",
    "uint32": "DT_UINT32",
    "int32": "DT_INT32",
    "float32": "DT_FLOAT",
    "uint64": "DT_UINT64",
    "int64": "DT_INT64",
    "float64": "DT_DOUBLE",
    "complex64": "DT_COMPLEX64",
    "string": "DT_STRING",
}


def write(path: Path, data: bytes | Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        path.write_text(json.dumps(data, indent=1) + "\n")


# --- ONNX -------------------------------------------------------------------------------------------------------


def onnx_identity(dtype: str) -> bytes:
    kind = ONNX[dtype]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", kind, ["batch", 3])],
        [helper.make_tensor_value_info("y", kind, ["batch", 3])],
    )
    # opset 16 is the first whose Identity takes bfloat16
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=10)
    model.producer_name = "exporter-vectors"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def onnx_minus() -> bytes:
    """`difference` = a - b and `same` = b, with the inputs and outputs listed in another order than their names'."""
    shape = ["batch", 2]
    names = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b", "difference", "same")
    }
    graph = helper.make_graph(
        [helper.make_node("Sub", ["a", "b"], ["difference"]), helper.make_node("Identity", ["b"], ["same"])],
        "minus",
        [names["b"], names["a"]],
        [names["same"], names["difference"]],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=10)
    model.producer_name = "exporter-vectors"
    return bytes(model.SerializeToString(deterministic=True))


# --- TF.js ------------------------------------------------------------------------------------------------------


def tfjs_identity(dtype: str) -> dict[str, Any]:
    """A graph model of one Placeholder and one Identity node; it has no weights, so no shard files."""
    kind = TFJS[dtype]
    shape = {"dim": [{"size": "-1"}, {"size": "3"}]}
    return {
        "format": "graph-model",
        "generatedBy": "exporter-vectors",
        "modelTopology": {
            "node": [
                {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": kind}, "shape": {"shape": shape}}},
                {"name": "y", "op": "Identity", "input": ["x"], "attr": {"T": {"type": kind}}},
            ],
            "library": {},
            "versions": {"producer": 1882},
        },
        "signature": {
            "inputs": {"x": {"name": "x:0", "dtype": kind, "tensorShape": shape}},
            "outputs": {"y": {"name": "y:0", "dtype": kind, "tensorShape": shape}},
        },
        "weightsManifest": [],
    }


def tfjs_layers_identity() -> dict[str, Any]:
    """A layers model whose one layer is a linear Activation."""
    layer = {"name": "y", "trainable": False, "dtype": "float32", "activation": "linear"}
    source = {"name": "x", "batch_input_shape": [None, 3], "dtype": "float32", "sparse": False}
    return {
        "format": "layers-model",
        "generatedBy": "exporter-vectors",
        "modelTopology": {
            "keras_version": "2.15.0",
            "backend": "tensorflow",
            "model_config": {
                "class_name": "Model",
                "config": {
                    "name": "identity",
                    "layers": [
                        {"class_name": "InputLayer", "name": "x", "config": source, "inbound_nodes": []},
                        {
                            "class_name": "Activation",
                            "name": "y",
                            "config": layer,
                            "inbound_nodes": [[["x", 0, 0, {}]]],
                        },
                    ],
                    "input_layers": [["x", 0, 0]],
                    "output_layers": [["y", 0, 0]],
                },
            },
        },
        "weightsManifest": [],
    }


def main() -> None:
    for dtype in ONNX:
        write(IDENTITY / "onnx" / f"{dtype}.onnx", onnx_identity(dtype))
        write(IDENTITY / "tflite" / f"{dtype}.tflite", tflite.identity(dtype))
        write(IDENTITY / "tfjs-graph" / dtype / "model.json", tfjs_identity(dtype))
    write(IDENTITY / "tfjs-layers" / "float32" / "model.json", tfjs_layers_identity())
    write(MODELS / "minus.onnx", onnx_minus())
    write(MODELS / "two-signatures.tflite", tflite.two_signatures())
    write(MODELS / "transpose.tflite", tflite.transpose())
    write(MODELS / "rows.tflite", tflite.rows())
    write(MODELS / "same-tensors.tflite", tflite.same_tensors())
    write(MODELS / "no-op.tflite", tflite.no_op())
    write(MODELS / "flatten.tflite", tflite.flatten(summed=True))
    write(MODELS / "flatten-output.tflite", tflite.flatten(summed=False))
    write(MODELS / "scalars.tflite", tflite.scalars())
    write(MODELS / "running-sum.tflite", tflite.running_sum())
    write(MODELS / "gather.tflite", tflite.gather())
    write(MODELS / "newer-op.tflite", tflite.one_op(version=99))
    write(MODELS / "custom-op.tflite", tflite.one_op(custom="AcmeTwice"))
    write(MODELS / "flex-op.tflite", tflite.one_op(custom="FlexErfinv"))
    write(MODELS / "no-signature.tflite", tflite.one_op(key=""))


if __name__ == "__main__":
    main()
