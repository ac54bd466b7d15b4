"""The parts in which one Keras layer is written, the same for every call of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.formats._tfjs_keras_config import RECURRENT, Call, Refuse, kind_of, plain
from exporter.formats._tfjs_parts import Part, Rewrite, Shape, Unfit, expand
from exporter.tensors import Array


@dataclass(frozen=True)
class Parts:
    """What stands for one layer: the parts in their order, the last giving its output, and why there are several."""

    all: tuple[Part, ...]
    words: tuple[str, ...]

    def describe(self, name: str) -> list[str]:
        """What was rewritten, in words."""
        if not self.words:
            return []
        what = self.all[0].layer
        kinds = ", ".join(p.inner.kind if p.inner else p.kind for p in self.all)
        return [f"layer {name!r} ({type(what).__name__}): {'; '.join(self.words)}: it is now {kinds}"]


def parts_of(
    layer: Any, config: Mapping[str, Any], calls: Sequence[Call], rewrites: Sequence[Rewrite], refuse: Refuse
) -> Parts:
    """The parts of one layer, from its serialized configuration and its calls; `refuse` hears of what does not fit."""
    if not calls or hasattr(layer, "layers"):
        return Parts((), ())
    found: list[Parts] = []
    for call in calls:
        part = _whole(layer, config, call)
        try:
            parts, words = expand(part, rewrites)
        except Unfit as reason:
            refuse(layer, str(reason))
            parts, words = expand(part, ())
        found.append(Parts(tuple(parts), tuple(words)))
    if any(not _alike(p.all, found[0].all) for p in found[1:]):
        refuse(layer, "its calls differ in shape, and so would the layers that TF.js needs in its place")
    if len(calls) > 1 and kind_of(layer) in (*RECURRENT, "RNN") and any(len(call.tensors) > 1 for call in calls):
        refuse(layer, "it is called several times, not each time with states, and TF.js mixes up what they start from")
    return found[0]


def _alike(some: Sequence[Part], others: Sequence[Part]) -> bool:
    if len(some) == len(others) == 1:
        return some[0].config == others[0].config
    return [(p.kind, p.config, p.takes) for p in some] == [(p.kind, p.config, p.takes) for p in others]


def _whole(layer: Any, config: Mapping[str, Any], call: Call) -> Part:
    shapes = tuple(tuple(t["config"]["shape"]) for t in call.tensors)
    dtypes = tuple(t["config"]["dtype"] for t in call.tensors)
    output = _output_shape(layer, call, shapes)
    given = {key: plain(value) for key, value in config.items() if key not in ("name", "dtype")}
    kind = kind_of(layer)
    if kind == "TimeDistributed":
        inner = layer.layer
        steps = (shapes[0][0], *shapes[0][2:])
        if not hasattr(inner, "layers"):
            inner_config = {k: plain(v) for k, v in config["layer"]["config"].items() if k not in ("name", "dtype")}
            after = (output[0], *output[2:])
            part = Part(inner, kind_of(inner), inner_config, (steps,), dtypes, after, variables_of(inner))
            return Part(layer, kind, given, shapes, dtypes, output, inner=part)
    return Part(layer, kind, {**given, **call.arguments}, shapes, dtypes, output, variables_of(layer))


def _output_shape(layer: Any, call: Call, shapes: Sequence[Shape]) -> Shape:
    """The shape of the (first) output of this call, as the model was built with it."""
    for node in layer._inbound_nodes:
        if [tuple(t.shape) for t in node.input_tensors][: len(shapes)] == list(shapes):
            return tuple(node.output_tensors[0].shape)
    return tuple(layer._inbound_nodes[0].output_tensors[0].shape)


def variables_of(layer: Any) -> dict[str, Array]:
    """The arrays of a layer by the last part of the variable's path; what only noise needs is left out."""
    if not hasattr(layer, "get_weights"):  # an operation, whose weights may be an argument
        return {}
    weights = [v for v in layer.weights if "seed_generator" not in v.path]
    return {v.path.split("/")[-1]: v.numpy() for v in weights}
