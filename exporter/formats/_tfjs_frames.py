"""Loops of a TF.js graph as TensorFlow wants them: a node inside of a loop reads nothing from outside but by an Enter.

A loop in the switch and merge form is a frame. TensorFlow holds the constants of its body inside by control edges,
which TF.js cannot take and which are removed for it (`_tfjs_graphdef.strip`), so that they end up outside of all loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exporter.formats._tfjs_graphdef import GraphDef, NodeDef, node_of

Frames = tuple[str, ...]  # the loops around a node, outermost first


def framed(graph_def: GraphDef) -> GraphDef:
    """A copy in which what a loop reads from outside goes through an Enter for each border that it crosses."""
    out = type(graph_def)()
    out.CopyFrom(graph_def)
    nodes = {node.name: node for node in out.node}
    inside, around = _frames(nodes)
    if not any(inside.values()):
        return out
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    for node in list(nodes.values()):
        for index, tensor in enumerate(node.input):
            dtype = graph.get_tensor_by_name(tensor if ":" in tensor else f"{tensor}:0").dtype
            for frame in inside[node.name][len(around[node_of(tensor)]) :]:
                name = f"{tensor.replace(':', '_')}/into/{frame}"
                if name not in nodes:
                    nodes[name] = out.node.add(name=name, op="Enter", input=[tensor])
                    nodes[name].attr["T"].type = dtype.as_datatype_enum
                    nodes[name].attr["frame_name"].s = frame.encode()
                    nodes[name].attr["is_constant"].b = True
                tensor = name
            node.input[index] = tensor
    return out


def _frames(nodes: Mapping[str, NodeDef]) -> tuple[dict[str, Frames], dict[str, Frames]]:
    """The loops that each node reads its inputs in, and those that its outputs are in."""
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    enters: dict[str, list[str]] = {}
    for node in nodes.values():
        for tensor in node.input:
            readers[node_of(tensor)].append(node.name)
        if node.op == "Enter":
            enters.setdefault(_frame_of(node), []).append(node.name)
    inside: dict[str, Frames] = dict.fromkeys(nodes, ())
    around: dict[str, Frames] = dict.fromkeys(nodes, ())
    pending = list(nodes)
    while pending:
        name = pending.pop()
        node = nodes[name]
        # one input that is in the innermost loop tells; others may be constants
        found = _longest(around[node_of(tensor)] for tensor in node.input)
        if node.op == "Enter":
            found = _longest([found, *(inside[other] for other in enters[_frame_of(node)])])
        made = _made(node, found)
        if (found, made) != (inside[name], around[name]):
            inside[name], around[name] = found, made
            pending += readers[name] + (enters[_frame_of(node)] if node.op == "Enter" else [])
    return inside, around


def _made(node: NodeDef, inside: Frames) -> Frames:
    if node.op == "Enter":
        return (*inside, _frame_of(node))
    return inside[:-1] if node.op == "Exit" else inside


def _frame_of(node: NodeDef) -> str:
    return str(node.attr["frame_name"].s.decode())


def _longest(found: Iterable[Frames]) -> Frames:
    return max(found, key=len, default=())
