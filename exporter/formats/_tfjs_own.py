"""A TF.js graph in TensorFlow: what an artifact with quantized weights should give, computed in float32.

TF.js executes the graph that is kept here, with its constants taken out; TensorFlow gets the same graph with the
constants that the artifact stores. Kernels that were fused for TF.js are taken apart again, because TensorFlow lacks
one of them and reads other attributes in the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from exporter.formats._tfjs_frames import framed
from exporter.formats._tfjs_fuse import FUSED_OP
from exporter.formats._tfjs_graphdef import GraphDef
from exporter.formats._tfjs_weights import Weight
from exporter.model import Signature
from exporter.tensors import Array, Tensors, as_strings

_PRODUCTS = {fused: product for product, fused in FUSED_OP.items()}
_FUSION = ("num_args", "fused_ops", "leakyrelu_alpha")


@dataclass(frozen=True, eq=False)
class Graph:
    """One signature as TF.js executes it.

    Attributes:
        graph_def, initializer: without the values of their constants; None where no table is filled.
        inputs, outputs: name in the signature -> node.
        weights: the values of all constants.
        rewrites: what was rewritten, in words.
    """

    graph_def: GraphDef
    initializer: GraphDef | None
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    weights: Sequence[Weight]
    rewrites: tuple[str, ...]


def in_tensorflow(graph: Graph, weights: Mapping[str, Array], signature: Signature) -> Callable[[Tensors], Tensors]:
    """The graph with other values for its constants: a function of inputs by name that returns outputs by name.

    Args:
        weights: a value for each constant, by its node's name.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(framed(_filled(_taken_apart(graph.graph_def), weights)), name="")
        if graph.initializer is not None:
            tf.import_graph_def(_filled(graph.initializer, weights), name="initializer")
    session = tf.compat.v1.Session(graph=loaded)
    if graph.initializer is not None:
        session.run([f"initializer/{node.name}" for node in graph.initializer.node if node.op == "LookupTableImportV2"])
    fetched = [f"{graph.outputs[s.name]}:0" for s in signature.outputs]

    def run(inputs: Tensors) -> Tensors:
        values = session.run(fetched, {f"{graph.inputs[name]}:0": array for name, array in inputs.items()})
        found = zip(signature.outputs, values, strict=True)
        return {s.name: as_strings(value) if s.dtype == "string" else value for s, value in found}

    return run


def _filled(graph_def: GraphDef, weights: Mapping[str, Array]) -> GraphDef:
    """A copy whose constants have values, and whose tables are found by name in another graph of the same session."""
    import tensorflow as tf

    out = type(graph_def)()
    out.CopyFrom(graph_def)
    for node in out.node:
        if node.op == "Const":
            dtype = tf.as_dtype(node.attr["dtype"].type)
            values = weights[node.name]
            shaped = values if dtype == tf.string else values.astype(dtype.as_numpy_dtype)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shaped, dtype, values.shape))
        elif node.op == "HashTableV2":
            node.attr["shared_name"].s = node.name.encode()
    return out


def _taken_apart(graph_def: GraphDef) -> GraphDef:
    """The inverse of `_tfjs_fuse.fuse`: product, bias and activation in nodes of their own; the last keeps the name."""
    out = type(graph_def)()
    out.versions.CopyFrom(graph_def.versions)
    for node in graph_def.node:
        if node.op not in _PRODUCTS:
            out.node.add().CopyFrom(node)
            continue
        steps = [op.decode() for op in node.attr["fused_ops"].list.s]
        product = out.node.add()
        product.CopyFrom(node)
        product.op, product.name = _PRODUCTS[node.op], f"{node.name}/product"
        bias = product.input.pop()
        for name in _FUSION:
            product.attr.pop(name, None)
        before = product.name
        for number, op in enumerate(steps, 1):
            step = out.node.add(op=op, name=node.name if number == len(steps) else f"{node.name}/{op}", input=[before])
            step.attr["T"].CopyFrom(node.attr["T"])
            if op == "BiasAdd":
                step.input.append(bias)
            if op == "LeakyRelu":
                step.attr["alpha"].CopyFrom(node.attr["leakyrelu_alpha"])
            before = step.name
    return out
