"""Where masks flow in a Keras model, and whether TF.js layers would let them flow the same way.

Keras 3 writes masks into the graph as operations; TF.js computes its own, from Embedding(mask_zero) and Masking, and
passes them on by its own rules. A model may only use masks where both come to the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from exporter.formats._tfjs_keras_config import RECURRENT, Refuse, kind_of, tensors_of

Reference = tuple[str, int, int]
# what a mask says: the tensor it was computed from, and the value that is masked in it
Mask = tuple[Reference, float]

_RECURRENT = (*RECURRENT, "RNN", "Bidirectional")
# TF.js hands the whole mask to each step of the wrapped layer; these ignore it
_DISTRIBUTABLE = ("Dense", "Activation", "Dropout")


class MaskFlow:
    """The masks of one Functional model.

    `nodes` maps layer name -> its serialized calls, `layers` -> its object, `passes` -> whether what is written for it
    lets a mask through in TF.js. `unread` are the Embeddings whose masks no layer reads: TF.js need not know of them.
    """

    def __init__(
        self, nodes: Mapping[str, Any], layers: Mapping[str, Any], passes: Mapping[str, bool], refuse: Refuse
    ) -> None:
        self._nodes = nodes
        self._layers = layers
        self._passes = passes
        self._refuse = refuse
        self.unread: frozenset[str] = frozenset()

    def of(self, tensor: Reference) -> Mask | None:
        """The mask TF.js attaches to a symbolic tensor."""
        name, node, index = tensor
        layer, kind = self._layers[name], kind_of(self._layers[name])
        if not self._nodes[name] or name in self.unread or not (self._passes.get(name) or kind == "Embedding"):
            return None
        source = references(self._nodes[name][node])[0]
        if kind == "Embedding":
            return (source, 0.0) if layer.mask_zero else None
        if kind == "Masking":
            return (source, float(layer.mask_value))
        if kind in _RECURRENT and (index > 0 or not layer.return_sequences):
            return None
        return self.of(source)

    def check(self, used: Collection[str], ends: Sequence[Reference], model: Any) -> None:
        """Refuse a layer among `used` that gets a mask other than TF.js', or treats it otherwise.

        `ends` are the outputs of a model inside another, `model`, which must not be masked.
        """
        masked = any(self.of(r) is not None for r in ends)
        if not masked and not any(self._reads(self._layers[n], call) for n in used for call in self._nodes[n]):
            embeddings = (n for n in used if kind_of(self._layers[n]) == "Embedding" and self._layers[n].mask_zero)
            self.unread = frozenset(embeddings)
        for name in sorted(used):
            for call in self._nodes[name]:
                self._check_call(name, call)
        if masked:
            self._refuse(model, "a mask leaves this nested model, where TF.js loses it")

    def _reads(self, layer: Any, call: Mapping[str, Any]) -> bool:
        """Whether a layer's outputs may depend on masks.

        A layer of one input is given its mask in the serialized call. Attention finds those of its inputs when it
        runs, and no trace of it is serialized.
        """
        if kind_of(layer) == "BatchNormalization":  # it reads the mask in training
            return False
        if kind_of(layer) == "TimeDistributed" and type(layer.layer).__name__ in _DISTRIBUTABLE:
            return False
        if _given(call) is not None or kind_of(layer) == "Attention":
            return True
        return any(name.endswith("_mask") for name in inspect.signature(layer.call).parameters)

    def _check_call(self, name: str, call: Mapping[str, Any]) -> None:
        layer, kind = self._layers[name], kind_of(self._layers[name])
        masks = [self.of(r) for r in references(call)]
        given = _given(call)
        unread = given is not None and not self._reads(layer, call)
        if not unread and given is not None and (not masks or masks[0] is None or self._written(given) != masks[0]):
            self._refuse(layer, "it is given a mask that is not the one of its input")
        if not any(m is not None for m in masks):
            return
        if given is None and kind in _RECURRENT:
            self._refuse(layer, "it ignores the mask of its input, which TF.js would apply")
        inner = getattr(layer, "forward_layer", layer)
        if kind in _RECURRENT and inner.zero_output_for_mask:
            self._refuse(layer, "TF.js repeats the last output where the mask is off, and this layer returns zeros")
        if hasattr(layer, "layers"):
            self._refuse(layer, "its input is masked, and masks are not followed into a nested model")
            return
        allowed = self._passes.get(name, False)
        if kind == "TimeDistributed" and type(layer.layer).__name__ not in _DISTRIBUTABLE:
            allowed = False
        if not allowed:
            self._refuse(layer, "its input is masked, which TF.js treats differently in this layer")

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


def _given(call: Mapping[str, Any]) -> Any:
    """The masks a serialized call is given, or None."""
    given = call["kwargs"].get("mask")
    several = given.values() if isinstance(given, dict) and "class_name" not in given else given
    return None if several is None or (not isinstance(several, dict) and all(m is None for m in several)) else given


def references(call: Mapping[str, Any]) -> list[Reference]:
    """The tensors a serialized call takes, masks excepted, as (layer, node, tensor)."""
    return [tuple(t["config"]["keras_history"]) for t in tensors_of(call)]
