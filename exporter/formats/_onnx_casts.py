"""Casts between float16 and float32 around nodes that stay float32.

The converter puts a cast before and behind each such node on its own: two that read one tensor get the same cast twice,
which is no valid model, and what one hands to the next is rounded to float16 in between.
"""

from __future__ import annotations

from typing import Any

_UP, _DOWN = "_cast_to_fp32", "_cast_to_fp16"  # what the converter adds to the name of a tensor


def tidy_casts(model: Any) -> None:
    """Leave one cast of each tensor, and none where float32 nodes follow each other. Changes `model`."""
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
