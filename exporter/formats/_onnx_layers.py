"""Which nodes of an ONNX model belong to which layer of the source.

tf2onnx keeps the names of operations, except for the loops that it makes LSTM and GRU nodes of. Those are told by
their weights: ONNX has the gates in another order, but the values are a layer's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.formats import Refused
from exporter.formats._onnx_weights import graphs
from exporter.selection import Traced, fingerprint, owners
from exporter.tensors import Array

_RECURRENT = {"LSTM", "GRU", "RNN"}


def layers_of_nodes(model: Any, traced: Traced) -> dict[str, set[str]]:
    """Node name -> the layers it belongs to; nodes of no layer are left out.

    Raises:
        Refused: a recurrent node could be any layer's, because the source has no layers whose weights tell.
    """
    constants = {tensor.name: tensor for graph in graphs(model.graph) for tensor in graph.initializer}
    found: dict[str, set[str]] = {}
    for graph in graphs(model.graph):
        for node in graph.node:
            layers = owners([node.name, *(name.partition(":")[0] for name in node.output)], traced.layers)
            if node.op_type in _RECURRENT:
                layers |= _owners_by_weights(node, constants, traced)
                if not layers:
                    raise Refused(
                        f"{node.op_type} nodes of ONNX lose the name of the loop they are made from, so nothing tells "
                        "which of them stay float; convert the Keras model in place of its graph, or use tflite-dynamic"
                    )
            if layers:
                found.setdefault(node.name, set()).update(layers)
    return found


def _owners_by_weights(node: Any, constants: Mapping[str, Any], traced: Traced) -> set[str]:
    from onnx import numpy_helper

    # inputs 1 and 2 hold the kernels, (directions, gates * units, …)
    kernels: list[Array] = [numpy_helper.to_array(constants[n]) for n in node.input[1:3] if n in constants]
    prints = {fingerprint(direction) for kernel in kernels for direction in kernel}
    own = [layer for layer, weights in traced.weights.items() if prints & set(weights)]
    # and of what those are inside of
    return {layer for layer in traced.layers for one in own if f"{one}/".startswith(f"{layer}/")}
