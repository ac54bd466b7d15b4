"""Stored weights of quantized ONNX models as the float numbers they stand for, and back into a float model.

ONNX Runtime's quantizers keep the name of an initializer and add to it: `_quantized`, `_scale` and `_zero_point` for
integers, `_Q4`, `_scales` and `_zero_points` for MatMulNBits, whose rows are the columns of the matrix and hold two
values in a byte, the earlier in the lower half. Sources:
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html,
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exporter.formats._quantization import Weight, half
from exporter.tensors import Array

_QUANTIZED, _PACKED = "_quantized", "_Q4"
FLOAT_COPY = "~float"  # of a weight that is stored as integers as well; `~` marks copies in files of weights
_LAST_AXIS = {"MatMulInteger", "MatMul", "QLinearMatMul", "DynamicQuantizeLSTM"}


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def weights(model: Any) -> dict[str, Weight]:
    """All float initializers by their names in the float model."""
    import onnx

    named = {tensor.name: tensor for graph in graphs(model.graph) for tensor in graph.initializer}
    consumers = {name: node for graph in graphs(model.graph) for node in graph.node for name in node.input}
    found: dict[str, Weight] = {}
    scales: set[str] = set()
    for name, tensor in named.items():
        if name.endswith(_QUANTIZED):
            base = name.removesuffix(_QUANTIZED)
            # a bias has steps of its own kind: those of the input times those of the weight
            stem = base if base + "_scale" in named else name
            scales.add(stem + "_scale")
            scale, zero = (_array(named[stem + end]) for end in ("_scale", "_zero_point"))
            found[base] = _integers(_array(tensor), scale, zero, consumers.get(name))
        elif name.endswith(_PACKED):
            base = name.removesuffix(_PACKED)
            scales.add(base + "_scales")
            scale, zero = (_array(named[base + end]) for end in ("_scales", "_zero_points"))
            found[base] = _nibbles(_array(tensor), scale, zero, consumers[name])
    for name, tensor in named.items():
        if name in scales or name.endswith("_scale"):
            continue
        # a quantizer leaves the float tensor beside the integers where another operation reads it
        place = name + FLOAT_COPY if name in found else name
        if tensor.data_type == onnx.TensorProto.FLOAT:
            found[place] = Weight("FLOAT", _array(tensor), None)
        elif tensor.data_type == onnx.TensorProto.FLOAT16:
            found[place] = half(_array(tensor))
    return found


def own_weights(float_model: Any, quantized: Any) -> Any:
    """The float model with the weights that a quantized one of the same graph holds.

    Raises:
        ValueError: a weight of the quantized model is not in the float one.
    """
    import onnx

    stored = weights(quantized)
    missing = [name for name, weight in stored.items() if weight.step is not None and name not in _floats(float_model)]
    if missing:
        raise ValueError(f"the quantized file has weights that the float one has not: {missing[:3]}")
    copy = type(float_model).FromString(float_model.SerializeToString())
    for name, tensor in _floats(copy).items():
        if name in stored:
            values = stored[name].values.reshape(tuple(tensor.dims))
            # a single number of a loop has no dimension, and must not get one
            own = onnx.numpy_helper.from_array(np.asarray(values, np.float32, order="C"), name)
            if name + FLOAT_COPY in stored:
                _add_beside(copy, quantized, own)
            else:
                tensor.CopyFrom(own)
    return copy


def _add_beside(copy: Any, quantized: Any, own: Any) -> None:
    """Add a weight beside the float tensor of its name, for all operations but those that read that in the file."""
    name, own.name = own.name, own.name + "~stored"
    in_floats = {node.name for graph in graphs(quantized.graph) for node in graph.node if name in node.input}
    for graph in graphs(copy.graph):
        for node in graph.node:
            if node.name not in in_floats:
                node.input[:] = [own.name if given == name else given for given in node.input]
        if any(tensor.name == name for tensor in graph.initializer):
            graph.initializer.append(own)


def output_steps(model: Any) -> dict[str, float | None]:
    """Distance of neighbouring values of each output; None where the operation that makes it computes in float."""
    named = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    steps: dict[str, float | None] = {}
    for output in model.graph.output:
        maker = makers.get(output.name)
        scale = named.get(maker.input[1]) if maker is not None and maker.op_type == "DequantizeLinear" else None
        steps[output.name] = float(_array(scale).reshape(-1)[0]) if scale is not None else None
    return steps


def float_operations(model: Any) -> dict[str, int]:
    """How many operations of each kind give floats and have no integer input, of a model with pairs of Q and DQ."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    made = {name: node.op_type for graph in graphs(model.graph) for node in graph.node for name in node.output}
    found: dict[str, int] = {}
    for graph in graphs(model.graph):
        for node in graph.node:
            integers = any(made.get(name) == "DequantizeLinear" for name in node.input)
            floats = any(values.get(name) == onnx.TensorProto.FLOAT for name in node.output)
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear") and floats and not integers:
                found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


def _floats(model: Any) -> Mapping[str, Any]:
    import onnx

    return {
        tensor.name: tensor
        for graph in graphs(model.graph)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }


def _array(tensor: Any) -> Array:
    from onnx import numpy_helper

    return np.asarray(numpy_helper.to_array(tensor))


def _integers(stored: Array, scale: Array, zero: Array, consumer: Any) -> Weight:
    wide, steps = stored.astype(np.float64), scale.astype(np.float64)
    if steps.size > 1:
        along = [1] * wide.ndim
        along[_axis(consumer, wide.ndim)] = steps.size
        # a recurrent layer has a scale for each direction and gate
        along = [steps.shape[0], *along[1:]] if steps.ndim == 2 else along
        if steps.ndim == 2:
            along[-1] = steps.shape[1]
        steps = steps.reshape(along)
        zero = zero.reshape(along)
    values = (wide - zero.astype(np.float64)) * steps
    steps = np.broadcast_to(steps, values.shape)
    if consumer is not None and consumer.op_type == "DynamicQuantizeLSTM":
        values, steps = values.transpose(0, 2, 1), steps.transpose(0, 2, 1)
    return Weight(str(stored.dtype).upper(), values.astype(np.float32), steps)


def _axis(consumer: Any, rank: int) -> int:
    """The axis of the channels, each with a scale of its own."""
    if consumer is None:
        return 0
    for attribute in consumer.attribute:
        if attribute.name == "axis":
            return int(attribute.i) % rank
    if consumer.op_type == "DequantizeLinear":
        return 1 % rank
    return rank - 1 if consumer.op_type in _LAST_AXIS else 0


def _nibbles(stored: Array, scales: Array, zeros: Array, node: Any) -> Weight:
    given = {attribute.name: attribute.i for attribute in node.attribute}
    rows, size, block = int(given["N"]), int(given["K"]), int(given["block_size"])
    scales = scales.astype(np.float64).reshape(rows, -1)
    steps = np.repeat(scales, block, axis=1)[:, :size]
    zero = np.repeat(_unpacked(zeros, rows)[:, : scales.shape[1]], block, axis=1)[:, :size]
    values = (_unpacked(stored, rows)[:, :size] - zero) * steps
    return Weight("INT4", values.T.astype(np.float32), steps.T)


def _unpacked(stored: Array, rows: int) -> Array:
    """Two values of each byte, the earlier in its lower half."""
    return np.stack([stored & 0xF, stored >> 4], axis=-1).reshape(rows, -1).astype(np.float64)
