"""Rewriting TensorFlow ops that tf2onnx 1.17 lacks or translates into something else, before it sees them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from exporter.formats import Refused
from exporter.source.trace import lower_ops

_WAY_OUT = "use saved-model"
_STRING = 7
_SIGNED = {3, 5, 6, 9}  # int32, int16, int8, int64


def lower(graph_def: Any) -> tuple[Any, tuple[str, ...]]:
    """A graph that tf2onnx translates faithfully, and what was rewritten.

    Raises:
        Refused: a node that would compute something else cannot be rewritten.
    """
    rewritten = []
    if any(node.op == "Erfc" for node in graph_def.node):
        graph_def = lower_ops(graph_def)
        rewritten.append("Erfc written as 1 - Erf")
    out = tf.compat.v1.GraphDef()
    out.versions.CopyFrom(graph_def.versions)
    out.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        _check(node)
        if node.op in ("FloorDiv", "FloorMod") and node.attr["T"].type in _SIGNED:
            _floor(out, node)
            rewritten.append(f"{node.op} of integers rounded down, not towards zero")
        else:
            out.node.add().CopyFrom(node)
    return out, tuple(dict.fromkeys(rewritten))


def _check(node: Any) -> None:
    if node.op in ("Equal", "NotEqual") and node.attr["T"].type == _STRING:
        reason = "compares strings, which ONNX has from opset 19 on"
    elif node.op == "ResizeArea":
        reason = "averages areas, and tf2onnx takes the nearest value"
    else:
        return
    raise Refused(f"node {node.name!r} ({node.op}) {reason}; {_WAY_OUT}")


def _floor(graph: Any, node: Any) -> None:
    """FloorDiv and FloorMod of integers, which tf2onnx rounds towards zero: its remainder is brought to y's sign.

    A remainder that has that sign already, as TensorFlow's has, stays what it is.
    """
    x, y = node.input[:2]
    dtype, name = node.attr["T"].type, node.name
    zero = f"{name}/zero"
    constant = graph.node.add(name=zero, op="Const")
    constant.attr["dtype"].type = dtype
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0, dtype=tf.as_dtype(dtype)))
    rest = _add(graph, "FloorMod", f"{name}/rest", [x, y], dtype)
    signs = [
        _add(graph, op, f"{name}/{op}_{side}", [value, zero], dtype)
        for op, side, value in (
            ("Less", "rest", rest),
            ("Greater", "y", y),
            ("Greater", "rest", rest),
            ("Less", "y", y),
        )
    ]
    opposite = [_add(graph, "LogicalAnd", f"{name}/opposite_{i}", signs[i : i + 2]) for i in (0, 2)]
    wrong = _add(graph, "LogicalOr", f"{name}/wrong", opposite)
    moved = _add(graph, "AddV2", f"{name}/moved", [rest, y], dtype)
    if node.op == "FloorMod":
        _add(graph, "SelectV2", name, [wrong, moved, rest], dtype)
        return
    floor = _add(graph, "SelectV2", f"{name}/floor", [wrong, moved, rest], dtype)
    whole = _add(graph, "Sub", f"{name}/whole", [x, floor], dtype)
    _add(graph, "FloorDiv", name, [whole, y], dtype)


def _add(graph: Any, op: str, name: str, inputs: list[str], dtype: int | None = None) -> str:
    node = graph.node.add(name=name, op=op, input=inputs)
    if dtype is not None:
        node.attr["T"].type = dtype
    return name
