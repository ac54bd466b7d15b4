"""What a Keras layer consists of on its way to TF.js, and how one becomes several that TF.js has.

A rewrite is data plus a small pure function: it looks at a `Part` and returns the `Step`s that compute the same, or
None where it does not apply. Steps are Keras layers again (or operations), so they are rewritten in turn, until every
part is a row of the allow-list; what is no row then is refused as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.tensors import Array

# the batch first; None is a dimension that is known at run time only
Shape = tuple[int | None, ...]
# what a step takes: the number of a step before it, or one of these for an input of the layer
INPUT, SECOND = -1, -2


@dataclass(frozen=True)
class Tensor:
    """Stands in the arguments of an operation for its input with that number."""

    index: int


class Unfit(Exception):
    """A rewrite exists for this layer, and does not fit it; the message says why."""


@dataclass(frozen=True)
class Part:
    """One layer to write: Keras class, configuration and arrays by variable, and the shapes it is called on.

    `layer` is the Keras layer it comes from, whole or in part. `takes` are its inputs, as in `Step`. `inner` is what a
    TimeDistributed wraps. Classes of `keras.ops` are called `ops.Add`, and their arguments are `config["args"]`.
    """

    layer: Any
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    output: Shape
    variables: Mapping[str, Array] = field(default_factory=dict)
    takes: tuple[int, ...] = ()
    inner: Part | None = None

    @property
    def rank(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True)
class Step:
    """One layer that a rewrite puts in the place of another.

    `takes` numbers its inputs; without it they are the step before, or all inputs of the layer for the first step.
    `output` is its shape, or None where that is the shape of its first input.
    """

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    output: Shape | None = None
    variables: Mapping[str, Array] = field(default_factory=dict)
    takes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rewrite:
    """`steps(part)` for a part of one of the classes `kinds`; `words` complete "layer 'x' (Kind): "."""

    kinds: tuple[str, ...]
    steps: Callable[[Part], Sequence[Step] | None]
    words: str


def expand(part: Part, rewrites: Sequence[Rewrite]) -> tuple[list[Part], list[str]]:
    """The parts that compute `part`, each with explicit `takes`, the last giving its output; and what was done.

    Raises:
        Unfit: a rewrite exists, and this layer is beyond it.
    """
    whole = replace(part, takes=tuple(-1 - i for i in range(len(part.inputs))))
    if part.inner is not None:
        return _expand_inner(whole, part.inner, rewrites)
    for rewrite in rewrites:
        steps = rewrite.steps(whole) if part.kind in rewrite.kinds else None
        if steps is not None:
            parts, words = _expand_steps(whole, steps, rewrites)
            return parts, [rewrite.words, *words]
    return [whole], []


def _expand_inner(whole: Part, inner: Part, rewrites: Sequence[Rewrite]) -> tuple[list[Part], list[str]]:
    """A TimeDistributed around several layers is a TimeDistributed around each."""
    length = whole.inputs[0][1]
    found, words = expand(inner, rewrites)
    parts = []
    for part in found:
        inputs = tuple((s[0], length, *s[1:]) for s in part.inputs)
        output = (part.output[0], length, *part.output[1:])
        parts.append(replace(whole, inputs=inputs, dtypes=part.dtypes, output=output, takes=part.takes, inner=part))
    if any(len(p.takes) > 1 for p in parts):
        raise Unfit("TF.js' TimeDistributed takes one input, and what its layer becomes takes two")
    return parts, words


def _expand_steps(whole: Part, steps: Sequence[Step], rewrites: Sequence[Rewrite]) -> tuple[list[Part], list[str]]:
    parts: list[Part] = []
    words: list[str] = []
    ends: list[int] = []  # step -> the part that gives its output
    for number, step in enumerate(steps):
        takes = step.takes or ((number - 1,) if number else whole.takes)
        sources = [whole.inputs[-1 - t] if t < 0 else parts[ends[t]].output for t in takes]
        dtypes = tuple(whole.dtypes[-1 - t] if t < 0 else "float32" for t in takes)
        output = step.output or sources[0]
        inherited = {k: v for k, v in whole.config.items() if k == "trainable" and step.variables}
        config = {**inherited, **step.config}
        part = Part(whole.layer, step.kind, config, tuple(sources), dtypes, output, step.variables)
        found, more = expand(part, rewrites)
        start = len(parts)
        resolved = [t if t < 0 else ends[t] for t in takes]
        parts += [replace(p, takes=tuple(resolved[-1 - t] if t < 0 else start + t for t in p.takes)) for p in found]
        ends.append(len(parts) - 1)
        words += more
    return parts, words


def static(dimensions: Sequence[int | None], why: str) -> tuple[int, ...]:
    """Dimensions that must be known now. Raises Unfit(why) if one is not."""
    known = tuple(d for d in dimensions if d is not None)
    if len(known) < len(dimensions):
        raise Unfit(why)
    return known


def elementwise(kind: str, *takes: int, **config: Any) -> Step:
    """A step that keeps the shape of its input."""
    return Step(kind, config, takes=takes)


def rescale(scale: float = 1.0, offset: float = 0.0, *takes: int) -> Step:
    return Step("Rescaling", {"scale": scale, "offset": offset}, takes=takes)


def reshape(output: Shape, *takes: int) -> Step:
    """A Reshape to a shape of which one dimension besides the batch may be dynamic. Raises Unfit for more."""
    target = [-1 if d is None else d for d in output[1:]]
    if target.count(-1) > 1:
        raise Unfit("more than one of its dimensions is dynamic")
    return Step("Reshape", {"target_shape": target}, output, takes=takes)


def permute(source: Shape, dims: Sequence[int], *takes: int) -> Step:
    """A Permute of a shape: `dims` as Keras has them, without the batch and counted from 1."""
    return Step("Permute", {"dims": list(dims)}, (source[0], *(source[d] for d in dims)), takes=takes)
