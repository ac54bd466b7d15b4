"""Shapes that the user fixes: the converted signatures have them, so that every trace and every file does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import tensorflow as tf

from exporter.errors import InputsError
from exporter.source.source import Source
from exporter.source.trace import dims
from exporter.text import did_you_mean

Shape = Sequence[int | None]


def fix_shapes(source: Source, shapes: Mapping[str, Shape]) -> None:
    """Give inputs the shapes that the user fixed, in every signature that has them; before anything is traced.

    Raises:
        InputsError: no signature has such an input, or a shape contradicts the source's own.
    """
    known = list(dict.fromkeys(name for call in source.calls.values() for name in call.specs))
    for name in shapes:
        if name not in known:
            raise InputsError(
                "unknown-input", f"--shape names {name!r}{did_you_mean(name, known)}", f"inputs: {', '.join(known)}"
            )
    source.calls = {
        signature: replace(
            call,
            specs={
                name: tf.TensorSpec(_fix(name, dims(spec.shape), shapes[name]), spec.dtype, name=name)
                if name in shapes
                else spec
                for name, spec in call.specs.items()
            },
        )
        for signature, call in source.calls.items()
    }


def _fix(name: str, own: tuple[int | None, ...] | None, given: Shape) -> list[int | None]:
    if own is None:
        return list(given)
    fits = len(own) == len(given) and all(
        size is None or wanted is None or size == wanted for size, wanted in zip(own, given, strict=True)
    )
    if not fits:
        raise InputsError(
            "bad-shape",
            f"--shape {name}:{_words(given)} contradicts the source, which takes {name}:{_words(own)}",
            f"give {len(own)} sizes, and the source's own where it has a fixed one",
        )
    return [wanted if size is None else size for size, wanted in zip(own, given, strict=True)]


def _words(shape: Shape) -> str:
    return ",".join("?" if size is None else str(size) for size in shape)
