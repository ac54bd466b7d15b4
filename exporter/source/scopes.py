"""The name scopes of a model's layers, measured while it is traced.

Keras opens a name scope for each call of a layer and makes its name unique with a counter, so that the scope of a layer
is not known from its name: `conv` may be called in `model_1/conv_1`, and `conv_1` in `model_1/conv_1_1`. So the `call`
of each layer is watched during the trace, and the scope that is active inside it is written down. What a layer does
without a scope of its own (TimeDistributed calls its layer directly) has that of the layer around it. A cell of a
recurrent layer is a part of that layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from exporter.model import Json
from exporter.selection import fingerprint, plain

# nodes that compute nothing, and whose names have parts that are no scopes
_HANDING_ON = {
    "Const",
    "Identity",
    "IdentityN",
    "NoOp",
    "PartitionedCall",
    "Placeholder",
    "ReadVariableOp",
    "StatefulPartitionedCall",
    "VarHandleOp",
}


@dataclass(frozen=True)
class Calls:
    """Scopes of each layer's calls, and the layers themselves, in the order of the calls."""

    scopes: dict[str, dict[str, None]] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        return {layer: tuple(scopes) for layer, scopes in self.scopes.items()}

    @property
    def weighted(self) -> tuple[str, ...]:
        """The layers that have any weights."""
        return tuple(path for path, layer in self.objects.items() if layer.weights)

    @property
    def weights(self) -> dict[str, tuple[str, ...]]:
        """Recurrent layer -> fingerprints of its weights."""
        return {
            path: tuple(fingerprint(np.asarray(weight)) for weight in layer.weights)
            for path, layer in self.objects.items()
            if isinstance(layer, keras.layers.RNN)
        }

    def to_json(self) -> Json:
        return {"layers": self.layers, "weights": self.weights, "weighted": self.weighted}


@contextlib.contextmanager
def recorded(model: Any) -> Iterator[Calls]:
    """The calls of a model's layers, filled while the context is open. Nothing without a model."""
    calls = Calls()
    stack: list[Any] = []
    watched = [] if model is None else [layer for layer in _layers(model) if "call" not in vars(layer)]
    for layer in watched:
        # by way of the dictionary: setting an attribute of a layer would track it
        vars(layer)["call"] = _watched(layer, layer.call, stack, calls)
    try:
        yield calls
    finally:
        for layer in watched:
            del vars(layer)["call"]


def _layers(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False, recursive=True))


def _watched(layer: Any, call: Callable[..., Any], stack: list[Any], calls: Calls) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        scope = tf.get_current_name_scope()
        if scope and not any(isinstance(outer, keras.layers.RNN) for outer in stack):
            path = "/".join(str(outer.name) for outer in (*stack, layer))
            calls.scopes.setdefault(path, {}).setdefault(plain(scope))
            calls.objects[path] = layer
        stack.append(layer)
        try:
            return call(*args, **kwargs)
        finally:
            stack.pop()

    return watched


def graph_scopes(graphs: Iterable[Iterable[Any]]) -> dict[str, tuple[str, ...]]:
    """The name scopes of nodes, each as a layer of its own name: what there is to choose from without Keras."""
    computing = (node for graph in graphs for node in graph if node.op not in _HANDING_ON)
    parted = [plain(node.name).split("/") for node in computing]
    found = {"/".join(parts[:depth]): None for parts in parted for depth in range(1, len(parts))}
    return {scope: (scope,) for scope in found}


def producers(graph_def: Any, outputs: Mapping[str, str]) -> dict[str, str]:
    """Output -> the operation behind it, without those that only hand a tensor on."""
    nodes = {node.name: node for node in graph_def.node}
    found = {}
    for output, tensor in outputs.items():
        name = tensor.partition(":")[0]
        while name in nodes and nodes[name].op == "Identity":
            name = nodes[name].input[0].partition(":")[0]
        found[output] = plain(name)
    return found
