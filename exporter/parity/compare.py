"""Comparing outputs with their reference: names, dtype, shape, non-finite pattern, values; the first failure decides.

A pure function in float64. The element gate is |a-b| <= atol*S + rtol*|b| with S the RMS of that output over all
cases of its signature (floor 1e-7), so that one bound fits logits of 1e3 and probabilities of 1e-3 alike. Slices of
another scale than the rest have an S of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exporter.model import Signature, TensorSpec, Tolerance
from exporter.outcome import Comparison, OutputComparison
from exporter.parity.slices import Slicing, Slicings, is_distribution, round_scale
from exporter.tensors import DTYPES, Array, Tensors, as_strings, dtype_name

SCALE_FLOOR = 1e-7
HISTOGRAM_DECADES = tuple(range(-9, 1))  # edges 1e-9 … 1e0 of |a-b|/S


def scales(references: Mapping[str, Tensors], floor: float = SCALE_FLOOR) -> dict[str, float]:
    """Output name -> RMS over the finite values of every case's reference, not below the floor."""
    values: dict[str, list[Array]] = {}
    for outputs in references.values():
        for name, array in outputs.items():
            if dtype_name(array) != "string":
                wide = np.abs(_widen(array)).reshape(-1)
                values.setdefault(name, []).append(wide[np.isfinite(wide)])
    return {name: max(floor, _rms(np.concatenate(parts))) for name, parts in values.items()}


def _rms(values: Array) -> float:
    """Root of the mean square, taken relative to the largest so that 1e200 does not overflow to a bound of inf."""
    largest = float(values.max()) if values.size else 0.0
    return largest * math.sqrt(float(np.mean((values / largest) ** 2))) if largest else 0.0


def compare(
    signature: Signature,
    got: Tensors,
    expected: Tensors,
    scale: Mapping[str, float],
    tolerance: Callable[[str], Tolerance],
    slicings: Slicings | None = None,
) -> Comparison:
    """Compare one set of outputs.

    `tolerance(output name)` gives the gate of each floating output; everything else must be equal. `scale` is the S of
    each floating output, `slicings` (`exporter.parity.slices`) say which slices of it have an S of their own.

    Raises:
        KeyError: a floating output has no scale.
    """
    wanted = [s.name for s in signature.outputs]
    if set(got) != set(wanted):
        missing, extra = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
        problem = "; ".join(
            p
            for p in (
                f"missing outputs: {', '.join(missing)}" if missing else "",
                f"unexpected outputs: {', '.join(extra)}" if extra else "",
            )
            if p
        )
        return Comparison((), problem, "names")
    for spec in signature.outputs:
        a, b = got[spec.name], expected[spec.name]
        if dtype_name(a) != dtype_name(b):
            return Comparison((), f"{spec.name}: dtype {dtype_name(a)}, expected {dtype_name(b)}", "dtype")
    for spec in signature.outputs:
        a, b = got[spec.name], expected[spec.name]
        if a.shape != b.shape:
            return Comparison((), f"{spec.name}: shape {list(a.shape)}, expected {list(b.shape)}", "shape")
        if b.size == 0 and not _may_be_empty(spec):
            return Comparison((), f"{spec.name}: empty, and its signature allows no zero dimension", "empty")
    for spec in signature.outputs:
        problem = _non_finite_problem(spec.name, got[spec.name], expected[spec.name])
        if problem:
            return Comparison((), problem, "non-finite")
    results = tuple(
        _values(
            s.name, got[s.name], expected[s.name], scale[s.name], tolerance(s.name), (slicings or {}).get(s.name, ())
        )
        if is_float(expected[s.name])
        else _exact(s.name, got[s.name], expected[s.name])
        for s in signature.outputs
    )
    bad = [r for r in results if not r.needed <= 1]
    if not bad:
        return Comparison(results)
    worst = max(bad, key=lambda r: r.needed)
    return Comparison(
        results,
        f"{worst.name}[{', '.join(map(str, worst.worst_index))}] is {worst.worst_got}, expected "
        f"{worst.worst_expected}: {worst.needed:.3g} times the allowed bound ({worst.allowed})",
        "values",
    )


def _may_be_empty(spec: TensorSpec) -> bool:
    return spec.shape is None or any(d is None or d == 0 for d in spec.shape)


def _widen(array: Array) -> Array:
    wide = np.complex128 if array.dtype.kind == "c" else np.float64
    return array.astype(wide)


def is_float(array: Array) -> bool:
    """Whether values have tolerances; others must be equal."""
    return dtype_name(array) in ("float16", "bfloat16", "float32", "float64", "complex64")


def _parts(array: Array) -> list[Array]:
    wide = _widen(array)
    return [wide.real, wide.imag] if wide.dtype.kind == "c" else [wide]


def _finite(array: Array) -> Array:
    """The array in float64 (complex128) with 0 for every real or imaginary part that is not finite."""
    parts = [np.where(np.isfinite(p), p, 0.0) for p in _parts(array)]
    return parts[0] + 1j * parts[1] if len(parts) == 2 else parts[0]


def _non_finite_problem(name: str, got: Array, expected: Array) -> str:
    if not is_float(got):
        return ""
    for a, b in zip(_parts(got), _parts(expected), strict=True):
        for word, test in (("NaN", np.isnan), ("+Infinity", np.isposinf), ("-Infinity", np.isneginf)):
            differs = test(a) != test(b)
            if differs.any():
                index = tuple(int(i) for i in np.argwhere(differs)[0]) if differs.ndim else ()
                return (
                    f"{name}[{', '.join(map(str, index))}] is {number(a[index])}, expected {number(b[index])}: "
                    f"{word} in {int(differs.sum())} places where the other has none"
                )
    return ""


def number(value: Any) -> Any:
    """A value as JSON carries it: Python scalars, non-finite ones as strings, bytes as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, complex):
        return str(item)
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN" if math.isnan(item) else ("Infinity" if item > 0 else "-Infinity")
    return item


def _values(
    name: str, got: Array, expected: Array, scale: float, tolerance: Tolerance, slicings: tuple[Slicing, ...]
) -> OutputComparison:
    own = round_scale(scale, slicings, SCALE_FLOOR)
    # the non-finite patterns are equal by now, so what is left are the finite parts
    a, b = _finite(got), _finite(expected)
    with np.errstate(all="ignore"):
        error = np.abs(a - b)
        bound = tolerance.atol * own + tolerance.rtol * np.abs(b)
        ratio = np.where(error == 0, 0.0, error / bound)
        relative = np.asarray(error / own)
    needed = float(ratio.max()) if ratio.size else 0.0
    worst = _index(ratio if needed > 0 else error)
    rate, rows = _top1(a, b, bound) if is_distribution(expected) else (None, 0)
    return OutputComparison(
        name=name,
        max_abs=float(error.max()) if error.size else 0.0,
        max_rel=float(relative.max()) if error.size else 0.0,
        sqnr_db=_sqnr(b.reshape(-1), error.reshape(-1)),
        cosine=_cosine(a.reshape(-1), b.reshape(-1)),
        top1=rate,
        top1_rows=rows,
        allowed=tolerance.text,
        needed=needed,
        worst_index=worst,
        worst_got=number(got[worst]) if got.size else None,
        worst_expected=number(expected[worst]) if got.size else None,
        elements=int(got.size),
        histogram=_histogram(relative.reshape(-1)),
        slice=next((found.find(name, worst) for found in slicings if found.mixed and worst), ""),
    )


def _exact(name: str, got: Array, expected: Array) -> OutputComparison:
    if dtype_name(expected) == "string":
        got, expected = as_strings(got), as_strings(expected)
        differs = np.asarray(got != expected, dtype=bool)
        error = differs.astype(np.float64)
    else:
        differs = got != expected
        # int64 and uint64 differences do not fit float64 exactly; Python integers do
        pairs = zip(got[differs].tolist(), expected[differs].tolist(), strict=True)
        error = np.zeros(got.shape)
        error[differs] = [abs(int(x) - int(y)) for x, y in pairs]
    equal = not differs.any()
    worst = _index(error)
    return OutputComparison(
        name=name,
        max_abs=float(error.max()) if error.size else 0.0,
        max_rel=0.0 if equal else math.inf,
        sqnr_db=math.inf if equal else 0.0,
        cosine=1.0 if equal else 0.0,
        top1=None,
        top1_rows=0,
        allowed="equal",
        needed=0.0 if equal else math.inf,
        worst_index=worst,
        worst_got=number(got[worst]) if got.size else None,
        worst_expected=number(expected[worst]) if got.size else None,
        elements=int(got.size),
        histogram=_histogram(np.where(differs.reshape(-1), 1.0, 0.0)),
    )


def _index(values: Array) -> tuple[int, ...]:
    if not values.size or not values.ndim:
        return ()
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))


def _sqnr(reference: Array, error: Array) -> float:
    """Signal to error ratio in dB: 10 log10(sum b^2 / sum (a-b)^2); Infinity for no error."""
    # both relative to the larger one, whose square could overflow
    top = max((float(np.abs(v).max()) for v in (reference, error) if v.size), default=0.0)
    if top == 0 or not error.any():
        return math.inf
    with np.errstate(all="ignore"):
        noise, signal = (float(np.sum(np.abs(v / top) ** 2)) for v in (error, reference))
    if not math.isfinite(top) or signal == 0:
        return -math.inf
    return 10 * math.log10(signal / noise) if noise else math.inf


def _cosine(a: Array, b: Array) -> float:
    lengths = [float(np.abs(v).max()) if v.size else 0.0 for v in (a, b)]
    if 0.0 in lengths:
        return 1.0 if np.array_equal(a, b) else 0.0
    x, y = a / lengths[0], b / lengths[1]
    product = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(min(1.0, max(-1.0, np.real(np.vdot(y, x)) / product)))


def _top1(got: Array, expected: Array, bound: Array) -> tuple[float | None, int]:
    """Agreement of argmax over rows (last axis) that are distributions, with a margin above twice the allowed error.

    The allowed error, not the one found: with the latter no row could ever disagree.
    """
    a, b = got.reshape(-1, got.shape[-1]), expected.reshape(-1, got.shape[-1])
    ordered = np.sort(b, axis=1)
    with np.errstate(over="ignore"):
        clear = ordered[:, -1] - ordered[:, -2] > 2 * bound.reshape(b.shape).max(axis=1)
    if not clear.any():
        return None, 0
    agree = a.argmax(axis=1) == b.argmax(axis=1)
    return float(agree[clear].mean()), int(clear.sum())


def _histogram(relative: Array) -> tuple[int, ...]:
    """Counts: exact zeros, below 1e-9, then one bin per decade, the last open (>= 1)."""
    zero = int((relative == 0).sum())
    edges = np.array([0.0, *(10.0**d for d in HISTOGRAM_DECADES), np.inf])
    counts, _ = np.histogram(relative[relative > 0], bins=edges)
    return (zero, *(int(c) for c in counts))


def all_non_finite(arrays: list[Array]) -> bool:
    """True when floating arrays hold values, and not one of them is finite."""
    floats = [a for a in arrays if is_float(a) and a.size]
    return bool(floats) and not any(np.isfinite(_widen(a)).any() for a in floats)


def accept_casts(signature: Signature, got: Tensors, casts: Mapping[str, str]) -> tuple[Tensors, tuple[str, ...]]:
    """Undo the runtime's declared casts on outputs, value preserving, and say which were undone."""
    out, notes = dict(got), []
    for spec in signature.outputs:
        declared = casts.get(spec.dtype)
        if spec.name not in got or declared is None or dtype_name(got[spec.name]) != declared:
            continue
        with np.errstate(all="ignore"):
            wide = got[spec.name].astype(DTYPES[spec.dtype][1])
            back = wide.astype(got[spec.name].dtype)
        if np.array_equal(back, got[spec.name], equal_nan=is_float(back)):
            out[spec.name] = wide
            notes.append(f"output {spec.name}: {declared} read as {spec.dtype} (declared cast)")
    return out, tuple(notes)
