"""Recurrent Keras models without loops, for static quantization.

A recurrent layer becomes a loop in TensorFlow Lite. Loops keep their own subgraphs, whose activations neither maker of
quantized files measures: TFLiteConverter ends the process (SIGSEGV), ai-edge-quantizer cannot run the file with all
tensors kept. So they are traced as one step after the other, for a number of steps that is fixed then; the batch stays
open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.formats import Refused
from exporter.formats.tflite import LOOPS, Configure, Converted, convert

if TYPE_CHECKING:
    from exporter.source.source import Source

MOST_STEPS = 128  # above, the file has tens of thousands of operations


def has_loops(source: Source) -> bool:
    """Whether some signature is a loop in TensorFlow Lite."""
    from exporter.source.trace import graph_ops

    return any(LOOPS & set(graph_ops(source.concrete(name))) for name in source.signatures)


@dataclass(frozen=True)
class Unrolled:
    """A source without loops, the shapes that this fixed, and the words for it."""

    source: Source
    pinned: Mapping[str, tuple[int | None, ...]]
    words: str

    def convert(self, configure: Configure) -> Converted:
        """Flatbuffers of it, as `exporter.formats.tflite.convert` makes them."""
        made = convert(self.source, configure)
        entries = {key: replace(entry, pinned=self.pinned) for key, entry in made.entries.items()}
        return Converted(made.files, entries, (self.words,), made.traced)


def unrolled(source: Source) -> Unrolled:
    """The model with its recurrent layers unrolled to the steps of the example inputs, made once.

    Raises:
        Refused: the loop is not one of Keras' recurrent layers, or nothing tells the number of steps.
    """
    if "unrolled" not in source.derived:
        source.derived["unrolled"] = _unrolled(source)
    made: Unrolled = source.derived["unrolled"]
    return made


def float_unrolled(source: Source) -> Converted:
    """The float flatbuffers of the unrolled model, made once. Raises as `unrolled`."""
    if "tflite-unrolled" not in source.derived:
        source.derived["tflite-unrolled"] = unrolled(source).convert(lambda converter, names, shapes: None)
    made: Converted = source.derived["tflite-unrolled"]
    return made


def _unrolled(source: Source) -> Unrolled:
    from exporter.source import unrolling

    if source.keras_model is None or len(source.signatures) != 1:
        raise Refused(
            "the graph holds a loop, which static quantization does not survive, and only recurrent layers of a Keras "
            "model can be unrolled; use tflite-dynamic"
        )
    ((name, signature),) = source.signatures.items()
    pinned: dict[str, tuple[int | None, ...]] = {}
    for spec in signature.inputs:
        example = source.examples.get(name, {}).get(spec.name)
        if spec.shape is None or example is None:
            raise Refused(f"nothing tells how many steps input {spec.name!r} is to be unrolled to; give --inputs")
        steps = (n if d is None else d for d, n in zip(spec.shape[1:], example.shape[1:], strict=True))
        shape = (spec.shape[0], *steps)
        if shape != spec.shape:
            pinned[spec.name] = shape
    made = unrolling.unrolled(source, MOST_STEPS, {name: pinned})
    looping = has_loops(made.source)
    longest = max((n for _, n in made.calls if n is not None), default=0)
    if longest > MOST_STEPS:
        raise Refused(
            f"{longest} steps of a recurrent layer would be unrolled, expected at most {MOST_STEPS}; give shorter "
            "--inputs, or use tflite-dynamic"
        )
    if looping:
        raise Refused("the graph holds a loop that is no recurrent layer of Keras; use tflite-dynamic")
    shapes = ", ".join(f"{key} {list(shape)}" for key, shape in pinned.items())
    words = f"{name}: recurrent layers unrolled, because loops cannot be quantized statically"
    return Unrolled(made.source, pinned, f"{words}; inputs pinned to {shapes}" if pinned else words)
