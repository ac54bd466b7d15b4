"""Fewer kernels per layer: BatchNormalization folded into weights, bias and activation fused into products.

Upstream does the same in fold_batch_norms.py and fuse_depthwise_conv2d.py of tfjs-converter, and leaves the rest to
TensorFlow's remapper, whose fused activations TF.js does not all have.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Set
from typing import Any

import numpy as np

from exporter.formats._tfjs_graphdef import GraphDef, NodeDef, node_of
from exporter.formats._tfjs_ops import FUSABLE_ACTIVATIONS

FUSED_OP = {
    "Conv2D": "_FusedConv2D",
    "DepthwiseConv2dNative": "FusedDepthwiseConv2dNative",
    "MatMul": "_FusedMatMul",
}

_FOLDED = "/folded"


def _fusible(product: NodeDef) -> bool:
    """Whether TF.js' fused kernel computes what the nodes apart compute.

    With a transposed operand the wasm backend (4.22) does not: it adds element i*columns+j of the bias, clamped to the
    last, where it should add element j, so every row but the first is wrong.
    """
    if product.op not in FUSED_OP or product.attr["T"].type != 1:
        return False
    return product.op != "MatMul" or not (product.attr["transpose_a"].b or product.attr["transpose_b"].b)


def fold_constants(graph_def: GraphDef) -> GraphDef:
    """Move constant scales and shifts per channel into the kernel and the bias before them.

    That is BatchNormalization in inference. TensorFlow's optimiser does so for Conv2D without bias only, which leaves
    two more kernels per layer in every MobileNet and ResNet. A weight is rounded once more, about 6e-8 relative.
    """
    nodes = {n.name: n for n in graph_def.node}
    consumers = _consumers(graph_def)
    gone: set[str] = set()
    for product in list(graph_def.node):
        while _fusible(product) and product.name not in gone:
            following = _sole(consumers, product)
            bias = following if following is not None and following.op == "BiasAdd" else None
            step = following if bias is None else _sole(consumers, bias)
            if step is None or step.op not in (("Mul",) if bias is None else ("Mul", "AddV2")):
                break
            last = product if bias is None else bias
            values = _per_channel(_other(step, last, nodes), product, nodes)
            old = None if bias is None else _per_channel(nodes[node_of(bias.input[1])], product, nodes)
            if values is None or (bias is not None and old is None):
                break
            # constants may be shared: these are new, and the old ones go if nothing else reads them
            if step.op == "Mul":
                product.input[1] = _folded(nodes, graph_def, product.input[1], _scaled(product, nodes, values))
            if bias is not None:
                shifted = old * values if step.op == "Mul" else old + values
                bias.input[1] = _folded(nodes, graph_def, bias.input[1], shifted)
            # the step takes the place of what it is folded into, so that its own readers need no change
            consumers[last.name] = []
            gone.add(last.name)
            name = step.name
            step.CopyFrom(last)
            step.name = name
            if bias is None:
                product = step
            else:
                consumers[product.name] = [step]
    return _without(graph_def, gone)


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
        if last is not None and last.op in _activations(product):
            target, operations = last, ["BiasAdd", last.op]
        fused = type(product)()
        fused.CopyFrom(product)
        fused.op = FUSED_OP[product.op]
        vector = len(bias.attr["value"].tensor.tensor_shape.dim) == 1
        fused.input.append(bias.name if vector else _folded(nodes, graph_def, bias.name, values))
        fused.attr["num_args"].i = 1
        fused.attr["fused_ops"].list.s.extend(o.encode() for o in operations)
        if target.op == "LeakyRelu":
            fused.attr["leakyrelu_alpha"].f = target.attr["alpha"].f
        gone |= {product.name, add.name} - {target.name}
        fused.name = target.name
        target.CopyFrom(fused)
    return _without(graph_def, gone)


def _activations(product: NodeDef) -> Set[str]:
    """What may be fused behind a product: the depthwise executor does not read the slope of LeakyRelu."""
    return FUSABLE_ACTIVATIONS - ({"LeakyRelu"} if product.op == "DepthwiseConv2dNative" else set())


def _scaled(product: NodeDef, nodes: Mapping[str, NodeDef], factors: Any) -> Any:
    """The kernel of a product times one factor per output channel."""
    from tensorflow.python.framework import tensor_util

    kernel = tensor_util.MakeNdarray(nodes[node_of(product.input[1])].attr["value"].tensor)
    return kernel * (factors.reshape(kernel.shape[2:]) if product.op == "DepthwiseConv2dNative" else factors)


def _without(graph_def: GraphDef, gone: Container[str]) -> GraphDef:
    out = type(graph_def)()
    out.versions.CopyFrom(graph_def.versions)
    out.node.extend(n for n in graph_def.node if n.name not in gone)
    return out


def _other(node: NodeDef, known: NodeDef, nodes: Mapping[str, NodeDef]) -> NodeDef | None:
    """The node that feeds a binary operation beside `known`."""
    return next((nodes[i] for i in map(node_of, node.input) if i != known.name), None)


def _folded(nodes: dict[str, NodeDef], graph_def: GraphDef, old: str, values: Any) -> str:
    """A constant that is made from another one, and named after it: after the layer that owns the weight."""
    name = f"{node_of(old).removesuffix(_FOLDED)}{_FOLDED}"
    while name in nodes:
        name += "_"
    return _constant(nodes, graph_def, name, values)


def _constant(nodes: dict[str, NodeDef], graph_def: GraphDef, name: str, values: Any) -> str:
    import tensorflow as tf

    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = 1
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)))
    nodes[name] = node
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
