"""Refusing, by node and with the reason, every graph that TF.js 4.22 cannot run or would compute differently."""

from __future__ import annotations

from typing import Any

from exporter.formats import Refused
from exporter.formats._tfjs_ops import EXPLAIN, GENERAL, KNOWN, LIMITS, MOVES_ONLY, SCALAR_INPUTS, TFJS_VERSION

_WAY_OUT = "use saved-model or onnx"

# tensorflow/core/framework/types.proto; a reference type is its value type plus 100
_DOUBLE = 2
_PLAIN = {
    1: "float32",
    3: "int32",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    20: "resource",
    21: "variant",
}
_SMALL = {4: "uint8", 6: "int8"}
_NAMES = {2: "float64", 5: "int16", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32"}
_NAMES |= {23: "uint64"}


def check(graph_def: Any) -> None:
    """Raise Refused for the first op, attribute or dtype of an optimised graph that TF.js does not honour."""
    for node in graph_def.node:
        if node.op not in KNOWN:
            explained = f" ({EXPLAIN[node.op]})" if node.op in EXPLAIN else ""
            raise _refused(node, f"TF.js {TFJS_VERSION} has no op {node.op}{explained}")
        _check_attributes(node)
        _check_dtypes(node)
    _check_shapes(graph_def)


def _refused(node: Any, reason: str) -> Refused:
    return Refused(f"node {node.name!r}: {reason}; {_WAY_OUT}")


def _check_attributes(node: Any) -> None:
    for limit in (*GENERAL, *LIMITS.get(node.op, ())):
        if limit.attribute in node.attr and not limit.holds(node.attr[limit.attribute]):
            raise _refused(node, f"TF.js {limit.why} ({node.op}, {limit.attribute})")
    for name, value in node.attr.items():
        if value.HasField("func") or value.list.func:
            raise _refused(node, f"{node.op} still calls a function ({name}) that could not be inlined")


def _check_dtypes(node: Any) -> None:
    for name, value in node.attr.items():
        for dtype in [value.type] if value.HasField("type") else value.list.type:
            if dtype in _PLAIN or node.op == "Const":
                continue
            if dtype in _SMALL:
                # a cast *from* eight bits is exact; a cast to them, or arithmetic, would wrap around
                if node.op in MOVES_ONLY or (node.op == "Cast" and name == "SrcT"):
                    continue
                raise _refused(node, f"{node.op} computes in {_SMALL[dtype]}, which TF.js keeps as int32")
            if dtype == _DOUBLE:
                raise _refused(node, f"{node.op} computes in float64 and TF.js only in float32")
            raise _refused(node, f"{node.op} uses {_NAMES.get(dtype, f'dtype {dtype}')}, which TF.js does not have")


def _check_shapes(graph_def: Any) -> None:
    """Limits that depend on ranks, which TensorFlow's own shape inference supplies."""
    watched = {"Select"} | set(SCALAR_INPUTS)
    if not any(n.op in watched for n in graph_def.node):
        return
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    for node in graph_def.node:
        if node.op not in watched:
            continue
        inputs = graph.get_operation_by_name(node.name).inputs
        for index in SCALAR_INPUTS.get(node.op, ()):
            if inputs[index].shape.rank != 0 and inputs[index].shape.num_elements() != 1:
                raise _refused(node, f"TF.js takes input {index} of {node.op} for a single number")
        if node.op == "Select" and inputs[0].shape.rank != inputs[1].shape.rank:
            raise _refused(node, "TF.js broadcasts the condition of Select along the last axis, not the first")
