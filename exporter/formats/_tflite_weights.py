"""Stored weights of TensorFlow Lite flatbuffers as the float numbers they stand for, and back into a float flatbuffer.

Two gates of a quantized artifact start here: every weight lies within half a step of the source's, and the outputs
are those of the float model with these very weights. Quantization: schema.fbs of LiteRT, tables QuantizationParameters
(real = scale * (stored - zero_point)) and BlockwiseQuantization (scales in a tensor of their own, one per block along
the last axis). Four-bit values are packed two to a byte, the earlier one in the lower half.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exporter.formats._quantization import Weight, half
from exporter.model import Interface
from exporter.tensors import Array

Name = tuple[int, str]  # subgraph and tensor

_STORED = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
}


def original(name: Name) -> Name:
    """The tensor that ai-edge-quantizer made a copy of, where operations need it in different steps."""
    return name[0], re.sub(r"_duplicated_\d+$", "", name[1])


def label(name: Name) -> str:
    """A tensor's name in files of weights; a copy has what follows `~` more."""
    source = original(name)
    return f"{source[0]}/{source[1]}" + (f"~{name[1][len(source[1]) :]}" if name != source else "")


def parse(model: bytes) -> Any:
    """The flatbuffer as an object tree, with the buffers that lie behind it in the file."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    for buffer in parsed.buffers:
        if buffer.offset > 1:  # schema.fbs, table Buffer: 0 and 1 mean inside
            buffer.data = np.frombuffer(model, np.uint8, int(buffer.size), int(buffer.offset))
            buffer.offset = buffer.size = 0
    return parsed


# every recipe asks several things of its own file and of the float one, and parsing is what takes the time
@functools.lru_cache(maxsize=2)
def _read(model: bytes) -> Any:
    """As `parse`, for looking only: the tree is shared."""
    return parse(model)


@functools.lru_cache(maxsize=2)
def weights(model: bytes) -> Mapping[Name, Weight]:
    """All constant tensors that stand for real numbers; not to be changed, the next caller gets the same."""
    parsed = _read(model)
    found: dict[Name, Weight] = {}
    for name, tensor in _constants(parsed):
        weight = _weight(parsed, name[0], tensor)
        if weight is not None:
            found[_unused(name, found)] = weight
    return found


def _unused(name: Name, found: Mapping[Name, Weight]) -> Name:
    """The name, as that of one more copy where another tensor of the subgraph has it, which nothing forbids."""
    names = itertools.chain([name], ((name[0], f"{name[1]}_duplicated_{n}") for n in itertools.count()))
    return next(candidate for candidate in names if candidate not in found)


def with_weights(model: bytes, values: Mapping[Name, Array]) -> bytes:
    """A float flatbuffer with other values in the constants that `values` names."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = parse(model)
    for name, tensor in _constants(parsed):
        if name in values and _type_name(tensor) == "FLOAT32":
            data = np.ascontiguousarray(values[name], np.float32).reshape(-1).view(np.uint8)
            parsed.buffers[tensor.buffer].data = data
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def own_weights(float_model: bytes, quantized: bytes) -> bytes:
    """The float model with the weights that a quantized one of the same graph holds.

    Raises:
        ValueError: a weight of the quantized model is not in the float one.
    """
    ours, stored = weights(float_model), weights(quantized)
    values = {original(name): weight.values for name, weight in stored.items() if original(name) in ours}
    for name, weight in stored.items():
        if original(name) not in ours:
            # TFLiteConverter numbers what has no name, and another conversion counts differently
            place = _nearest(weight, {known: w for known, w in ours.items() if known not in values})
            if place is not None:
                values[place] = weight.values
            elif weight.step is not None and weight.values.size > 1:
                raise ValueError(f"the quantized file has a weight that the float one has not: {label(name)}")
    return with_weights(float_model, values)


def _nearest(weight: Weight, candidates: Mapping[Name, Weight]) -> Name | None:
    """The tensor that a weight stands for by its values: within half a step nearly everywhere."""
    for name, other in candidates.items():
        if other.values.size == weight.values.size:
            distance = np.abs(other.values.reshape(-1).astype(np.float64) - weight.values.reshape(-1))
            steps = np.zeros(()) if weight.step is None else weight.step.reshape(-1)
            if np.mean(distance <= 0.51 * steps + 1e-6 * np.abs(other.values.reshape(-1))) > 0.9:
                return name
    return None


def _constants(parsed: Any) -> Iterator[tuple[Name, Any]]:
    for number, graph in enumerate(parsed.subgraphs):
        # the scales of blocks are a part of the weight that has them
        scales = {tensor.quantization.details.scales for tensor in graph.tensors if _has_blocks(tensor)}
        for index, tensor in enumerate(graph.tensors):
            data = parsed.buffers[tensor.buffer].data
            if data is not None and len(data) and index not in scales:
                yield (number, tensor.name.decode()), tensor


def _type_name(tensor: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    return next(str(k) for k, v in vars(schema.TensorType).items() if v == tensor.type and not k.startswith("_"))


def _weight(parsed: Any, subgraph: int, tensor: Any) -> Weight | None:
    dtype = _type_name(tensor)
    data = np.frombuffer(bytes(parsed.buffers[tensor.buffer].data), np.uint8)
    shape = tuple(int(d) for d in tensor.shape) if tensor.shape is not None else ()
    stored = _stored(dtype, data, shape)
    if stored is None:
        return None
    if dtype == "FLOAT32":
        return Weight(dtype, stored, None)
    if dtype == "FLOAT16":
        return half(stored)
    found = _scale(parsed, subgraph, tensor, shape)
    if found is None:
        return None  # an index or a shape
    scale, zero = found
    return Weight(dtype, ((stored.astype(np.float64) - zero) * scale).astype(np.float32), np.broadcast_to(scale, shape))


def _stored(dtype: str, data: Array, shape: tuple[int, ...]) -> Array | None:
    if dtype in _STORED:
        found = data.view(_STORED[dtype])
        if found.size != np.prod(shape):
            raise ValueError(f"the file is invalid: a {dtype.lower()} constant {list(shape)} holds {found.size} values")
        return found.reshape(shape)
    if dtype == "INT4":
        low, high = (data & 0xF).astype(np.int8), (data >> 4).astype(np.int8)
        both = np.stack([low, high], axis=1).reshape(-1)[: int(np.prod(shape))]
        return np.where(both > 7, both - 16, both).astype(np.int8).reshape(shape)
    return None


def _scale(parsed: Any, subgraph: int, tensor: Any, shape: tuple[int, ...]) -> tuple[Array, Array] | None:
    """Scale and zero point, to be broadcast to the shape; None where the integers are no quantized numbers."""
    quantization = tensor.quantization
    if quantization is None:
        return None
    if _has_blocks(tensor):
        return _block_scale(parsed, subgraph, quantization.details, shape)
    if quantization.scale is None or not len(quantization.scale):
        return None
    scale = np.asarray(quantization.scale, np.float64)
    zero = np.asarray(quantization.zeroPoint, np.float64)
    if len(scale) == 1:
        return scale.reshape(()), zero.reshape(-1)[:1].reshape(())
    along = [1] * len(shape)
    along[quantization.quantizedDimension] = len(scale)
    return scale.reshape(along), (zero if len(zero) == len(scale) else np.zeros_like(scale)).reshape(along)


def _has_blocks(tensor: Any) -> bool:
    return tensor.quantization is not None and hasattr(tensor.quantization.details, "blockSize")


def _block_scale(parsed: Any, subgraph: int, details: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    tensor = parsed.subgraphs[subgraph].tensors[details.scales]
    data = np.frombuffer(bytes(parsed.buffers[tensor.buffer].data), np.uint8)
    scales = data.view(_STORED[_type_name(tensor)]).astype(np.float64).reshape(shape[0], -1)
    return np.repeat(scales, details.blockSize, axis=1).reshape(shape), np.zeros(())


def signature_tensors(parsed: Any, key: str) -> tuple[dict[str, int], dict[str, int], Any]:
    """Inputs and outputs of a signature by name, as tensor numbers, and their subgraph."""
    definition = next(s for s in parsed.signatureDefs if s.signatureKey.decode() == key)
    sides = ({m.name.decode(): int(m.tensorIndex) for m in side} for side in (definition.inputs, definition.outputs))
    inputs, outputs = sides
    return inputs, outputs, parsed.subgraphs[definition.subgraphIndex]


def interface(model: bytes, key: str) -> dict[str, Interface]:
    """Inputs and outputs of a signature that are quantized in the file."""
    parsed = _read(model)
    inputs, outputs, graph = signature_tensors(parsed, key)
    found = {}
    for name, number in {**inputs, **outputs}.items():
        tensor = graph.tensors[number]
        quantization = tensor.quantization
        if quantization is not None and quantization.scale is not None and len(quantization.scale) == 1:
            dtype = _type_name(tensor).lower()
            found[name] = Interface(dtype, float(quantization.scale[0]), int(quantization.zeroPoint[0]))
    return found


def output_steps(model: bytes, key: str) -> dict[str, float | None]:
    """Distance of neighbouring values of each output; None where the operation that makes it computes in float."""
    from ai_edge_litert import schema_py_generated as schema

    parsed = _read(model)
    _, outputs, graph = signature_tensors(parsed, key)
    makers = {int(number): operator for operator in graph.operators for number in operator.outputs}
    steps: dict[str, float | None] = {}
    for name, number in outputs.items():
        maker = makers.get(number)
        if maker is not None and _operation(parsed, maker) == schema.BuiltinOperator.DEQUANTIZE:
            number = int(maker.inputs[0])
        quantization = graph.tensors[number].quantization
        known = quantization is not None and quantization.scale is not None and len(quantization.scale) == 1
        steps[name] = float(quantization.scale[0]) if known else None
    return steps


def float_operations(model: bytes) -> dict[str, int]:
    """How many operations of each kind compute in float; those that only convert at the edges do not count."""
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    parsed = _read(model)
    found: dict[str, int] = {}
    for graph in parsed.subgraphs:
        for operator in graph.operators:
            name = names[_operation(parsed, operator)]
            kinds = {graph.tensors[int(i)].type for i in (*operator.inputs, *operator.outputs) if int(i) >= 0}
            if name not in ("QUANTIZE", "DEQUANTIZE") and schema.TensorType.FLOAT32 in kinds:
                found[name] = found.get(name, 0) + 1
    return found


def _operation(parsed: Any, operator: Any) -> int:
    code = parsed.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
