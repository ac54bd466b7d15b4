"""What ai-edge-quantizer's files need to compute the same in every runtime, and inputs and outputs in uint8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exporter.formats._tflite_order import reorder
from exporter.model import Signature


def finish(model: bytes, interface: str, signatures: Mapping[str, Signature]) -> bytes:
    """Complete a quantized flatbuffer.

    - Dynamic activations become asymmetric, as TensorFlow's converter has them: TensorFlow Lite 2.19 computes something
      else (18 dB in place of 54) in a fully connected layer with a scale for each channel and symmetric activations.
    - Tensors that were added have the open lengths of those they were made from: LiteRT.js allocates by them.
    - With `interface` uint8, int8 inputs and outputs of signatures become uint8, by operations at the edges.
    - Inputs and outputs stand in the order of `signatures`, whatever was put in place of them.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    from exporter.formats._tflite_weights import parse

    parsed = parse(model)
    kinds = [max(int(c.builtinCode), int(c.deprecatedBuiltinCode)) for c in parsed.operatorCodes]
    casts = {schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE}
    for graph in parsed.subgraphs:
        for operator in graph.operators:
            options = operator.builtinOptions
            if hasattr(options, "asymmetricQuantizeInputs") and _is_hybrid(schema, graph, operator):
                options.asymmetricQuantizeInputs = True
            if kinds[operator.opcodeIndex] in casts:
                before, after = graph.tensors[int(operator.inputs[0])], graph.tensors[int(operator.outputs[0])]
                if after.shapeSignature is None:
                    after.shapeSignature, after.hasRank = before.shapeSignature, before.hasRank
    if interface == "uint8":
        for definition in parsed.signatureDefs:
            _unsigned(schema, parsed, definition)
    reorder(parsed, signatures)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _is_hybrid(schema: Any, graph: Any, operator: Any) -> bool:
    """Whether float activations meet integer weights."""
    given = [graph.tensors[int(i)].type for i in operator.inputs if int(i) >= 0]
    integers = {schema.TensorType.INT8, schema.TensorType.INT4}
    return given[0] == schema.TensorType.FLOAT32 and any(kind in integers for kind in given[1:])


def _unsigned(schema: Any, parsed: Any, definition: Any) -> None:
    """uint8 is int8 with a zero point that is 128 higher; QUANTIZE converts between them exactly."""
    graph = parsed.subgraphs[definition.subgraphIndex]
    code = _code(schema, parsed)
    for entry in _integers(schema, graph, definition.inputs):
        inner = int(entry.tensorIndex)
        outer = entry.tensorIndex = _twin(schema, graph, inner)
        graph.inputs = [outer if int(i) == inner else int(i) for i in graph.inputs]
        graph.operators = [_operation(schema, code, outer, inner), *graph.operators]
    for entry in _integers(schema, graph, definition.outputs):
        inner = int(entry.tensorIndex)
        outer = entry.tensorIndex = _twin(schema, graph, inner)
        graph.outputs = [outer if int(i) == inner else int(i) for i in graph.outputs]
        graph.operators = [*graph.operators, _operation(schema, code, inner, outer)]


def _integers(schema: Any, graph: Any, entries: Any) -> Iterator[Any]:
    for entry in entries:
        tensor = graph.tensors[int(entry.tensorIndex)]
        quantized = tensor.quantization is not None and tensor.quantization.scale is not None
        if tensor.type == schema.TensorType.INT8 and quantized:
            yield entry


def _twin(schema: Any, graph: Any, index: int) -> int:
    before, tensor, quantization = graph.tensors[index], schema.TensorT(), schema.QuantizationParametersT()
    tensor.name, tensor.type, tensor.buffer = before.name + b"/uint8", schema.TensorType.UINT8, 0
    tensor.shape, tensor.shapeSignature, tensor.hasRank = before.shape, before.shapeSignature, before.hasRank
    quantization.scale = before.quantization.scale
    quantization.zeroPoint = np.asarray(before.quantization.zeroPoint, np.int64) + 128
    tensor.quantization = quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _code(schema: Any, parsed: Any) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 2  # between integers
    parsed.operatorCodes.append(code)
    return len(parsed.operatorCodes) - 1


def _operation(schema: Any, code: int, before: int, after: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [before], [after]
    return operator
