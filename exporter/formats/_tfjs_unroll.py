"""Recurrent layers of a TF.js graph without loops, so that `predict` runs it: `tfjs-graph:unroll=64`.

It costs operations: each step has its own, so a file is larger by some kB for each step of each layer, while the
weights are there once. Layers of an open length, or a longer one, stay loops, and the file then needs `executeAsync`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.formats import Option, Refused
from exporter.formats._tflite_unroll import MOST_STEPS

if TYPE_CHECKING:
    from exporter.source.source import Source
    from exporter.source.unrolling import Unrolled


@dataclass(frozen=True)
class Loopless:
    """What to convert, and how its layers were unrolled, if that was asked for."""

    source: Source
    unrolled: Unrolled | None = None

    def said(self) -> list[str]:
        """What was done, in words, once every signature was traced.

        Raises:
            Refused: nothing could be unrolled.
        """
        if self.unrolled is None:
            return []
        if not self.unrolled.done:
            found = ", ".join(f"{layer!r} has {_length(steps)}" for layer, steps in self.unrolled.calls)
            raise Refused(
                f"unroll={self.unrolled.most} unrolls nothing: {found or 'there is no recurrent layer of Keras'}; fix "
                "the length with --shape, or leave unroll out"
            )
        steps = ", ".join(f"{layer!r} ({n} steps)" for layer, n in self.unrolled.done)
        return [f"recurrent layers unrolled: {steps}"]


def without_loops(source: Source, options: Mapping[str, str]) -> Loopless:
    """The source, with its recurrent layers unrolled as the option says; made once for each length."""
    most = int(options.get("unroll", UNROLL.default))
    if not most:
        return Loopless(source)
    from exporter.source.unrolling import unrolled

    made = source.derived.setdefault("unrolled steps", {})
    if most not in made:
        made[most] = Loopless((other := unrolled(source, most)).source, other)
    found: Loopless = made[most]
    return found


def _length(steps: int | None) -> str:
    return "an open length" if steps is None else f"{steps} steps"


def _steps(text: str) -> None:
    if not text.isdecimal() or int(text) > MOST_STEPS:
        raise ValueError(f"expected a number of steps from 0 to {MOST_STEPS}, found {text!r}")


UNROLL = Option("0", f"unroll recurrent layers of a fixed length up to this, at most {MOST_STEPS}; 0: none", _steps)
