"""Which weight of a model is which: one naming of the variables of Keras 3's layers, tf_keras' and TF.js'.

A weight is known by the model it is in, and by `<layer>/<variable>`, as TF.js names it: without the level of a
recurrent layer's cell, `<layer>/forward_<inner>/<variable>` in a Bidirectional layer, and by the wrapper's name in a
TimeDistributed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from exporter.errors import SourceError
from exporter.source.keras2_graph import clean
from exporter.tensors import Array

# classes whose weights are in parts, each with a kernel of its own
_IN_PARTS = ("MultiHeadAttention",)
# Keras 3's name -> that of Keras 2
_RENAMED = {f"DepthwiseConv{n}D": {"kernel": "depthwise_kernel"} for n in (1, 2)}
_NO_WEIGHTS = ("seed_generator_state", "StateVar")


def named(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(names of the nested models, weight's name) and variable, for each weight of a model of either Keras."""
    for layer in model.layers:
        yield from _of_layer(layer, path, clean(layer.name))


def _of_layer(layer: Any, path: tuple[str, ...], name: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    kind = type(layer).__name__
    if hasattr(layer, "layers"):
        yield from named(layer, (*path, name))
    elif kind == "Bidirectional":
        base = clean(layer.forward_layer.name).removeprefix("forward_")
        for direction in ("forward", "backward"):
            yield from _of_layer(getattr(layer, f"{direction}_layer"), path, f"{name}/{direction}_{base}")
    elif kind == "TimeDistributed":
        yield from _of_layer(layer.layer, path, name)
    else:
        for variable in layer.weights:
            tokens = getattr(variable, "path", variable.name).partition(":")[0].split("/")
            if tokens[-1] in _NO_WEIGHTS:
                continue
            tokens[-1] = _RENAMED.get(kind, {}).get(tokens[-1], tokens[-1])
            yield (*path, "/".join([name, *tokens[-2 if kind in _IN_PARTS else -1 :]])), variable


def assign(model: Any, values: Mapping[tuple[str, ...], Array], origin: str) -> None:
    """Set every weight of a Keras 3 model.

    Raises:
        SourceError: values and weights differ in names or shapes.
    """
    targets = dict(named(model))
    _compare(set(values), set(targets), origin)
    for key, variable in targets.items():
        if tuple(variable.shape) != values[key].shape:
            raise SourceError(
                "weights-shape",
                f"weight {'/'.join(key)!r} of {origin} has the shape {list(values[key].shape)}, "
                f"and its layer expects {list(variable.shape)}",
                "the topology and the weights are not of the same model; convert it again",
            )
        variable.assign(np.asarray(values[key]))
    for layer in model._flatten_layers(include_self=False):
        if type(layer).__name__ == "Normalization":
            layer.finalize_state()  # what it computes with is derived from its weights


def _compare(found: set[tuple[str, ...]], expected: set[tuple[str, ...]], origin: str) -> None:
    surplus, missing = ("/".join(sorted(s)[0]) if s else "" for s in (found - expected, expected - found))
    if surplus or missing:
        said = [f"weight {missing!r} is missing"] if missing else []
        said += [f"weight {surplus!r} belongs to no layer"] if surplus else []
        raise SourceError(
            "weights-names",
            f"{' and '.join(said)} in {origin}",
            "the topology and the weights are not of the same model; convert it again",
        )
