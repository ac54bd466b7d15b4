"""Which slices of an output are judged by a size of their own, decided from the reference over all cases.

A head that joins pixel boxes (0 to 640) with scores (0 to 1) is two outputs in one array: judged as one cloud of
numbers, the boxes hide whatever happens to the scores. Slices are taken along the last axis, and along every other axis
but the batch's whose slices differ in size. Those of alike size are one part, which has its own S. An artifact never
decides its own parts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.tensors import Array, Tensors, dtype_name

# Slices within this factor are of one scale. int8 has 255 steps: an eighth of the scale still has 32 of them, 29 dB.
ALIKE = 8.0
# The logits of one head lie on levels of their own and vary alike: of a thousand some lie near zero, what serves the
# others serves those. Beyond this factor on levels, 4 of 255 steps, nothing is left to vary in.
_LEVEL = 64.0
# Sigmoid, softmax and tanh turn the rounding of a logit into an absolute error, however rare the class: what lies
# within 0 to 1 (-1 to 1) is one scale, whose unit is 1 for rounding.
_UNIT = 1.0
_STEPS = 255  # of an integer of 8 bits over the range of a part
# What a slice must vary by, to be missed when it is constant: less than this share of its part is the noise that the
# gates allow (17 dB are a seventh of S).
_VARIES = 1 / ALIKE
_LEVELS = 16  # fewer distinct values than this are labels, or too few to tell half of them from chance
_SUM = 1e-3  # how far rows of probabilities may be from 1, stored as float16 or bfloat16 with a few classes


@dataclass(frozen=True)
class Part:
    """Slices of alike scale along one axis.

    Attributes:
        indices: of the slices, ascending.
        rms: root mean square of all their values, in every case.
        rounding: the S of float bounds: `rms`, or the unit of what is bounded by it, not above the whole's S.
        span: largest minus smallest value, with zero between them: every integer format keeps it.
    """

    indices: tuple[int, ...]
    rms: float
    rounding: float
    span: float


@dataclass(frozen=True)
class Slicing:
    """The parts of an output along one axis, which is 1 or more."""

    axis: int
    rank: int
    length: int
    parts: tuple[Part, ...]

    @property
    def mixed(self) -> bool:
        """Whether slices differ in scale."""
        return len(self.parts) > 1

    def rounding(self) -> Array:
        """The S of float bounds for each slice, as an array that broadcasts against the output."""
        found = np.zeros(self.length)
        for part in self.parts:
            found[list(part.indices)] = part.rounding
        return found.reshape([-1 if axis == self.axis else 1 for axis in range(self.rank)])

    def take(self, array: Array, part: Part) -> Array:
        """The slices of one part of an output."""
        return array.take(part.indices, axis=self.axis)

    def find(self, output: str, index: Sequence[int]) -> str:
        """The name of the part that an element is in."""
        return self.name(output, next(part for part in self.parts if index[self.axis] in part.indices).indices)

    def name(self, output: str, indices: Iterable[int]) -> str:
        """`pred[..., 4:9]` for slices of the last axis, `pred[:, 4]` for one of another."""
        shown = _ranges(sorted(indices))
        if self.axis == self.rank - 1:
            return f"{output}[..., {shown}]"
        return f"{output}[{', '.join([':'] * self.axis + [shown])}]"


Slicings = Mapping[str, tuple[Slicing, ...]]


def _ranges(indices: Sequence[int]) -> str:
    """`4:9` for five in a row, `0:4, 9:13 and 12 more` for the first two ranges of several."""
    groups = [
        [index for _, index in group]
        for _, group in itertools.groupby(enumerate(indices), lambda pair: pair[1] - pair[0])
    ]
    shown = [str(g[0]) if len(g) == 1 else f"{g[0]}:{g[-1] + 1}" for g in groups[:2]]
    more = sum(map(len, groups[2:]))
    return ", ".join(shown) + (f" and {more} more" if more else "")


def find_slicings(references: Mapping[str, Tensors]) -> dict[str, tuple[Slicing, ...]]:
    """Output name -> how it is sliced, from each case's reference.

    Integers, strings and complex numbers are not, nor what has other ranks in other cases.
    """
    arrays: dict[str, list[Array]] = {}
    for outputs in references.values():
        for name, array in outputs.items():
            arrays.setdefault(name, []).append(array)
    return {name: _slice_output(found) for name, found in arrays.items()}


def _slice_output(arrays: Sequence[Array]) -> tuple[Slicing, ...]:
    ranks = {array.ndim for array in arrays}
    if len(ranks) != 1 or any(dtype_name(a) not in ("float16", "bfloat16", "float32", "float64") for a in arrays):
        return ()
    rank = ranks.pop()
    wide = [array.astype(np.float64) for array in arrays if array.size]
    if not wide or not any(np.any(w[np.isfinite(w)]) for w in wide):
        return ()
    whole = float(_Sums.of([w.reshape(1, -1) for w in wide]).rms()[0])
    found = []
    for axis in range(1, rank):
        lengths = {w.shape[axis] for w in wide}
        if len(lengths) == 1 and lengths != {1}:
            sums = _Sums.of([np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1) for w in wide])
            parts = tuple(_part(group, sums, whole) for group in _groups(sums))
            if len(parts) > 1 or axis == rank - 1:
                found.append(Slicing(axis, rank, lengths.pop(), parts))
    return tuple(found)


@dataclass(frozen=True)
class _Sums:
    """What is summed over the finite values of each slice (first axis), relative to `unit` so that squares fit."""

    count: Array
    total: Array
    squares: Array
    low: Array
    high: Array
    unit: float

    @staticmethod
    def of(rows: Sequence[Array]) -> _Sums:
        joined = np.concatenate(rows, axis=1)
        finite = np.isfinite(joined)
        unit = float(np.abs(joined[finite]).max(initial=0.0)) or 1.0
        values = np.where(finite, joined, 0.0) / unit
        return _Sums(
            finite.sum(axis=1),
            values.sum(axis=1),
            (values**2).sum(axis=1),
            np.where(finite, joined, np.inf).min(axis=1),
            np.where(finite, joined, -np.inf).max(axis=1),
            unit,
        )

    def rms(self) -> Array:
        return self.unit * np.sqrt(self.squares / np.maximum(self.count, 1))

    def deviation(self) -> Array:
        count = np.maximum(self.count, 1)
        return self.unit * np.sqrt(np.maximum(self.squares / count - (self.total / count) ** 2, 0.0))


def _groups(sums: _Sums) -> list[list[int]]:
    """Indices of slices of alike scale, the largest first; what is zero everywhere is judged beside the largest."""
    rms, deviation = sums.rms(), sums.deviation()
    bounded = (sums.low >= -_UNIT) & (sums.high <= _UNIT)
    # all that is bounded is of the scale of its largest
    scale = np.where(bounded, float(rms[bounded].max(initial=0.0)), rms)
    varies = np.where(bounded, float(deviation[bounded].max(initial=0.0)), deviation)
    groups: list[list[int]] = []
    first = -1
    for index in sorted(np.flatnonzero(rms), key=lambda i: (-scale[i], i)):
        level = scale[index] * (_LEVEL if varies[index] * ALIKE >= varies[first] else ALIKE)
        if not groups or level < scale[first]:
            groups.append([])
            first = int(index)
        groups[-1].append(int(index))
    groups[0] += [int(i) for i in np.flatnonzero(rms == 0)]
    return [sorted(group) for group in groups]


def _part(group: list[int], sums: _Sums, whole: float) -> Part:
    count = max(int(sums.count[group].sum()), 1)
    rms = sums.unit * math.sqrt(float(sums.squares[group].sum()) / count)
    low, high = float(sums.low[group].min()), float(sums.high[group].max())
    floor = _UNIT if low >= -_UNIT and high <= _UNIT else 0.0
    return Part(tuple(group), rms, min(max(rms, floor), whole), max(high, 0.0) - min(low, 0.0))


def round_scale(scale: float, slicings: Iterable[Slicing], floor: float) -> Array | float:
    """The S of float bounds: `scale`, or what each slice has of its own where they differ, not below `floor`."""
    found: Array | float = scale
    for slicing in slicings:
        if slicing.mixed:
            found = np.minimum(found, np.maximum(slicing.rounding(), floor))
    return found


def is_distribution(expected: Array) -> bool:
    """Whether each row (last axis) holds probabilities of exclusive classes: none negative, and their sum is 1."""
    if expected.ndim < 2 or expected.shape[-1] < 2 or not expected.size or expected.dtype.kind == "c":
        return False
    rows = expected.astype(np.float64).reshape(-1, expected.shape[-1])
    return bool(np.isfinite(rows).all() and (rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) <= _SUM).all())


def find_lost_slice(got: Array, expected: Array, slicings: Iterable[Slicing]) -> tuple[Slicing, int, str] | None:
    """The first slice that became constant, or lost more than half of its distinct levels, with what it did, in words.

    What a slice should keep is counted on the reference in 255 steps over the range of its part: an 8-bit output that
    is right has those. Fewer than 16 of them are labels, or too few to tell.
    """
    for slicing in slicings:
        for part in slicing.parts:
            step = part.span / _STEPS
            for index in part.indices if step else ():
                a, b = (np.take(x, index, axis=slicing.axis).astype(np.float64).reshape(-1) for x in (got, expected))
                finite = np.isfinite(a) & np.isfinite(b)
                words = _lost(a[finite], b[finite], step, part.span)
                if words:
                    return slicing, index, words
    return None


def _lost(got: Array, expected: Array, step: float, span: float) -> str:
    if expected.size < 2 or float(np.ptp(expected)) < _VARIES * span:
        return ""
    if not np.ptp(got):
        return (
            f"is the constant {got[0]:.6g}, where the source varies from {expected.min():.6g} to {expected.max():.6g}"
        )
    kept, wanted = len(np.unique(got)), len(np.unique(np.rint(expected / step)))
    if wanted >= _LEVELS and 2 * kept < wanted:
        return f"takes {kept} distinct values, where the source takes {wanted} in 255 steps over the range of its part"
    return ""
