"""Calibration data: the rows that static quantization measures activations on, and what is suspicious about them.

Bad calibration data are the commonest way to a useless int8 model, and the converters take any. The rows are audited
before they are used; a finding is a named warning in the report, or an error with --strict-calibration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exporter.errors import InputsError
from exporter.model import Json, Signature
from exporter.parity.cases import fit
from exporter.tensors import Array, Tensors, as_strings, dtype_name

ENOUGH = 100  # rows; ai-edge-quantizer's and LiteRT's guides ask for 100 to 500
SAMPLES = 256  # rows that are used of those given
_RANGE = 4.0  # times that calibration may be wider or narrower than the inputs of the cases
_SHARED = 0.5  # share of calibration rows that may be those of the evaluation
_UNIFORM = 1.95  # sqrt(n) * Kolmogorov's distance that values of the same distribution exceed once in a thousand


@dataclass(frozen=True)
class Finding:
    """Something suspicious about calibration data: a name, and a sentence with the figures."""

    code: str
    message: str

    def to_json(self) -> Json:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True)
class Calibration:
    """Rows by signature and input, where they came from, and what the audit found.

    `sha256` is of the rows that are used: names, dtypes, shapes and bytes in the order of the names.
    """

    origin: str
    rows: Mapping[str, Tensors]
    seed: int
    sha256: str
    findings: tuple[Finding, ...]

    def to_json(self) -> Json:
        return {
            "origin": self.origin,
            "samples": {name: _count(rows) for name, rows in self.rows.items()},
            "seed": self.seed,
            "sha256": self.sha256,
            "findings": [finding.to_json() for finding in self.findings],
        }


def calibration(
    origin: str,
    given: Mapping[str, Tensors],
    signatures: Iterable[Signature],
    evaluation: Mapping[str, Tensors],
    *,
    seed: int,
    samples: int = SAMPLES,
) -> Calibration:
    """Check, choose and audit rows.

    Args:
        given: signature -> input -> rows.
        evaluation: the same of the data that the artifact is judged by; may be empty.
        samples: as many rows are drawn where there are more.

    Raises:
        InputsError: rows do not fit their signature, or hold NaN or infinity.
    """
    rows: dict[str, Tensors] = {}
    for signature in signatures:
        if signature.name in given:
            try:
                fitting = fit(with_open_rows(signature), given[signature.name])
            except InputsError as error:
                raise InputsError(error.code, f"calibration: {error.message}", error.hint) from error
            _check_finite(signature.name, fitting)
            rows[signature.name] = _chosen(fitting, seed, samples)
    findings = [
        finding
        for name, own in rows.items()
        for finding in audit(own, evaluation.get(name, {}), prefix=_prefix(rows, name))
    ]
    return Calibration(origin, rows, seed, rows_digest(rows), tuple(findings))


def with_open_rows(signature: Signature) -> Signature:
    """The signature for any number of rows, where all inputs fix the same one: it is fed so many at a time."""
    sizes = {spec.shape[0] if spec.shape else None for spec in signature.inputs}
    if len(sizes) != 1 or None in sizes:
        return signature
    inputs = tuple(replace(spec, shape=(None, *(spec.shape or ())[1:])) for spec in signature.inputs)
    return replace(signature, inputs=inputs)


def gathered(cases: Sequence[Tensors]) -> Tensors:
    """All rows of cases of one signature that have the shape of those in the largest case, by input."""
    largest = max(cases, key=_count)
    same = [c for c in cases if all(c[name].shape[1:] == rows.shape[1:] for name, rows in largest.items())]
    return {name: np.concatenate([case[name] for case in same]) for name in largest}


def _prefix(rows: Mapping[str, Tensors], name: str) -> str:
    return f"{name}: " if len(rows) > 1 else ""


def _count(rows: Tensors) -> int:
    return len(next(iter(rows.values())))


def _chosen(rows: Tensors, seed: int, samples: int) -> Tensors:
    count = _count(rows)
    if count <= samples:
        return rows
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[:samples])
    return {name: array[chosen] for name, array in rows.items()}


def _check_finite(signature: str, rows: Tensors) -> None:
    for name, array in rows.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise InputsError(
                "calibration-not-finite",
                f"calibration row {index[0]} of input {name!r} of {signature!r} holds {array[index]}",
                "leave such rows out: the range of a tensor that was NaN once is NaN",
            )


def rows_digest(rows: Mapping[str, Tensors]) -> str:
    """sha256 of names, dtypes, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for signature in sorted(rows):
        for name in sorted(rows[signature]):
            array = rows[signature][name]
            sha.update(f"{signature}/{name}/{dtype_name(array)}{list(array.shape)}".encode())
            sha.update(b"\0".join(as_strings(array).reshape(-1)) if dtype_name(array) == "string" else array.tobytes())
    return sha.hexdigest()


def audit(rows: Tensors, evaluation: Tensors, prefix: str = "") -> list[Finding]:
    """What is suspicious about calibration rows of one signature, given the rows that the artifact is judged by."""
    count = _count(rows)
    found = []
    if count < ENOUGH:
        found.append(Finding("few-samples", f"{prefix}{count} calibration rows, expected {ENOUGH} or more"))
    hashes = _row_hashes(rows)
    if count > 1 and len(set(hashes)) <= count / 2:
        found.append(
            Finding("identical-samples", f"{prefix}{len(set(hashes))} different rows among {count} for calibration")
        )
    if not evaluation:
        found.append(
            Finding(
                "no-evaluation",
                f"{prefix}there are no other rows to judge by, so rows that are wrong all alike cannot be told; "
                "give --inputs",
            )
        )
    else:
        judged = set(_row_hashes(evaluation))
        shared = sum(h in judged for h in hashes)
        if shared > _SHARED * count:
            found.append(
                Finding(
                    "calibration-is-evaluation",
                    f"{prefix}{shared} of {count} calibration rows are rows that the artifact is judged by",
                )
            )
    for name, array in rows.items():
        if array.dtype.kind == "f":
            found += _audit_values(f"{prefix}input {name!r}", array, evaluation.get(name))
    return found


def _audit_values(what: str, values: Array, evaluation: Array | None) -> list[Finding]:
    found = []
    if _looks_uniform(values) and not (evaluation is not None and evaluation.size and _alike(values, evaluation)):
        found.append(
            Finding(
                "uniform-noise",
                f"{what} is calibrated on evenly distributed noise between {values.min():.4g} and {values.max():.4g}, "
                "not on data",
            )
        )
    if evaluation is not None and evaluation.size:
        ours, theirs = float(np.abs(values).max()), float(np.abs(evaluation).max())
        if theirs and not 1 / _RANGE <= ours / theirs <= _RANGE:
            found.append(
                Finding(
                    "range-mismatch",
                    f"{what} is calibrated on values up to {ours:.4g} and judged on values up to {theirs:.4g}, "
                    f"a factor of {ours / theirs:.3g}: is preprocessing applied once in both?",
                )
            )
    return found


def _looks_uniform(values: Array) -> bool:
    """Kolmogorov's test against a uniform distribution over the range, for at least 100 values.

    Images and measurements fail it by far: they have backgrounds, peaks and tails.
    """
    flat = np.sort(values.reshape(-1).astype(np.float64))
    if flat.size < 100 or flat[0] == flat[-1]:
        return False
    flat = _thinned(flat)
    expected = (flat - flat[0]) / (flat[-1] - flat[0])
    distance = float(np.abs(expected - np.arange(flat.size) / (flat.size - 1)).max())
    return bool(distance * np.sqrt(flat.size) < _UNIFORM)


def _alike(values: Array, others: Array) -> bool:
    """Smirnov's test: whether both may come from one distribution; few values say little, and then they may."""
    a, b = (_thinned(np.sort(x.reshape(-1).astype(np.float64))) for x in (values, others))
    at = np.concatenate([a, b])
    distance = np.abs(np.searchsorted(a, at, "right") / a.size - np.searchsorted(b, at, "right") / b.size).max()
    return bool(distance * np.sqrt(a.size * b.size / (a.size + b.size)) < _UNIFORM)


def _thinned(ordered: Array) -> Array:
    """At most 20,000 of many values."""
    return ordered[:: max(1, ordered.size // 10_000)]


def _row_hashes(rows: Tensors) -> list[bytes]:
    arrays = [as_strings(a) if dtype_name(a) == "string" else a for _, a in sorted(rows.items())]
    return [
        hashlib.sha256(
            # 0 and -0 are one number
            b"\1".join(b"\0".join(a[i].reshape(-1)) if a.dtype == object else (a[i] + 0).tobytes() for a in arrays)
        ).digest()
        for i in range(_count(rows))
    ]
