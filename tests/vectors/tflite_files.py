"""The .tflite part of `make_identity.py`: files of a few ops, written by hand.

Why not converted models: a converter's output changes with its version, and it would never write what these are for
(an identity in every dtype, a subgraph whose order differs from its signature's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


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


def identity(dtype: str) -> bytes:
    """A reshape to its own shape: the one builtin that copies every dtype and leaves a dynamic batch alone."""
    file = TfliteFile()
    kind = getattr(schema.TensorType, dtype.upper())
    graph = file.subgraph()
    x = file.tensor(graph, "serving_default_x:0", kind, (-1, 3))
    target = file.tensor(graph, "shape", schema.TensorType.INT32, (2,), np.array([-1, 3], "<i4"))
    y = file.tensor(graph, "StatefulPartitionedCall:0", kind, (-1, 3))
    file.op(graph, schema.BuiltinOperator.RESHAPE, (x, target), y)
    graph.inputs, graph.outputs = [x], [y]
    file.signature("serving_default", {"x": x}, {"y": y})
    return file.bytes()


def two_signatures() -> bytes:
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


def transpose() -> bytes:
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


def rows() -> bytes:
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


def same_tensors() -> bytes:
    """Outputs that are inputs or share a tensor: `twice`, `again` = p + p; `sum` = p + p + q; `q`, `echo` = p; `p` = q.

    The subgraph lists its outputs in another order than the signature, and `other` is x + x in a subgraph of its own.
    """
    file = TfliteFile()
    kind = schema.TensorType.FLOAT32
    add = (schema.BuiltinOptions.AddOptions, schema.AddOptionsT())
    graph = file.subgraph()
    x, y = (file.tensor(graph, name, kind, (-1, 2)) for name in ("x", "y"))
    file.op(graph, schema.BuiltinOperator.ADD, (x, x), y, add)
    graph.inputs, graph.outputs = [x], [y]
    file.signature("other", {"x": x}, {"y": y})

    graph = file.subgraph()
    p, q, twice, total = (file.tensor(graph, name, kind, (-1, 2)) for name in ("p", "q", "twice", "sum"))
    file.op(graph, schema.BuiltinOperator.ADD, (p, p), twice, add)
    file.op(graph, schema.BuiltinOperator.ADD, (twice, q), total, add)
    graph.inputs, graph.outputs = [p, q], [p, total, q, twice, p, twice]
    outputs = {"q": p, "twice": twice, "sum": total, "again": twice, "p": q, "echo": p}
    file.signature("serving_default", {"p": p, "q": q}, outputs)
    return file.bytes()


def no_op() -> bytes:
    """float32[?,2] and float32[?,3], of which the second is the output."""
    file = TfliteFile()
    graph = file.subgraph()
    p, q = (file.tensor(graph, name, schema.TensorType.FLOAT32, (-1, size)) for name, size in (("p", 2), ("q", 3)))
    graph.inputs, graph.outputs = [p, q], [q]
    file.signature("serving_default", {"p": p, "q": q}, {"b": q})
    return file.bytes()


def flatten(*, summed: bool) -> bytes:
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


def scalars() -> bytes:
    """Two scalars, float32[] + float32[] -> float32[]."""
    file = TfliteFile()
    graph = file.subgraph()
    a, b, total = (file.tensor(graph, name, schema.TensorType.FLOAT32, ()) for name in ("a", "b", "sum"))
    options = (schema.BuiltinOptions.AddOptions, schema.AddOptionsT())
    file.op(graph, schema.BuiltinOperator.ADD, (a, b), total, options)
    graph.inputs, graph.outputs = [a, b], [total]
    file.signature("serving_default", {"a": a, "b": b}, {"sum": total})
    return file.bytes()


def one_op(*, version: int = 1, custom: str = "", key: str = "serving_default") -> bytes:
    """float32[?,2] -> float32[?,2] by one op that no runtime may be able to run: x + x in any version, or a custom op.

    Without a key the file has no signature.
    """
    file = TfliteFile()
    graph = file.subgraph()
    x, y = (file.tensor(graph, name, schema.TensorType.FLOAT32, (-1, 2)) for name in ("x", "y"))
    if custom:
        file.op(graph, schema.BuiltinOperator.CUSTOM, (x,), y, version=version)
        file.model.operatorCodes[0].customCode = custom
    else:
        options = (schema.BuiltinOptions.AddOptions, schema.AddOptionsT())
        file.op(graph, schema.BuiltinOperator.ADD, (x, x), y, options, version)
    graph.inputs, graph.outputs = [x], [y]
    if key:
        file.signature(key, {"x": x}, {"y": y})
    return file.bytes()


def running_sum() -> bytes:
    """float32[1,1,1] plus what the last run returned: a recurrent op, whose state outlives a run in its interpreter."""
    file = TfliteFile()
    kind = schema.TensorType.FLOAT32
    graph = file.subgraph()
    x = file.tensor(graph, "x", kind, (1, 1, 1))
    one, again = (file.tensor(graph, name, kind, (1, 1), np.ones((1, 1), "<f4")) for name in ("weight", "recurrent"))
    bias = file.tensor(graph, "bias", kind, (1,), np.zeros(1, "<f4"))
    state = file.tensor(graph, "state", kind, (1, 1))
    graph.tensors[state].isVariable = True
    y = file.tensor(graph, "y", kind, (1, 1, 1))
    options = (schema.BuiltinOptions.SequenceRNNOptions, schema.SequenceRNNOptionsT())
    file.op(graph, schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_RNN, (x, one, again, bias, state), y, options)
    graph.inputs, graph.outputs = [x], [y]
    file.signature("serving_default", {"x": x}, {"y": y})
    return file.bytes()


def gather() -> bytes:
    """int32[?] -> float32[?]: elements of (10, 11, 12) by index, which fails while it runs for any other index."""
    file = TfliteFile()
    graph = file.subgraph()
    table = file.tensor(graph, "table", schema.TensorType.FLOAT32, (3,), np.array([10, 11, 12], "<f4"))
    x = file.tensor(graph, "x", schema.TensorType.INT32, (-1,))
    y = file.tensor(graph, "y", schema.TensorType.FLOAT32, (-1,))
    options = (schema.BuiltinOptions.GatherOptions, schema.GatherOptionsT())
    file.op(graph, schema.BuiltinOperator.GATHER, (table, x), y, options)
    graph.inputs, graph.outputs = [x], [y]
    file.signature("serving_default", {"x": x}, {"y": y})
    return file.bytes()
