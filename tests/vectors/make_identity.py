"""Write the smallest artifacts there are: per format and dtype a model that returns its input, and a few more.

What a runtime says it can carry is proved with these: a tensor of random bits goes in and must come back bit for bit.
Deterministic; needs the packages `onnx` and `ai-edge-litert`. Run from the repository's root:
`python tests/vectors/make_identity.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
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
TFLITE = {name: getattr(schema.TensorType, name.upper()) for name in ONNX}
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


# --- TFLite -----------------------------------------------------------------------------------------------------


class TfliteFile:
    """Just enough of the TFLite schema to write single-op subgraphs by hand."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "exporter-vectors"
        self.model.buffers = [schema.BufferT()]  # buffer 0 is the empty one by convention
        self.model.operatorCodes = []
        self.model.subgraphs = []
        self.model.signatureDefs = []

    def subgraph(self) -> Any:
        graph = schema.SubGraphT()
        graph.name = f"graph{len(self.model.subgraphs)}"
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.subgraphs.append(graph)
        return graph

    def tensor(
        self, graph: Any, name: str, kind: int, shape: Sequence[int], values: np.ndarray[Any, Any] | None = None
    ) -> int:
        """Add a tensor; -1 marks a dynamic dimension, which the file also stores as 1, as converters do."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.hasRank = name, kind, True
        tensor.shape = [1 if dim < 0 else dim for dim in shape]
        if any(dim < 0 for dim in shape):
            tensor.shapeSignature = list(shape)
        tensor.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def op(
        self,
        graph: Any,
        code: int,
        inputs: Sequence[int],
        output: int,
        options: tuple[int, Any] | None = None,
        version: int = 1,
    ) -> None:
        known = [(c.builtinCode, c.version) for c in self.model.operatorCodes]
        if (code, version) not in known:
            operator_code = schema.OperatorCodeT()
            operator_code.builtinCode, operator_code.version = code, version
            operator_code.deprecatedBuiltinCode = min(code, 127)
            self.model.operatorCodes.append(operator_code)
            known.append((code, version))
        operator = schema.OperatorT()
        operator.opcodeIndex = known.index((code, version))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            operator.builtinOptionsType, operator.builtinOptions = options
        graph.operators.append(operator)

    def signature(self, key: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        def maps(names: Mapping[str, int]) -> list[Any]:
            result = []
            for name, index in names.items():
                entry = schema.TensorMapT()
                entry.name, entry.tensorIndex = name, index
                result.append(entry)
            return result

        definition = schema.SignatureDefT()
        definition.signatureKey = key
        definition.inputs, definition.outputs = maps(inputs), maps(outputs)
        definition.subgraphIndex = len(self.model.subgraphs) - 1
        self.model.signatureDefs.append(definition)

    def bytes(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def tflite_identity(dtype: str) -> bytes:
    """A reshape to its own shape: the one builtin that copies every dtype and leaves a dynamic batch alone."""
    file = TfliteFile()
    graph = file.subgraph()
    x = file.tensor(graph, "serving_default_x:0", TFLITE[dtype], (-1, 3))
    target = file.tensor(graph, "shape", schema.TensorType.INT32, (2,), np.array([-1, 3], "<i4"))
    y = file.tensor(graph, "StatefulPartitionedCall:0", TFLITE[dtype], (-1, 3))
    file.op(graph, schema.BuiltinOperator.RESHAPE, (x, target), y)
    graph.inputs, graph.outputs = [x], [y]
    file.signature("serving_default", {"x": x}, {"y": y})
    return file.bytes()


def tflite_two_signatures() -> bytes:
    """`twice` is x + x, `minus` is a - b with the signature's inputs in another order than the subgraph's."""
    file = TfliteFile()
    kind = schema.TensorType.FLOAT32
    graph = file.subgraph()
    x, y = (file.tensor(graph, name, kind, (-1, 2)) for name in ("x", "y"))
    file.op(graph, schema.BuiltinOperator.ADD, (x, x), y, (schema.BuiltinOptions.AddOptions, schema.AddOptionsT()))
    graph.inputs, graph.outputs = [x], [y]
    file.signature("twice", {"x": x}, {"y": y})

    graph = file.subgraph()
    b, a, d = (file.tensor(graph, name, kind, (-1, 2)) for name in ("b", "a", "difference"))
    file.op(graph, schema.BuiltinOperator.SUB, (a, b), d, (schema.BuiltinOptions.SubOptions, schema.SubOptionsT()))
    graph.inputs, graph.outputs = [b, a], [d]
    file.signature("minus", {"a": a, "b": b}, {"difference": d})
    return file.bytes()


def tflite_transpose() -> bytes:
    """float32[?,?,2] -> [2,?,?]: two dynamic dimensions that change places."""
    file = TfliteFile()
    graph = file.subgraph()
    x = file.tensor(graph, "x", schema.TensorType.FLOAT32, (-1, -1, 2))
    order = file.tensor(graph, "order", schema.TensorType.INT32, (3,), np.array([2, 1, 0], "<i4"))
    y = file.tensor(graph, "y", schema.TensorType.FLOAT32, (2, -1, -1))
    options = (schema.BuiltinOptions.TransposeOptions, schema.TransposeOptionsT())
    file.op(graph, schema.BuiltinOperator.TRANSPOSE, (x, order), y, options)
    graph.inputs, graph.outputs = [x], [y]
    file.signature("serving_default", {"x": x}, {"y": y})
    return file.bytes()


def tflite_rows() -> bytes:
    """float32[?,4] -> sum over axis 1, float32[?], and the input times two, float32[?,4]; outputs listed backwards."""
    file = TfliteFile()
    graph = file.subgraph()
    x = file.tensor(graph, "x", schema.TensorType.FLOAT32, (-1, 4))
    axis = file.tensor(graph, "axis", schema.TensorType.INT32, (1,), np.array([1], "<i4"))
    total = file.tensor(graph, "total", schema.TensorType.FLOAT32, (-1,))
    twice = file.tensor(graph, "twice", schema.TensorType.FLOAT32, (-1, 4))
    options = (schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT())
    file.op(graph, schema.BuiltinOperator.SUM, (x, axis), total, options)
    add = (schema.BuiltinOptions.AddOptions, schema.AddOptionsT())
    file.op(graph, schema.BuiltinOperator.ADD, (x, x), twice, add)
    graph.inputs, graph.outputs = [x], [twice, total]
    file.signature("serving_default", {"x": x}, {"total": total, "twice": twice})
    return file.bytes()


def tflite_flatten(*, summed: bool) -> bytes:
    """float32[?,2,3] flattened by a shape that is computed from the input, as Keras' Flatten is converted.

    The output is the sum over each row, or with `summed` off the flattened tensor itself.
    """
    file = TfliteFile()
    int32, float32 = schema.TensorType.INT32, schema.TensorType.FLOAT32
    op = schema.BuiltinOperator
    graph = file.subgraph()
    x = file.tensor(graph, "x", float32, (-1, 2, 3))
    shape = file.tensor(graph, "shape", int32, (3,))
    begin, end, step = (
        file.tensor(graph, name, int32, (1,), np.array([value], "<i4"))
        for name, value in (("begin", 0), ("end", 1), ("step", 1))
    )
    batch = file.tensor(graph, "batch", int32, ())
    width = file.tensor(graph, "width", int32, (), np.array(6, "<i4"))
    target = file.tensor(graph, "target", int32, (2,))
    flat = file.tensor(graph, "flat", float32, (-1, 6))
    shape_options = schema.ShapeOptionsT()
    shape_options.outType = int32
    slice_options = schema.StridedSliceOptionsT()
    slice_options.shrinkAxisMask = 1
    pack_options = schema.PackOptionsT()
    pack_options.valuesCount = 2
    file.op(graph, op.SHAPE, (x,), shape, (schema.BuiltinOptions.ShapeOptions, shape_options))
    file.op(graph, op.STRIDED_SLICE, (shape, begin, end, step), batch,
            (schema.BuiltinOptions.StridedSliceOptions, slice_options))  # fmt: skip
    file.op(graph, op.PACK, (batch, width), target, (schema.BuiltinOptions.PackOptions, pack_options))
    file.op(graph, op.RESHAPE, (x, target), flat)
    output = flat
    if summed:
        axis = file.tensor(graph, "axis", int32, (1,), np.array([1], "<i4"))
        output = file.tensor(graph, "total", float32, (-1,))
        options = (schema.BuiltinOptions.ReducerOptions, schema.ReducerOptionsT())
        file.op(graph, op.SUM, (flat, axis), output, options)
    graph.inputs, graph.outputs = [x], [output]
    file.signature("serving_default", {"x": x}, {"total" if summed else "flat": output})
    return file.bytes()


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
        write(IDENTITY / "tflite" / f"{dtype}.tflite", tflite_identity(dtype))
        write(IDENTITY / "tfjs-graph" / dtype / "model.json", tfjs_identity(dtype))
    write(IDENTITY / "tfjs-layers" / "float32" / "model.json", tfjs_layers_identity())
    write(MODELS / "minus.onnx", onnx_minus())
    write(MODELS / "two-signatures.tflite", tflite_two_signatures())
    write(MODELS / "transpose.tflite", tflite_transpose())
    write(MODELS / "rows.tflite", tflite_rows())
    write(MODELS / "flatten.tflite", tflite_flatten(summed=True))
    write(MODELS / "flatten-output.tflite", tflite_flatten(summed=False))


if __name__ == "__main__":
    main()
