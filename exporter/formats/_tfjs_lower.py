"""Rewriting ops that TF.js 4.22 knows but computes wrongly, or lacks, into ones it computes right.

Each was found by running Keras operations in TF.js on the cpu and the wasm backend. A node keeps its name, so nothing
that reads it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exporter.formats import Refused
from exporter.formats._tfjs_graphdef import GraphDef, NodeDef, node_of

_WAY_OUT = "use saved-model or onnx"
_FLOAT, _INT32, _BOOL = 1, 3, 10


def lower(graph_def: GraphDef) -> tuple[str, ...]:
    """Rewrite a frozen graph in place and say in words what was rewritten.

    Raises:
        Refused: a node cannot be rewritten because shapes it depends on are dynamic.
    """
    watched = [n for n in graph_def.node if n.op in _RULES]
    if not watched:
        return ()
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    lowering = _Lowering(graph_def, graph)
    rewritten = []
    for node in watched:
        op = node.op
        what = _RULES[op](lowering, node)
        if what:
            rewritten.append(f"{op} {node.name!r} {what}")
    return tuple(rewritten)


class _Lowering:
    def __init__(self, graph_def: GraphDef, graph: Any) -> None:
        self._graph_def = graph_def
        self._graph = graph
        self.nodes: Mapping[str, NodeDef] = {n.name: n for n in graph_def.node}

    def shape(self, node: NodeDef, index: int) -> list[int | None] | None:
        """The static shape of an input, or None if not even its rank is known."""
        shape = self._graph.get_operation_by_name(node.name).inputs[index].shape
        return None if shape.rank is None else list(shape)

    def value(self, tensor: str) -> Any:
        """The value of a constant, or None for anything else."""
        from tensorflow.python.framework import tensor_util

        node = self.nodes.get(node_of(tensor))
        while node is not None and node.op == "Identity":
            node = self.nodes.get(node_of(node.input[0]))
        return None if node is None or node.op != "Const" else tensor_util.MakeNdarray(node.attr["value"].tensor)

    def add(self, op: str, name: str, inputs: list[str], **types: int) -> str:
        """Append a node with the given type attributes; returns its name."""
        node = self._graph_def.node.add(name=name, op=op, input=inputs)
        for attribute, dtype in types.items():
            node.attr[attribute].type = dtype
        return name

    def constant(self, name: str, value: Any, dtype: int) -> str:
        import tensorflow as tf

        node = self._graph_def.node.add(name=name, op="Const")
        node.attr["dtype"].type = dtype
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=tf.as_dtype(dtype)))
        return name

    def copy(self, node: NodeDef, name: str) -> NodeDef:
        """Append a copy of a node under another name; returns it."""
        new = self._graph_def.node.add()
        new.CopyFrom(node)
        new.name = name
        return new

    @staticmethod
    def become(node: NodeDef, op: str, inputs: list[str], attributes: tuple[str, ...] = ("T",)) -> None:
        node.op = op
        del node.input[:]
        node.input.extend(inputs)
        for name in [a for a in node.attr if a not in attributes]:
            del node.attr[name]


def _axis(lowering: _Lowering, node: NodeDef) -> str:
    """Cumsum and Cumprod: TF.js does not count a negative axis from the end."""
    axis, shape = lowering.value(node.input[1]), lowering.shape(node, 0)
    if axis is not None and axis >= 0:
        return ""
    if axis is None or shape is None:
        raise Refused(
            f"node {node.name!r}: TF.js {node.op} needs an axis counted from the front; use saved-model or onnx"
        )
    node.input[1] = lowering.constant(f"{node.name}/from_front", np.int32(axis + len(shape)), _INT32)
    node.attr["Tidx"].type = _INT32
    return "counts its axis from the front"


def _band(lowering: _Lowering, node: NodeDef) -> str:
    """MatrixBandPart: TF.js 4.22 reads the upper bound from the input of the lower one."""
    shape = lowering.shape(node, 0)
    bounds = [lowering.value(i) for i in node.input[1:3]]
    if shape is None or None in shape[-2:] or any(b is None for b in bounds):
        raise Refused(
            f"node {node.name!r}: TF.js confuses the bounds of MatrixBandPart (tril, triu), and the matrix' size or "
            f"its bounds are dynamic, so it cannot be rewritten; {_WAY_OUT}"
        )
    rows, columns = (int(d) for d in shape[-2:] if d is not None)
    lower_bound, upper_bound = (int(b) for b in bounds)
    offset = np.arange(rows)[:, None] - np.arange(columns)[None, :]
    mask = (lower_bound < 0) | (offset <= lower_bound)
    mask &= (upper_bound < 0) | (-offset <= upper_bound)
    dtype = node.attr["T"].type
    constant = lowering.constant(f"{node.name}/mask", mask, _BOOL)
    if dtype == _BOOL:
        lowering.become(node, "LogicalAnd", [constant, node.input[0]], ())
    else:
        zero = lowering.constant(f"{node.name}/zero", 0, dtype)
        lowering.become(node, "SelectV2", [constant, node.input[0], zero])
    return "became a selection by a constant mask"


def _long_strides(lowering: _Lowering, node: NodeDef) -> str:
    """Convolutions that pad to the same size, with strides so long that the last rows are not read.

    That is a negative padding to the wasm kernels, which then return zeros; TensorFlow pads by nothing.
    """
    strides, dilations = list(node.attr["strides"].list.i)[1:3], list(node.attr["dilations"].list.i)[1:3]
    shapes = lowering.shape(node, 0), lowering.shape(node, 1)
    if node.attr["padding"].s != b"SAME" or shapes[1] is None or None in shapes[1][:2]:
        return ""
    windows = [(int(k or 1) - 1) * d + 1 for k, d in zip(shapes[1][:2], dilations or (1, 1), strict=True)]
    if all(window >= stride or window == 1 for window, stride in zip(windows, strides, strict=True)):
        return ""
    sizes = shapes[0][1:3] if shapes[0] is not None else [None, None]
    if None in sizes:
        raise Refused(
            f"node {node.name!r}: strides {strides} beyond the kernel, over an image of unknown size, which TF.js pads "
            f"otherwise in its wasm backend; {_WAY_OUT}"
        )
    pads = [[0, 0]]
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        whole = max(0, (-(-int(size or 0) // stride) - 1) * stride + window - int(size or 0))
        pads.append([whole // 2, whole - whole // 2])
    widths = lowering.constant(f"{node.name}/widths", np.array([*pads, [0, 0]], np.int32), _INT32)
    node.input[0] = lowering.add("Pad", f"{node.name}/pad", [node.input[0], widths], T=_FLOAT, Tpaddings=_INT32)
    node.attr["padding"].s = b"VALID"
    return "with long strides pads apart"


def _transform_length(lowering: _Lowering, node: NodeDef) -> str:
    """RFFT and IRFFT: TF.js transforms all of its input, whatever length is asked for."""
    shape, length = lowering.shape(node, 0), lowering.value(node.input[1])
    size = shape[-1] if shape else None
    if size is not None and node.op == "IRFFT":
        size = 2 * (size - 1)
    if length is None or size is None or int(length.item()) != size:
        raise Refused(
            f"node {node.name!r}: TF.js ignores the length of {node.op}, which is not its input's; {_WAY_OUT}"
        )
    return ""


def _floor_division(lowering: _Lowering, node: NodeDef) -> str:
    """FloorDiv of floats: TF.js returns int32."""
    if node.attr["T"].type != _FLOAT:
        return ""
    quotient = lowering.add("RealDiv", f"{node.name}/quotient", list(node.input[:2]), T=_FLOAT)
    lowering.become(node, "Floor", [quotient])
    return "became Floor of a quotient"


def _sign_bit(lowering: _Lowering, node: NodeDef) -> str:
    """`bitcast(x, int32) & INT32_MIN < 0`, Keras' test for negative numbers and -0: x < 0 or 1/x < 0."""
    masked = lowering.nodes.get(node_of(node.input[0]))
    if masked is None or masked.op != "BitwiseAnd" or lowering.value(node.input[1]) != 0:
        return ""
    bits = lowering.nodes.get(node_of(masked.input[0]))
    if bits is None or bits.op != "Bitcast" or bits.attr["T"].type != _FLOAT:
        return ""
    if lowering.value(masked.input[1]) != np.iinfo(np.int32).min:
        return ""
    zero = lowering.constant(f"{node.name}/zero", 0.0, _FLOAT)
    one = lowering.constant(f"{node.name}/one", 1.0, _FLOAT)
    inverse = lowering.add("RealDiv", f"{node.name}/inverse", [one, bits.input[0]], T=_FLOAT)
    negative = lowering.add("Less", f"{node.name}/negative", [bits.input[0], zero], T=_FLOAT)
    below = lowering.add("Less", f"{node.name}/below", [inverse, zero], T=_FLOAT)
    lowering.become(node, "LogicalOr", [negative, below], ())
    return "of a sign bit became a comparison with zero"


def _reverse(lowering: _Lowering, node: NodeDef) -> str:
    """Booleans read backwards or in steps (masks): the wasm kernels take every element for 4 bytes of a float."""
    if node.attr["T"].type != _BOOL:
        return ""
    if node.op == "StridedSlice":
        steps = lowering.value(node.input[3])
        if steps is not None and (steps == 1).all():
            return ""
    inner = lowering.copy(node, f"{node.name}/numbers")
    inner.input[0] = lowering.add("Cast", f"{node.name}/cast", [node.input[0]], SrcT=_BOOL, DstT=_FLOAT)
    inner.attr["T"].type = _FLOAT
    lowering.become(node, "Cast", [inner.name], ())
    node.attr["SrcT"].type, node.attr["DstT"].type = _FLOAT, _BOOL
    return "of booleans became one of zeros and ones"


def _strided(lowering: _Lowering, node: NodeDef) -> str:
    """x[:, 1, ::2]: with steps TF.js does not find the place of an index that drops its dimension.

    So the steps come first, and the indices after them. Masks: bit i is about entry i of begin, end and strides.
    """
    indices, steps = node.attr["shrink_axis_mask"].i, lowering.value(node.input[3])
    if not indices or (steps is not None and (steps == 1).all()):
        return _reverse(lowering, node)
    if steps is None:
        raise Refused(f"node {node.name!r}: TF.js gets indices wrong where steps are dynamic; {_WAY_OUT}")
    stepped = lowering.copy(node, f"{node.name}/steps")
    stepped.attr["shrink_axis_mask"].i = 0
    rest = (1 << len(steps)) - 1 & ~indices & ~node.attr["ellipsis_mask"].i
    for mask in ("begin_mask", "end_mask"):
        stepped.attr[mask].i |= indices
        node.attr[mask].i = rest
    node.attr["new_axis_mask"].i = 0
    node.input[0] = stepped.name
    node.input[3] = lowering.constant(f"{node.name}/ones", np.ones(len(steps)), node.attr["Index"].type)
    also = _reverse(lowering, stepped)
    return "takes steps before indices" + (f", and {also}" if also else "")


def _to_boolean(lowering: _Lowering, node: NodeDef) -> str:
    """Cast to bool: the wasm kernel truncates to 8 bits first, so that 0.5 and 256 become false."""
    source, target = node.attr["SrcT"].type, node.attr["DstT"].type
    if target != _BOOL or source == _BOOL:
        return ""
    zero = lowering.constant(f"{node.name}/zero", 0, source)
    lowering.become(node, "NotEqual", [node.input[0], zero], ())
    node.attr["T"].type, node.attr["incompatible_shape_error"].b = source, True
    return "to bool became a comparison with zero"


def _select(lowering: _Lowering, node: NodeDef) -> str:
    """SelectV2 between booleans: the wasm kernel copies 4 bytes per element, beyond the tensor's end."""
    if node.attr["T"].type != _BOOL:
        return ""
    condition, yes, no = node.input
    negated = lowering.add("LogicalNot", f"{node.name}/not", [condition])
    first = lowering.add("LogicalAnd", f"{node.name}/yes", [condition, yes])
    second = lowering.add("LogicalAnd", f"{node.name}/no", [negated, no])
    lowering.become(node, "LogicalOr", [first, second], ())
    return "of booleans became logical operations"


def _one_hot(lowering: _Lowering, node: NodeDef) -> str:
    """OneHot: every backend ignores the axis, and the wasm kernel writes integers into a float tensor."""
    depth, shape, dtype = lowering.value(node.input[1]), lowering.shape(node, 0), node.attr["TI"].type
    axis = node.attr["axis"].i
    if depth is None or shape is None:
        raise Refused(
            f"node {node.name!r}: the depth or the rank of OneHot is dynamic, which TF.js gets wrong; {_WAY_OUT}"
        )
    axis = len(shape) if axis == -1 else axis
    levels = np.arange(int(depth)).reshape([-1 if i == axis else 1 for i in range(len(shape) + 1)])
    position = lowering.constant(f"{node.name}/axis", axis, _INT32)
    expanded = lowering.add("ExpandDims", f"{node.name}/indices", [node.input[0], position], T=dtype, Tdim=_INT32)
    values = lowering.constant(f"{node.name}/levels", levels, dtype)
    equal = lowering.add("Equal", f"{node.name}/equal", [expanded, values], T=dtype)
    lowering.become(node, "SelectV2", [equal, node.input[2], node.input[3]])
    return "became a comparison with every level"


_RULES: Mapping[str, Callable[[_Lowering, NodeDef], str]] = {
    "Cast": _to_boolean,
    "Conv2D": _long_strides,
    "Cumsum": _axis,
    "Cumprod": _axis,
    "DepthwiseConv2dNative": _long_strides,
    "FloorDiv": _floor_division,
    "IRFFT": _transform_length,
    "Less": _sign_bit,
    "MatrixBandPart": _band,
    "OneHot": _one_hot,
    "RFFT": _transform_length,
    "ReverseV2": _reverse,
    "SelectV2": _select,
    "StridedSlice": _strided,
}
