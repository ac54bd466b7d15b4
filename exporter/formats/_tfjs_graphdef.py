"""Rewriting a frozen GraphDef into what TF.js executes: optimise, fuse, strip, and move constants into weights.

The order of the steps and the need for each were measured on Keras 3 models; upstream's counterpart is
tfjs-converter/python/tensorflowjs/converters/tf_saved_model_conversion_v2.py, from which the optimiser list is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from exporter.formats import Refused
from exporter.formats._tfjs_ops import FUSABLE_ACTIVATIONS
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

    Its remapper is left out: it fuses activations (Tanh) that TF.js' fused kernels do not have; see `fuse`.
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


_FUSED_OP = {
    "Conv2D": "_FusedConv2D",
    "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative",
    "MatMul": "_FusedMatMul",
}


def _fusible(product: NodeDef) -> bool:
    """Whether TF.js' fused kernel computes what the nodes apart compute.

    With a transposed operand the wasm backend (4.22) does not: it adds element i*columns+j of the bias, clamped to the
    last, where it should add element j, so every row but the first is wrong.
    """
    if product.op not in _FUSED_OP or product.attr["T"].type != 1:
        return False
    return product.op != "MatMul" or not (product.attr["transpose_a"].b or product.attr["transpose_b"].b)


def fuse(graph_def: GraphDef) -> GraphDef:
    """Merge Conv2D, DepthwiseConv2dNative or MatMul with the bias and the activation that alone consume it.

    One kernel instead of three per layer in every TF.js backend. The attributes are those of TensorFlow's own
    `_FusedConv2D` and `_FusedMatMul`, which the executors read (`fused_ops`, `num_args`, `leakyrelu_alpha`).
    """
    nodes = {n.name: n for n in graph_def.node}
    consumers = _consumers(graph_def)
    gone: set[str] = set()
    for product in list(graph_def.node):
        add = _sole(consumers, product) if _fusible(product) else None
        if add is None or add.op not in ("BiasAdd", "AddV2", "Add"):
            continue
        bias = _other(add, product, nodes)
        values = _per_channel(bias, product, nodes)
        if bias is None or values is None:
            continue
        last = _sole(consumers, add)
        target, operations = add, ["BiasAdd"]
        if last is not None and last.op in FUSABLE_ACTIVATIONS:
            target, operations = last, ["BiasAdd", last.op]
        fused = type(product)()
        fused.CopyFrom(product)
        fused.op = _FUSED_OP[product.op]
        vector = len(bias.attr["value"].tensor.tensor_shape.dim) == 1
        fused.input.append(bias.name if vector else _constant(graph_def, f"{target.name}/bias", values))
        fused.attr["num_args"].i = 1
        fused.attr["fused_ops"].list.s.extend(o.encode() for o in operations)
        if target.op == "LeakyRelu":
            fused.attr["leakyrelu_alpha"].f = target.attr["alpha"].f
        gone |= {product.name, add.name} - {target.name}
        fused.name = target.name
        target.CopyFrom(fused)
    out = type(graph_def)()
    out.versions.CopyFrom(graph_def.versions)
    out.node.extend(n for n in graph_def.node if n.name not in gone)
    return out


def fold_scales(graph_def: GraphDef) -> GraphDef:
    """Multiply constant scales per channel into the kernel (and bias) before them: BatchNormalization in inference.

    TensorFlow's optimiser does so for Conv2D without bias only, which leaves two more kernels per layer in every
    MobileNet. The product of two rounded numbers is rounded once more, about 6e-8 relative.
    """
    from tensorflow.python.framework import tensor_util

    nodes = {n.name: n for n in graph_def.node}
    consumers = _consumers(graph_def)
    gone: set[str] = set()
    for product in list(graph_def.node):
        if product.op not in _FUSED_OP or product.attr["T"].type != 1:
            continue
        bias, last = None, product
        scale = _sole(consumers, product)
        if scale is not None and scale.op == "BiasAdd":
            bias, last = nodes[node_of(scale.input[1])], scale
            scale = _sole(consumers, scale)
        factor = None if scale is None or scale.op != "Mul" else _other(scale, last, nodes)
        factors = _per_channel(factor, product, nodes)
        if scale is None or factors is None or (bias is not None and bias.op != "Const"):
            continue
        kernel = tensor_util.MakeNdarray(nodes[node_of(product.input[1])].attr["value"].tensor)
        if product.op == "DepthwiseConv2dNative":
            scaled = kernel * factors.reshape(kernel.shape[2:])
        else:
            scaled = kernel * (factors[:, None] if product.attr["transpose_b"].b else factors)
        # constants may be shared: the scaled ones are new, and the old ones are pruned if nothing else reads them
        product.input[1] = _constant(graph_def, f"{scale.name}/kernel", scaled)
        if bias is not None:
            values = tensor_util.MakeNdarray(bias.attr["value"].tensor) * factors
            last.input[1] = _constant(graph_def, f"{scale.name}/bias", values)
        renamed = type(last)()
        renamed.CopyFrom(last)
        renamed.name = scale.name
        if last is not product:
            renamed.input[0] = product.name
        gone.add(last.name)
        scale.CopyFrom(renamed)
    out = type(graph_def)()
    out.versions.CopyFrom(graph_def.versions)
    out.node.extend(n for n in graph_def.node if n.name not in gone)
    return out


def _other(node: NodeDef, known: NodeDef, nodes: Mapping[str, NodeDef]) -> NodeDef | None:
    """The node that feeds a binary operation beside `known`."""
    return next((nodes[i] for i in map(node_of, node.input) if i != known.name), None)


def _constant(graph_def: GraphDef, name: str, values: Any) -> str:
    import tensorflow as tf

    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = 1
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))
    return name


def _consumers(graph_def: GraphDef) -> dict[str, list[NodeDef]]:
    found: dict[str, list[NodeDef]] = {}
    for node in graph_def.node:
        for tensor in node.input:
            found.setdefault(node_of(tensor), []).append(node)
    return found


def _sole(consumers: Mapping[str, list[NodeDef]], node: NodeDef) -> NodeDef | None:
    """The one node that reads the (only) output of `node`, if there is just one."""
    found = consumers.get(node.name, [])
    return found[0] if len(found) == 1 else None


def _per_channel(node: NodeDef | None, product: NodeDef, nodes: Mapping[str, NodeDef]) -> Any:
    """The values of a constant that has one per channel of a product, as a vector, or None for anything else.

    BatchNormalization over axis 3, as against -1, leaves constants of shape (1, 1, 1, channels).
    """
    from tensorflow.python.framework import tensor_util

    kernel = nodes[node_of(product.input[1])]
    if node is None or node.op != "Const" or kernel.op != "Const":
        return None
    dims = [d.size for d in kernel.attr["value"].tensor.tensor_shape.dim]
    if product.op == "DepthwiseConv2dNative":
        channels = dims[2] * dims[3]
    else:
        channels = dims[0] if product.attr["transpose_b"].b else dims[-1]
    found = [d.size for d in node.attr["value"].tensor.tensor_shape.dim]
    if not found or len(found) > len(dims) or found != [1] * (len(found) - 1) + [channels]:
        return None
    return tensor_util.MakeNdarray(node.attr["value"].tensor).reshape(-1)


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
