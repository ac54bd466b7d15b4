"""What made-up values of an input may be, told by the layers of a Keras model that the input itself reaches.

An input is followed from layer to layer as long as its values stay what they are (reshaped, cast, masked …), into
nested models and wrapped layers, up to those that look something up in a table of known size. What an input reaches
only as something else (through a Lambda, an addition) says nothing about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

from exporter.model import Json

WORDS = 200  # of a vocabulary that are handed over

# layers and operations of Keras behind which every value is one that was there before
_PASSING = frozenset(
    (
        *("Identity", "Reshape", "Flatten", "Permute", "RepeatVector", "Masking", "ActivityRegularization", "Dropout"),
        *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Cropping1D", "Cropping2D", "UpSampling1D"),
        *("Concatenate", "InputLayer", "Cast", "ExpandDims", "Squeeze", "Transpose", "GetItem", "Ravel", "SwapAxes"),
        *("Moveaxis", "StopGradient", "Copy", "Stack", "Split", "Flip", "Tile", "Repeat", "BroadcastTo", "Unstack"),
    )
)


def index_fact(size: int, why: str) -> Json:
    """Whole numbers below `size`."""
    return {"low": 0, "high": size - 1, "whole": True, "why": why}


def vocabulary_fact(words: Iterable[Any], why: str) -> Json:
    """The entries of a vocabulary: words, or whole numbers."""
    entries = list(words)
    if entries and all(isinstance(entry, int) for entry in entries):
        numbers = sorted(entries)
        return {"low": numbers[0], "high": numbers[-1], "values": numbers[:WORDS], "whole": True, "why": why}
    return {"words": [str(entry).encode().decode("latin-1") for entry in entries[:WORDS]], "why": why}


def _embedding(layer: Any) -> Json | None:
    return index_fact(layer.input_dim, f"an Embedding of {layer.input_dim} rows")


def _category(layer: Any) -> Json | None:
    tokens = layer.num_tokens
    return index_fact(tokens, f"a CategoryEncoding of {tokens}") if tokens else None


def _lookup(layer: Any) -> Json | None:
    words = layer.get_vocabulary(include_special_tokens=False)
    if not len(words):
        return None
    plain = [word.item() if hasattr(word, "item") else word for word in words]
    name = type(layer).__name__
    return vocabulary_fact(plain, f"the vocabulary of {'an' if name[0] in 'AEIOU' else 'a'} {name}")


def _bins(layer: Any) -> Json | None:
    bounds = layer.bin_boundaries
    if bounds is None or not len(bounds):
        return None
    return {"low": math.floor(bounds[0]) - 1, "high": math.ceil(bounds[-1]) + 1, "why": "the bins of a Discretization"}


def _anything(layer: Any) -> Json | None:
    return {"low": 0, "high": 999, "whole": True, "why": f"{type(layer).__name__} takes any number"}


# class of Keras, here by name because not every version has all -> what its inputs are
_READERS: Mapping[str, Callable[[Any], Json | None]] = {
    "Embedding": _embedding,
    "CategoryEncoding": _category,
    "IntegerLookup": _lookup,
    "StringLookup": _lookup,
    "TextVectorization": _lookup,
    "Discretization": _bins,
    "Hashing": _anything,
    "HashedCrossing": _anything,
}


def layer_facts(model: Any, inputs: Mapping[str, str]) -> dict[str, list[Json]]:
    """By input, what each layer that it reaches takes; `inputs` maps its name to that of its Keras layer."""
    functional = _functional(model)
    if functional is None:
        return {}
    by_layer = {tensor._keras_history.operation.name: i for i, tensor in enumerate(functional.inputs)}
    found: dict[str, list[Json]] = {}
    for name, layer in inputs.items():
        if layer in by_layer:
            facts: list[Json] = []
            _follow(functional, by_layer[layer], facts)
            found[name] = facts
    return found


def _functional(model: Any) -> Any:
    candidate = getattr(model, "_functional", None) or model
    return candidate if isinstance(candidate, keras.models.Model) and hasattr(candidate, "_nodes_by_depth") else None


def _follow(functional: Any, position: int, facts: list[Json]) -> set[int]:
    """Collect what the layers take that one input reaches; the outputs that are this input unchanged."""
    readers: dict[int, list[tuple[Any, int]]] = {}
    for node in (node for nodes in functional._nodes_by_depth.values() for node in nodes):
        for i, tensor in enumerate(node.input_tensors):
            readers.setdefault(id(tensor), []).append((node, i))
    waiting = [functional.inputs[position]]
    seen: set[int] = set()
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        for node, i in readers.get(id(tensor), ()):
            waiting += _through(node, i, facts)
    return {i for i, tensor in enumerate(functional.outputs) if id(tensor) in seen}


def _through(node: Any, position: int, facts: list[Json]) -> Sequence[Any]:
    """The outputs of a node that are its input at `position`, unchanged; what the node takes goes to `facts`."""
    layer = node.operation
    while isinstance(layer, keras.layers.Wrapper):
        layer = layer.layer
    outputs: Sequence[Any] = node.outputs
    for kind, fact in _READERS.items():
        known = getattr(keras.layers, kind, None)
        if known is not None and isinstance(layer, known):
            facts += filter(None, [fact(layer)])
            return ()
    nested = _functional(layer)
    if nested is not None and position < len(nested.inputs):
        same = _follow(nested, position, facts)
        return [tensor for i, tensor in enumerate(outputs) if i in same]
    return outputs if type(layer).__name__ in _PASSING else ()
