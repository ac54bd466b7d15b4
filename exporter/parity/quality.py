"""Whether a quantized artifact is as good as its precision allows, and whether what it lost is the price or a bug.

Rounding errors of quantization are noise, so the gates count its power: SQNR = 20 log10(S / RMS of the error), with S
the RMS of the output over all cases, or of each part of it whose scale is another. The rows are in `quality.toml`.
"""

from __future__ import annotations

import fnmatch
import functools
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from exporter.model import Signature, Tolerance
from exporter.outcome import Comparison, OutputComparison
from exporter.parity.compare import compare, is_float
from exporter.parity.slices import Slicing, Slicings, find_lost_slice, is_distribution, round_scale
from exporter.tensors import Array, Tensors

TABLE = Path(__file__).with_name("quality.toml")
# Correlation with what the source's outputs vary by. Noise as strong as that variation leaves 0.7, a file whose ranges
# were measured on something else and that gives one constant leaves 0, whatever its SQNR: an offset is signal too.
FOLLOWS = 0.5
_ROWS = 4  # fewer say little of a correlation
_LOOSE = Tolerance(1e300, 1e300, "the gate is the noise, not an element")


@dataclass(frozen=True)
class Quality:
    """One row of the table. dB, and steps of the output; None where a gate does not apply."""

    recipe: str
    sqnr_db: float
    why: str
    own: Tolerance | None = None
    own_db: float | None = None
    kernel_steps: float | None = None
    kernel_db: float = math.inf


@functools.cache
def rows() -> tuple[Quality, ...]:
    found = []
    for row in tomllib.loads(TABLE.read_text())["quality"]:
        own = Tolerance(row["own_rtol"], row["own_atol"], row["why"]) if "own_rtol" in row else None
        found.append(
            Quality(
                row["recipe"],
                row["sqnr_db"],
                row["why"],
                own,
                row.get("own_db"),
                row.get("kernel_steps"),
                row.get("kernel_db", math.inf),
            )
        )
    return tuple(found)


def quality_of(recipe: str) -> Quality | None:
    """The gates of a recipe; None for one that is not quantized."""
    return next((row for row in rows() if fnmatch.fnmatchcase(recipe, row.recipe)), None)


def noise_db(got: Array, expected: Array, scale: float) -> float:
    """20 log10(scale / RMS of the error); Infinity without error, -Infinity where only one of both is finite.

    -Infinity, too, for an error where there is no signal.

    Elements that are finite in neither do not count: that their patterns are equal is compared before.
    """
    a, b = got.astype(np.float64), expected.astype(np.float64)
    counted = np.isfinite(a) | np.isfinite(b)
    # relative to the largest, so that neither 1e200 nor 1e-200 is lost in its square
    largest = float(np.abs(a[counted] - b[counted]).max(initial=0.0))
    if not math.isfinite(largest) or (largest and not scale):
        return -math.inf
    error = largest * float(np.sqrt(np.mean(((a[counted] - b[counted]) / largest) ** 2))) if largest else 0.0
    return 20 * math.log10(scale / error) if error else math.inf


def _steps_apart(got: Array, kernels: Array, step: float | None) -> float:
    """Largest distance in steps; without a known step, in 255ths of the range of the kernels' output."""
    a, b = got.astype(np.float64), kernels.astype(np.float64)
    counted = np.isfinite(a) | np.isfinite(b)
    distance = float(np.abs(a[counted] - b[counted]).max(initial=0.0))
    step = step or (float(np.ptp(b[np.isfinite(b)])) / 255 if np.isfinite(b).any() else 0.0)
    if not math.isfinite(distance) or (distance and not step):
        return math.inf
    return distance / step if distance else 0.0


@dataclass(frozen=True)
class Measured:
    """What is known of a case besides the source's own outputs.

    Attributes:
        of_data: whether it is made of data; others are outside of what was calibrated.
        signal: RMS of each output of the source over all cases.
        own: outputs of the float model with the artifact's weights.
        kernels: outputs of the reference kernels on the artifact; only of static recipes.
        steps: distance of neighbouring values by output; None where it is computed in float.
        slicings: which slices of an output have a scale of their own.
    """

    of_data: bool
    signal: Mapping[str, float]
    own: Tensors | None = None
    kernels: Tensors | None = None
    steps: Mapping[str, float | None] = field(default_factory=dict)
    slicings: Slicings = field(default_factory=dict)


Problem = tuple[str, str]


def judge(
    signature: Signature,
    got: Tensors,
    expected: Tensors,
    scale: Mapping[str, float],
    quality: Quality,
    measured: Measured,
) -> Comparison:
    """Compare the outputs of a quantized artifact with the source's own, `expected`, and with what it is to compute."""
    loose = compare(signature, got, expected, scale, lambda output: _LOOSE)
    if loose.code not in ("", "values"):
        return loose
    outputs: list[OutputComparison] = []
    problems: list[Problem] = []
    for found in loose.outputs:
        name = found.name
        if is_float(expected[name]):
            found, own_problems = _judge_float(found, got[name], expected[name], quality, measured)
            problems += own_problems
        elif found.needed > 1:
            problems.append(
                (
                    "values",
                    f"{name}[{', '.join(map(str, found.worst_index))}] is {found.worst_got}, "
                    f"expected {found.worst_expected}",
                )
            )
        outputs.append(found)
    if not problems:
        return Comparison(tuple(outputs))
    # a wrong computation explains bad quality, not the other way round
    code, words = next((p for p in problems if p[0] == "conversion"), problems[0])
    return Comparison(tuple(outputs), words, code)


def _judge_float(
    found: OutputComparison, got: Array, expected: Array, quality: Quality, measured: Measured
) -> tuple[OutputComparison, list[Problem]]:
    name = found.name
    scale = measured.signal[name]
    slicings = measured.slicings.get(name, ())
    parts = _parts(name, got, expected, scale, slicings)
    shown, ours, theirs, signal = min(parts, key=lambda part: noise_db(part[1], part[2], part[3]))
    db = noise_db(ours, theirs, signal)
    share, count, margin = agreement(got, expected) if is_distribution(expected) else (None, 0, None)
    found = replace(
        found,
        slice=shown if len(parts) > 1 else "",
        noise_db=db,
        kl=divergence(got, expected),
        top1=share if measured.of_data else None,
        top1_rows=count,
        flip_margin=margin,
        gated=measured.of_data,
    )
    problems: list[Problem] = []
    if measured.of_data:
        found = replace(found, allowed=f"SQNR >= {quality.sqnr_db:g} dB", needed=10 ** ((quality.sqnr_db - db) / 20))
        if not db >= quality.sqnr_db:
            problems.append(
                ("quality", f"{shown}: {db:.1f} dB SQNR, expected at least {quality.sqnr_db:g} ({quality.why})")
            )
        lost = find_lost_slice(got, expected, slicings)
        if lost is not None:
            slicing, index, words = lost
            found = replace(found, slice=slicing.name(name, [index]), needed=max(found.needed, 2.0))
            problems.append(("quality", f"{slicing.name(name, [index])} {words}"))
        followed = [(follows(part[1], part[2]), part[0], part[1]) for part in parts]
        least = min(
            (one for one in followed if one[0] is not None), default=(None, name, got), key=lambda one: one[0] or 0
        )
        found = replace(found, follows=least[0])
        if found.follows is not None and not found.follows >= FOLLOWS:
            found = replace(found, needed=max(found.needed, FOLLOWS / max(found.follows, 1e-3)))
            problems.append(
                (
                    "quality",
                    f"{least[1]}: what varies from row to row has a correlation of {found.follows:.2g} with the "
                    f"source, expected at least {FOLLOWS:g}: the output {_loses(least[2])}",
                )
            )
    else:
        found = replace(found, allowed="SQNR not gated: made-up inputs", needed=0.0)
    # a static artifact cuts off what lies outside of the calibrated ranges, as made-up inputs may
    if measured.own is not None and (measured.of_data or measured.kernels is None):
        problems += _own_problems(name, got, measured.own[name], scale, quality, slicings)
    if measured.kernels is not None and quality.kernel_steps is not None:
        kernels = measured.kernels[name]
        apart = _steps_apart(got, kernels, measured.steps.get(name))
        found = replace(found, steps=apart)
        between = noise_db(got, kernels, scale)
        if apart > quality.kernel_steps + 1e-3 and between < quality.kernel_db:
            problems.append(
                (
                    "conversion",
                    f"{name}: {apart:.3g} steps of the output, {between:.1f} dB, away from what the reference kernels "
                    f"make of this file, expected at most {quality.kernel_steps:g} steps, or {quality.kernel_db:g} dB: "
                    "this runtime computes something else",
                )
            )
    return found, problems


def _parts(
    name: str, got: Array, expected: Array, scale: float, slicings: Iterable[Slicing]
) -> list[tuple[str, Array, Array, float]]:
    """Name, values, reference and signal of each part of another scale; of the whole where there is one scale."""
    found = [
        (slicing.name(name, part.indices), slicing.take(got, part), slicing.take(expected, part), part.rms)
        for slicing in slicings
        if slicing.mixed
        for part in slicing.parts
    ]
    return found or [(name, got, expected, scale)]


def _own_problems(
    name: str, got: Array, own: Array, scale: float, quality: Quality, slicings: tuple[Slicing, ...]
) -> list[Problem]:
    """Why an output is not that of the float model with the artifact's own weights."""
    if quality.own_db is not None:
        parts = _parts(name, got, own, scale, slicings)
        name, db = min(((part[0], noise_db(*part[1:])) for part in parts), key=lambda one: one[1])
        if not db >= quality.own_db:
            return [
                (
                    "conversion",
                    f"{name}: {db:.1f} dB against the float model with this file's own weights, expected at least "
                    f"{quality.own_db:g}: it computes something else",
                )
            ]
    if quality.own is not None:
        a, b = got.astype(np.float64), own.astype(np.float64)
        counted = np.isfinite(a) | np.isfinite(b)
        # where both are zero, no bound is needed
        unit = np.broadcast_to(round_scale(scale, slicings, 0.0), b.shape)[counted]
        bound = np.maximum(quality.own.atol * unit + quality.own.rtol * np.abs(b[counted]), np.finfo(float).tiny)
        needed = float((np.abs(a[counted] - b[counted]) / bound).max(initial=0.0))
        if not needed <= 1:
            return [
                (
                    "conversion",
                    f"{name}: {needed:.3g} times the allowed bound ({quality.own.text}) from the float model with this "
                    "file's own weights",
                )
            ]
    return []


def follows(got: Array, expected: Array) -> float | None:
    """Correlation between what varies from row to row in both; 0 where `got` does not vary.

    None for fewer than 4 rows, and where the rows of `expected` are alike.
    """
    if expected.ndim < 1 or len(expected) < _ROWS or not expected.size:
        return None
    a, b = (np.where(np.isfinite(x), x, 0).astype(np.float64) for x in (got, expected))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    # the mean of equal rows is rounded
    ours, theirs = (float(np.abs(x).max()) for x in (a, b))
    if theirs <= 1e-6 * float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)):
        return None
    if not ours:
        return 0.0
    a, b = a / ours, b / theirs
    return float((a * b).sum() / math.sqrt(float((a * a).sum()) * float((b * b).sum())))


def _loses(got: Array) -> str:
    same = bool((got == got[:1]).all())
    return "is one constant for all rows" if same else "no longer follows the input"


def agreement(got: Array, expected: Array) -> tuple[float | None, int, float | None]:
    """Share of rows (last axis) with the same argmax, their number, and the largest margin of a row that changed.

    The margin is the first minus the second of the reference's row: a change at a small one is a coin that was tossed
    again, at a large one it is a bug. None for outputs that are no rows of several numbers, or where no row changed.
    """
    if expected.ndim < 2 or expected.shape[-1] < 2 or not expected.size:
        return None, 0, None
    a, b = (x.astype(np.float64).reshape(-1, x.shape[-1]) for x in (got, expected))
    same = a.argmax(axis=1) == b.argmax(axis=1)
    ordered = np.sort(b, axis=1)
    margins = (ordered[:, -1] - ordered[:, -2])[~same]
    return float(same.mean()), len(same), float(margins.max()) if len(margins) else None


def divergence(got: Array, expected: Array) -> float | None:
    """Mean Kullback-Leibler divergence of `got` from `expected`, in nats, where the rows of both are probabilities."""
    if expected.ndim < 2 or expected.shape[-1] < 2 or not expected.size:
        return None
    a, b = (x.astype(np.float64).reshape(-1, x.shape[-1]) for x in (got, expected))
    if not all((x >= 0).all() and np.allclose(x.sum(axis=1), 1, atol=0.05) for x in (a, b)):
        return None
    a, b = np.clip(a, 1e-12, None), np.clip(b, 1e-12, None)
    return float(np.mean(np.sum(b * np.log(b / a), axis=1)))
