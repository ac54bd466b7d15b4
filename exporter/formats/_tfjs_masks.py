"""Where masks flow in a Keras model, and whether TF.js layers would let them flow the same way.

Keras 3 writes masks into the graph as operations; TF.js computes its own, from Embedding(mask_zero) and Masking, and
passes them on by its own rules. A model may only use masks where both come to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from exporter.formats._tfjs_keras_config import refused
from exporter.formats._tfjs_layer_table import LAYERS

Reference = tuple[str, int, int]
# what a mask says: the tensor it was computed from, and the value that is masked in it
Mask = tuple[Reference, float]

_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")
# TF.js hands the whole mask to each step of the wrapped layer; these ignore it
_DISTRIBUTABLE = ("Dense", "Activation", "Dropout")


class MaskFlow:
    """The masks of one Functional model: `nodes` maps layer name -> its serialized calls, `layers` -> its object."""

    def __init__(self, nodes: Mapping[str, Any], layers: Mapping[str, Any]) -> None:
        self._nodes = nodes
        self._layers = layers

    def of(self, tensor: Reference) -> Mask | None:
        """The mask TF.js attaches to a symbolic tensor."""
        name, node, index = tensor
        layer, kind = self._layers[name], type(self._layers[name]).__name__
        if not self._nodes[name] or kind not in LAYERS or (not LAYERS[kind].masks and kind != "Embedding"):
            return None
        source = references(self._nodes[name][node])[0]
        if kind == "Embedding":
            return (source, 0.0) if layer.mask_zero else None
        if kind == "Masking":
            return (source, float(layer.mask_value))
        if kind in _RECURRENT and (index > 0 or not layer.return_sequences):
            return None
        return self.of(source)

    def check(self, used: Collection[str]) -> None:
        """Raise Refused for a layer among `used` that gets a mask other than TF.js', or treats it otherwise."""
        for name in sorted(used):
            for call in self._nodes[name]:
                self._check_call(self._layers[name], call)

    def _check_call(self, layer: Any, call: Mapping[str, Any]) -> None:
        kind = type(layer).__name__
        masks = [self.of(r) for r in references(call)]
        given = call["kwargs"].get("mask")
        if isinstance(given, list) and all(m is None for m in given):
            given = None
        if given is not None and (not masks or masks[0] is None or self._written(given) != masks[0]):
            raise refused(layer, "it is given a mask that is not the one of its input")
        if not any(m is not None for m in masks):
            return
        if given is None and kind in _RECURRENT:
            raise refused(layer, "it ignores the mask of its input, which TF.js would apply")
        inner = getattr(layer, "forward_layer", layer)
        if kind in _RECURRENT and inner.zero_output_for_mask:
            raise refused(layer, "TF.js repeats the last output where the mask is off, and this layer returns zeros")
        allowed = kind in LAYERS and LAYERS[kind].masks
        if kind == "TimeDistributed" and type(layer.layer).__name__ not in _DISTRIBUTABLE:
            allowed = False
        if not allowed:
            raise refused(layer, "its input is masked, which TF.js treats differently in this layer")

    def _written(self, tensor: Any) -> Mask | None:
        """The mask a serialized mask tensor computes, if it is of the form Keras writes for its own layers."""
        name, node, _ = tensor["config"]["keras_history"] if isinstance(tensor, dict) else ("", 0, 0)
        if name not in self._nodes:
            return None
        call = self._nodes[name][node]
        kind = type(self._layers[name]).__name__
        if kind == "Any":
            return self._written(call["args"][0])
        if kind == "NotEqual" and len(call["args"]) == 2 and isinstance(call["args"][1], int | float):
            return (references(call)[0], float(call["args"][1]))
        return None


def references(call: Mapping[str, Any]) -> list[Reference]:
    """The tensors a serialized call takes as its first argument, as (layer, node, tensor)."""
    first = call["args"][0] if call["args"] else []
    tensors = first if isinstance(first, list) else [first]
    return [tuple(t["config"]["keras_history"]) for t in tensors if isinstance(t, dict) and "config" in t]
