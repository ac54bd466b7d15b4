"""Rewriting a frozen GraphDef into what TF.js executes: optimise, strip, and move constants into weights.

The order of the steps and the need for each were measured on Keras 3 models; upstream's counterpart is
tfjs-converter/python/tensorflowjs/converters/tf_saved_model_conversion_v2.py, from which the optimiser list is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from exporter.formats import Refused
from exporter.formats._tfjs_weights import Weight

GraphDef = Any  # tensorflow.compat.v1.GraphDef; TensorFlow ships no types and is imported late
NodeDef = Any

_PASSES = ("pruning", "constfold", "arithmetic", "dependency")


def node_of(tensor: str) -> str:
    """`^scope/x`, `scope/x`, `scope/x:1` -> `scope/x`."""
    return tensor.removeprefix("^").split(":")[0]


def name_outputs(graph_def: GraphDef, outputs: Mapping[str, str], types: Mapping[str, int]) -> dict[str, str]:
    """Append one Identity per output; returns output name -> name of its node. `types` gives each DataType.

    TF.js finds an output by its node, so of two outputs that share a node (or are an input) it would lose one.
    """
    taken = {n.name for n in graph_def.node}
    named = {}
    for index, (name, tensor) in enumerate(outputs.items()):
        node_name = f"output_{index}"
        while node_name in taken:
            node_name += "_"
        node = graph_def.node.add(name=node_name, op="Identity", input=[tensor.removesuffix(":0")])
        node.attr["T"].type = types[name]
        named[name] = node_name
    return named


def optimize(graph_def: GraphDef, keep: Sequence[str]) -> GraphDef:
    """Run TensorFlow's graph optimiser twice over the graph; the nodes in `keep` stay what they compute.

    Its remapper is left out: it fuses activations (Tanh) that TF.js' fused kernels do not have; see `_tfjs_fuse`.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer
    from tensorflow.python.training.saver import export_meta_graph

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        for name in keep:
            # the collection from which the optimiser learns what is fetched
            graph.add_to_collection("train_op", graph.get_operation_by_name(name))
        meta_graph = export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.optimizers[:] = _PASSES * 2
    rewrite.meta_optimizer_iterations = 1
    rewrite.min_graph_nodes = -1  # small graphs too
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def strip(graph_def: GraphDef, roots: Iterable[str]) -> GraphDef:
    """Drop control edges and everything that then no longer leads to one of the nodes `roots`.

    TF.js takes a control edge for a value ("Cannot compute the outputs …" on every Keras RNN). The edges only order
    side effects, and a frozen graph has none but assertions, which cannot fail silently into another number.
    """
    nodes = {n.name: n for n in graph_def.node}
    reached: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += [node_of(i) for i in nodes[name].input if not i.startswith("^")]
    out = type(graph_def)()
    out.versions.CopyFrom(graph_def.versions)
    for name in sorted(reached):  # by name: the optimiser's order is not the same in every process
        node = out.node.add()
        node.CopyFrom(nodes[name])
        del node.input[:]
        node.input.extend(i for i in nodes[name].input if not i.startswith("^"))
        node.device = ""
        node.ClearField("experimental_debug_info")
        for attribute in [a for a in node.attr if a.startswith("_")]:
            del node.attr[attribute]
        if node.op in ("CheckNumerics", "Print", "Snapshot", "PreventGradient"):
            node.op = "Identity"
            for attribute in [a for a in node.attr if a != "T"]:
                del node.attr[attribute]
            del node.input[1:]
    return out


def take_constants(graph_def: GraphDef) -> list[Weight]:
    """Move the values of all Const nodes out of the graph, which keeps their dtype and shape.

    Raises:
        Refused: a value does not survive the dtypes TF.js has (int32 for every integer, float32 for every float).
    """
    from tensorflow.python.framework import tensor_util

    weights = []
    for node in graph_def.node:
        if node.op != "Const":
            continue
        tensor = node.attr["value"].tensor
        weights.append(Weight(node.name, narrow(tensor_util.MakeNdarray(tensor), node.name)))
        dtype, shape = tensor.dtype, type(tensor.tensor_shape)()
        shape.CopyFrom(tensor.tensor_shape)
        tensor.Clear()
        tensor.dtype = dtype
        tensor.tensor_shape.CopyFrom(shape)
    return weights


def narrow(values: Any, node: str) -> Any:
    """An array in the dtype TF.js keeps it in, if every value survives exactly. Raises Refused otherwise."""
    if values.dtype == object or values.dtype.name in ("float32", "int32", "bool", "complex64"):
        return values
    if values.dtype.kind in "iu":
        bounds = np.iinfo(np.int32)
        if values.size and (int(values.min()) < bounds.min or int(values.max()) > bounds.max):
            raise Refused(
                f"constant {node!r} is {values.dtype.name} and holds {int(values.min())} to {int(values.max())}, "
                "outside the int32 that TF.js keeps integers in; use saved-model or onnx"
            )
        return values.astype(np.int32)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            narrowed = values.astype(np.float32)
        if np.array_equal(narrowed.astype(values.dtype), values, equal_nan=True):
            return narrowed
    raise Refused(
        f"constant {node!r} is {values.dtype.name} and does not survive the float32 that TF.js computes in; "
        "use saved-model or onnx"
    )
