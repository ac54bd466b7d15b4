"""ONNX models in float16: weights that are stored in it, or a whole graph that computes in it.

Stored weights are cast to float32 before they are used. A runtime does that once, when it loads the file, and computes
what it would with float32 weights; arithmetic in float16 is another matter in each version of ONNX Runtime (1.29 adds
up in float16 where 1.31 does in float32).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from exporter.formats import Refused
from exporter.formats._onnx_weights import graphs, weights
from exporter.formats._quantization import LARGEST_HALF
from exporter.tensors import Array

_LEAST = 2.0**-24  # of float16; the converter takes nothing smaller
_WIDENED = "_in_float32"
_UP, _DOWN = "_cast_to_fp32", "_cast_to_fp16"  # what the converter adds to the name of a tensor


def store_half(model: Any, excluded: Collection[str]) -> list[str]:
    """Store the constants of all nodes but `excluded` in float16, with a cast to float32 before each. Changes `model`.

    Numbers of no dimension stay: they are epsilons and limits, and take no room.

    Returns:
        What had to stay float32, in words: constants with values that float16 cannot hold.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = [node for graph in graphs(model.graph) for node in graph.node]
    exact = {name for node in nodes if node.name in excluded for name in node.input}
    renamed: dict[str, str] = {}
    stayed = []
    for graph in graphs(model.graph):
        casts = []
        for tensor in graph.initializer:
            if tensor.data_type != TensorProto.FLOAT or tensor.name in exact or not tensor.dims:
                continue
            values = numpy_helper.to_array(tensor)
            if _largest(values) > LARGEST_HALF:
                stayed.append(f"{tensor.name} stays float32: it holds {_largest(values):g}, and float16 ends at 65504")
                continue
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
            renamed[tensor.name] = tensor.name + _WIDENED
            casts.append(helper.make_node("Cast", [tensor.name], [tensor.name + _WIDENED], to=TensorProto.FLOAT))
        following = [type(node).FromString(node.SerializeToString()) for node in graph.node]
        del graph.node[:]
        graph.node.extend([*casts, *following])
    for graph in graphs(model.graph):
        for node in graph.node:
            if node.output[0] != renamed.get(node.input[0] if node.input else ""):
                node.input[:] = [renamed.get(name, name) for name in node.input]
    return stayed


def compute_half(model: Any, excluded: Collection[str]) -> Any:
    """The model with float32 inputs and outputs that computes in float16, but for the nodes named `excluded`.

    Raises:
        Refused: a constant has values that float16 cannot hold.
    """
    from onnx import TensorProto, numpy_helper
    from onnxruntime.transformers.float16 import convert_float_to_float16

    floats = weights(model)
    made = convert_float_to_float16(model, min_positive_val=_LEAST, keep_io_types=True, node_block_list=list(excluded))
    _tidy_casts(made)
    for graph in graphs(made.graph):
        _sort(graph)
    # the converter never rounds to zero, and cuts off what is too large without a word
    for graph in graphs(made.graph):
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.FLOAT16 and tensor.name in floats:
                values = floats[tensor.name].values
                if _largest(values) > LARGEST_HALF:
                    raise Refused(
                        f"{tensor.name} holds {_largest(values):g}, and float16 ends at 65504; use compute=float32"
                    )
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    return made


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0))


def _tidy_casts(model: Any) -> None:
    """Leave one cast of each tensor, and none where float32 nodes follow each other. Changes `model`.

    The converter puts a cast before and behind each node that stays float32 on its own: two that read one tensor get
    the same cast twice, which is no valid model, and what one hands to the next is rounded to float16 in between.
    """
    graph = model.graph
    names = {output for node in graph.node for output in node.output}
    seen: set[str] = set()
    kept = []
    direct = {}  # a tensor that was cast down and up again -> what it was before
    for node in graph.node:
        made = node.output[0] if node.output else ""
        if node.op_type == "Cast" and made.endswith(_UP):
            if made in seen:
                continue
            seen.add(made)
            before = made.removesuffix(_UP) + _DOWN
            if before in names:
                direct[made] = before
                continue
        kept.append(node)
    for node in kept:
        node.input[:] = [direct.get(name, name) for name in node.input]
    needed = {name for node in kept for name in node.input} | {output.name for output in graph.output}
    # a cast down that nothing reads any more
    kept = [n for n in kept if not (n.op_type == "Cast" and n.input[0].endswith(_DOWN) and n.output[0] not in needed)]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    infos = {info.name: info for info in graph.value_info if info.name not in direct}
    described = [type(info).FromString(info.SerializeToString()) for info in infos.values()]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(copies)
    graph.value_info.extend(described)


def _sort(graph: Any) -> None:
    """Put every node behind those whose outputs it reads, as ONNX demands and the converter leaves undone."""
    nodes = [type(node).FromString(node.SerializeToString()) for node in graph.node]
    missing = {name for node in nodes for name in node.output if name}  # an output that is left out has no name
    ordered = []
    while nodes:
        ready = [not missing & _read_by(node) for node in nodes]
        if not any(ready):
            raise ValueError(f"the nodes of the graph {graph.name!r} wait for each other")
        now = [node for node, able in zip(nodes, ready, strict=True) if able]
        ordered += now
        missing -= {name for node in now for name in node.output}
        nodes = [node for node, able in zip(nodes, ready, strict=True) if not able]
    del graph.node[:]
    graph.node.extend(ordered)


def _read_by(node: Any) -> set[str]:
    """The tensors that a node reads, also inside of its own graphs."""
    inner = (own for attribute in node.attribute if attribute.HasField("g") for own in graphs(attribute.g))
    return {*node.input, *(name for graph in inner for one in graph.node for name in one.input)}
