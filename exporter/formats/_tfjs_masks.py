"""Where masks flow in a Keras model, and whether TF.js layers would let them flow the same way.

Keras 3 writes the masks that layers of one input read into the graph, as operations; TF.js computes its own, from
Embedding(mask_zero) and Masking, and passes them on by its own rules (`computeMask` of each class in tfjs-layers 4.22,
and src/engine/executor.ts). Where nobody reads a mask it does not matter; where somebody does, both must be the same.
The executor of 4.22 never takes a mask back within a run: after the first masked layer, a layer whose input has none is
handed the mask of whichever layer ran before. So in a model with masks, whoever reads one must have one of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.formats._tfjs_arguments import Layer
from exporter.formats._tfjs_keras_config import ATTENTION, RECURRENT, Refuse, kind_of, tensors_of
from exporter.formats._tfjs_layer_parts import Parts
from exporter.formats._tfjs_layer_table import LAYERS
from exporter.formats._tfjs_parts import Part

Reference = tuple[str, int, int]


@dataclass(frozen=True)
class Mask:
    """What a mask says: the tensor it was computed from, and the value that is masked in it."""

    source: Reference
    value: float


# what TF.js makes of the masks of several inputs
_MERGED = Mask(("", 0, 0), 0.0)
_MERGES = ("Add", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
_RUNS = (*RECURRENT, "ConvLSTM2D", "Bidirectional")
# what reads the mask of its input in TF.js
_READERS = (*_RUNS, "Softmax")


class MaskFlow:
    """The masks of one Functional model.

    `nodes` maps layer name -> its serialized calls, `layers` -> its object, `parts` -> what is written for it.
    """

    def __init__(
        self, nodes: Mapping[str, Any], layers: Mapping[str, Any], parts: Mapping[str, Parts], refuse: Refuse
    ) -> None:
        self._nodes = nodes
        self._layers = layers
        self._parts = parts
        self._refuse = refuse
        self._found: dict[tuple[str, int], list[tuple[Part, list[Mask | None]]]] = {}
        self._none = not any(kind_of(layer) in ("Embedding", "Masking") for layer in layers.values())

    def of(self, tensor: Reference) -> Mask | None:
        """The mask TF.js attaches to a symbolic tensor."""
        name, node, index = tensor
        if self._none or not self._nodes[name] or not self._parts[name].all:
            return None
        part, masks = self._inside(name, node)[-1]
        source = references(self._nodes[name][node])[0]
        return None if index > 0 and part.kind in _RUNS else _passed_on(part, masks, source)

    def check(self, used: Collection[str], ends: Sequence[Reference], model: Any) -> None:
        """Refuse a layer among `used` that reads a mask other than TF.js', or treats it otherwise.

        `ends` are the outputs of a model inside another, `model`, which must not be masked.
        """
        calls = [(name, node, call) for name in sorted(used) for node, call in enumerate(self._nodes[name])]
        masked = any(self.of(r) is not None for _, _, call in calls for r in references(call))
        for name, node, call in calls:
            if masked or _given(call) is not None:
                self._check_call(name, node, call)
        if any(self.of(r) is not None for r in ends):
            self._refuse(model, "a mask leaves this nested model, where TF.js loses it")

    def _inside(self, name: str, node: int) -> list[tuple[Part, list[Mask | None]]]:
        """Each part that is written for a layer, and the masks of its inputs in one call."""
        if (name, node) not in self._found:
            sources = references(self._nodes[name][node])
            given = [self.of(r) for r in sources]
            found: list[tuple[Part, list[Mask | None]]] = []
            for part in self._parts[name].all:
                masks = [given[-1 - t] if t < 0 else _passed_on(*found[t], sources[0]) for t in part.takes]
                found.append((part, masks))
            self._found[name, node] = found
        return self._found[name, node]

    def _check_call(self, name: str, node: int, call: Mapping[str, Any]) -> None:
        """One call that is given a mask, or in a model with masks."""
        layer, given = self._layers[name], _given(call)
        masks = [self.of(r) for r in references(call)]
        if hasattr(layer, "layers"):
            if any(_may_read(inner) for inner in layer._flatten_layers(include_self=False)):
                self._refuse(layer, "there are masks around it, and TF.js hands one of them to every layer inside")
            return
        if _attends(layer) and any(_is_masked(n) for n in layer._inbound_nodes):
            self._refuse(layer, "its input is masked, and what takes its place in TF.js reads no mask")
        for part, inputs in self._inside(name, node):
            if given is None and _reads(part) and inputs[0] is None:
                self._refuse(layer, "its input is not masked, and TF.js hands it the mask of another layer")
            elif given is None and _reads(part):
                self._refuse(layer, "it ignores the mask of its input, which TF.js would apply")
            elif part.kind in _MERGES and _loses_its_way(part, inputs):
                self._refuse(layer, "some of its inputs are masked and others not, which TF.js fails to put together")
        if given is not None and not all(_ignores(p) for p in self._parts[name].all):
            self._check_reader(layer, masks, given)

    def _check_reader(self, layer: Any, masks: Sequence[Mask | None], given: Any) -> None:
        inner = getattr(layer, "forward_layer", layer)
        if kind_of(layer) not in (*_RUNS, "RNN"):
            self._refuse(layer, "its input is masked, which TF.js treats differently in this layer")
        elif masks[0] is None or self._written(given) != masks[0]:
            self._refuse(layer, "it is given a mask that is not the one of its input")
        elif inner.zero_output_for_mask:
            self._refuse(layer, "TF.js repeats the last output where the mask is off, and this layer returns zeros")

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
            return Mask(references(call)[0], float(call["args"][1]))
        return None


def references(call: Mapping[str, Any]) -> list[Reference]:
    """The tensors a serialized call takes, masks excepted, as (layer, node, tensor)."""
    return [tuple(t["config"]["keras_history"]) for t in tensors_of(call)]


def _passed_on(part: Part, masks: Sequence[Mask | None], source: Reference) -> Mask | None:
    """The mask of a part's output in TF.js, from those of its inputs and the input of its layer."""
    if part.kind == "Embedding":
        return Mask(source, 0.0) if part.config.get("mask_zero") else None
    if part.kind == "Masking":
        return Mask(source, float(part.config["mask_value"]))
    if part.kind in _MERGES:
        return None if all(m is None for m in masks) else _MERGED
    if part.kind in _RUNS:
        inner = part.config["layer"]["config"] if part.kind == "Bidirectional" else part.config
        return masks[0] if inner["return_sequences"] else None
    row = LAYERS.get(part.kind, Layer())
    return masks[0] if LAYERS.get(row.stands_for, row).masks else None


def _given(call: Mapping[str, Any]) -> Any:
    """The masks a serialized call is given, or None."""
    given = call["kwargs"].get("mask")
    several = given.values() if isinstance(given, dict) and "class_name" not in given else given
    return None if several is None or (not isinstance(several, dict) and all(m is None for m in several)) else given


def _reads(part: Part) -> bool:
    """Whether a part reads the mask of its input in TF.js; a TimeDistributed hands it to each step, as a whole."""
    if part.kind == "TimeDistributed":
        return part.inner is None or _reads(part.inner)
    return part.kind in _READERS


def _ignores(part: Part) -> bool:
    """Whether neither Keras nor TF.js makes anything of a mask in inference, although Keras hands it over."""
    if part.kind == "TimeDistributed" and part.inner is not None and not _reads(part):
        return _ignores(part.inner) or "mask" not in inspect.signature(part.inner.layer.call).parameters
    return part.kind == "BatchNormalization"


def _may_read(layer: Any) -> bool:
    """Whether a layer inside a nested model has a use for masks."""
    takes = "mask" in inspect.signature(layer.call).parameters or _attends(layer)
    return takes and not hasattr(layer, "layers") and kind_of(layer) != "BatchNormalization"


def _loses_its_way(part: Part, masks: Sequence[Mask | None]) -> bool:
    """Whether TF.js fails to merge masks, because some inputs have none."""
    some, every = any(m is not None for m in masks), all(m is not None for m in masks)
    if part.kind == "Concatenate":
        return some and not every and part.config["axis"] not in (-1, part.rank - 1)
    return some and not every and len(masks) > 2


def _attends(layer: Any) -> bool:
    """Whether a layer looks for masks on its inputs when it runs; no trace of that is serialized."""
    names = inspect.signature(layer.call).parameters
    return kind_of(layer) in (*ATTENTION, "Multiply", "Maximum", "Minimum") or any(n.endswith("_mask") for n in names)


def _is_masked(node: Any) -> bool:
    from keras.src.backend import get_keras_mask

    return any(get_keras_mask(t) is not None for t in node.input_tensors)
