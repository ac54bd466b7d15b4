"""Which layers join what an output is made of: in integers, all that goes through a concatenation shares one scale.

Boxes in pixels and scores in 0 to 1 that are joined in 255 steps leave nothing of the scores. What mends it is to keep
the layers from the concatenation to the output in float.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from exporter.formats import Refused
from exporter.selection import owners
from exporter.source.source import Source

_JOINING = frozenset({"ConcatV2", "Concat", "Pack"})
# what only hands on or rearranges numbers; in integers their scale is that of what goes in
_HANDING_ON = frozenset({"Identity", "Reshape", "Transpose", "Squeeze", "ExpandDims", "StridedSlice", "Pad", "PadV2"})


def find_joining_layers(source: Source) -> dict[str, dict[str, list[str]]]:
    """Signature -> output -> the layers from the last concatenation to the output, innermost ones.

    Outputs without a concatenation behind them are left out, and signatures whose graph cannot be frozen.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for signature in source.signatures:
        try:
            graph = source.frozen(signature, lower_control_flow=False)
        except Refused:
            continue
        layers = source.traced(signature).layers
        nodes = {node.name: node for node in graph.graph_def.node}
        for output, tensor in graph.outputs.items():
            names = _find_tail(nodes, tensor.partition(":")[0])
            owned = _find_innermost(owners([name], layers) for name in names)
            if owned:
                found.setdefault(signature, {})[output] = owned
    return found


def _find_tail(nodes: dict[str, Any], name: str) -> list[str]:
    """The operations from a concatenation to the one called `name`; none where there is another kind between."""
    tail = []
    while name in nodes:
        tail.append(name)
        node = nodes[name]
        if node.op in _JOINING:
            return tail[::-1]
        if node.op not in _HANDING_ON or not node.input:
            return []
        name = node.input[0].partition(":")[0]
    return []


def _find_innermost(groups: Iterable[set[str]]) -> list[str]:
    """Of each operation's layers those that hold no other of them, in order and once."""
    inner = [
        layer
        for group in groups
        for layer in sorted(group)
        if not any(other.startswith(f"{layer}/") for other in group)
    ]
    return list(dict.fromkeys(inner))
