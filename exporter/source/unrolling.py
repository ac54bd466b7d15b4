"""Recurrent layers of Keras as one step after the other instead of as a loop.

Loops cost more than time: TF.js runs them by `executeAsync` only, and nothing quantizes them statically. A layer whose
sequence has a fixed length is traced with `unroll=True`, which is the same arithmetic; the model itself is not copied,
so names, weights and layers stay those of the source.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras import ops
from keras.layers import RNN

from exporter.source.source import NamedCall, Shapes, Source


@dataclass(frozen=True)
class Unrolled:
    """A source that is traced so.

    `most` is the largest length that is unrolled, in steps; `calls` are those of recurrent layers that were traced so
    far, each a layer and the length of its sequence, None where that is open.
    """

    source: Source
    most: int
    calls: Mapping[tuple[str, int | None], None]

    @property
    def done(self) -> list[tuple[str, int]]:
        """The layers that are unrolled, with their steps."""
        return [(layer, n) for layer, n in self.calls if n is not None and n <= self.most]


@dataclass
class _Trace:
    most: int
    calls: dict[tuple[str, int | None], None] = field(default_factory=dict)

    def replacing(self, inner_loop: Callable[..., Any]) -> Callable[..., Any]:
        """`RNN.inner_loop` that unrolls, and notes each length it sees."""

        def loop(layer: Any, sequences: Any, initial_state: Any, mask: Any, training: Any = False) -> Any:
            if layer.unroll:
                return inner_loop(layer, sequences, initial_state, mask, training)
            steps = sequences.shape[1]
            self.calls[layer.path, steps] = None
            if steps is None or not 0 < steps <= self.most:
                return inner_loop(layer, sequences, initial_state, mask, training)
            backwards, layer.unroll = layer.go_backwards, True
            if backwards and mask is not None:
                # Keras 3.15 reads the mask of an unrolled layer forwards where it clears masked outputs
                sequences, mask, layer.go_backwards = ops.flip(sequences, 1), ops.flip(mask, 1), False
            try:
                return inner_loop(layer, sequences, initial_state, mask, training)
            finally:
                layer.unroll, layer.go_backwards = False, backwards

        return loop


def unrolled(source: Source, most: int, pinned: Mapping[str, Shapes] | None = None) -> Unrolled:
    """The same source, traced with every recurrent layer of at most `most` steps unrolled.

    `pinned` fixes shapes of inputs, by signature and input.
    """
    trace = _Trace(most)
    source.staging.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="unrolled-", dir=source.staging))  # its SavedModel is another one
    other = replace(
        source,
        calls={name: _call(call, trace, (pinned or {}).get(name, {})) for name, call in source.calls.items()},
        staging=staging,
        derived={},
        _signatures={},
        _traces={},
        _frozen={},
        _calls={},
    )
    return Unrolled(other, most, trace.calls)


def _call(call: NamedCall, trace: _Trace, shapes: Shapes) -> NamedCall:
    import tensorflow as tf

    def unrolling(**tensors: Any) -> Any:
        with _patched(trace):
            return call.call(**tensors)

    specs = {n: tf.TensorSpec(shapes.get(n, spec.shape), spec.dtype, name=n) for n, spec in call.specs.items()}
    return replace(call, specs=specs, call=unrolling)


@contextlib.contextmanager
def _patched(trace: _Trace) -> Iterator[None]:
    original = RNN.inner_loop
    RNN.inner_loop = trace.replacing(original)
    try:
        yield
    finally:
        RNN.inner_loop = original
