"""What the cells are fed: the model's own data where there is some, else values made up honestly.

Every generated value depends on the seed, the case's name and the input's name alone, so adding a case changes no
other. Integers need bounds that mean something (an Embedding's rows, own data, or --range); inventing them would
test the runtime's out-of-range behaviour instead of the model. What was made up is told: exporter/parity/made_up.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from exporter.errors import InputsError
from exporter.model import Json, Signature, TensorSpec
from exporter.tensors import DTYPES, Array, TensorFileError, Tensors, as_strings, dtype_name, zeros
from exporter.text import did_you_mean

OWN_DATA = "own data"  # the `why` of a range fact that was taken over all of the model's own data
DYNAMIC_SIZE = 16  # size of a dynamic dimension that nothing else determines
OTHER_SIZE_STEP = 3
FLOAT_EXTREME = 10.0
_FLOATS = ("float16", "bfloat16", "float32", "float64")
WORDS = (b"alpha", b"beta", b"gamma")  # where nothing tells which words mean something
_ODD_WORDS = (b"", "out-of-vocabulary ø".encode())


@dataclass(frozen=True)
class CaseOptions:
    """How cases are made. `ranges` overrides (low, high) per input name."""

    batch_sizes: tuple[int, ...] = (1, 2, 5)
    samples: int = 16
    seed: int = 7
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseInputs:
    """One case before its reference is known.

    `optional` ones are dropped, with a note, if the source rejects them: nobody said that the model takes made-up
    values, or its own rows in a number that was made up.
    """

    name: str
    inputs: Tensors
    origin: str
    optional: bool = False

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "made up" if self.origin == "generated" else "own rows in a batch of another size"


def make_cases(signature: Signature, own: Tensors | None, facts: Json, options: CaseOptions) -> list[CaseInputs]:
    """All cases of one signature.

    `own` holds rows of the model's (or the user's) own data; `facts` the value ranges found at the source.

    Raises:
        InputsError: own data does not fit the signature, or values cannot be made up without --range.
    """
    portions = _portions(signature, own, options.samples)
    if own is not None:
        own = fit(signature, portions[0])
    maker = _Maker(signature, own, facts, options)
    if not signature.inputs:
        return [CaseInputs("call", {}, "generated")]
    cases = []
    if own is not None:
        rows = min(len(next(iter(own.values()))), options.samples) if signature.batched else None
        cases.append(CaseInputs("data", own if rows is None else _rows(own, range(rows)), "data"))
        cases += [CaseInputs(f"data-{n}", fit(signature, more), "data") for n, more in enumerate(portions[1:], 2)]
    if signature.batched:
        start = 0
        for size in options.batch_sizes:
            name = f"batch-{size}"
            if own is not None:
                cases.append(CaseInputs(name, _rows(own, range(start, start + size)), "data", optional=True))
            else:
                cases.append(_made_up(name, maker.random(name, size)))
            start += size
    elif own is None:
        cases.append(_made_up("random", maker.random("random", 2)))
    cases.append(_made_up("zeros", maker.zeros(1)))
    cases.append(_made_up("extremes", maker.extremes(2)))
    if signature.batched and any(None in (s.shape or ())[1:] for s in signature.inputs):
        cases.append(_made_up("other-size", maker.random("other-size", 2, grow=OTHER_SIZE_STEP)))
    return cases


def _portions(signature: Signature, own: Tensors | None, samples: int) -> list[Tensors]:
    """Own rows in portions of the batch that every input fixes; as they are where there is none, or they fill one.

    Rows that fill no whole portion are left out.
    """
    if own is None:
        return []
    fixed = {spec.shape[0] if spec.shape else None for spec in signature.inputs}
    counts = {len(array) if np.ndim(array) else None for array in own.values()}
    batch, count = (found.pop() if len(found) == 1 else None for found in (fixed, counts))
    if not batch or not count or batch == count or count < batch:
        return [own]
    starts = range(0, min(count, max(samples, batch)) - batch + 1, batch)
    return [{name: array[start : start + batch] for name, array in own.items()} for start in starts]


def _made_up(name: str, inputs: Tensors) -> CaseInputs:
    return CaseInputs(name, inputs, "generated", optional=True)


def check_ranges(signatures: Iterable[Signature], options: CaseOptions) -> None:
    """Refuse a --range for an input that no signature has. Raises `InputsError` with a suggestion."""
    names = list(dict.fromkeys(s.name for signature in signatures for s in signature.inputs))
    for name in options.ranges:
        if name not in names:
            raise InputsError(
                "unknown-input", f"--range names {name!r}{did_you_mean(name, names)}", f"inputs: {', '.join(names)}"
            )


def _rows(own: Tensors, indices: Sequence[int]) -> Tensors:
    """Rows by index, wrapping around where the data is shorter."""
    return {n: np.take(a, [i % len(a) for i in indices], axis=0) for n, a in own.items()}


def fit(signature: Signature, given: Tensors) -> Tensors:
    """Check user data against a signature and return it in the signature's dtypes.

    Numbers are converted only where every value survives (a CSV column of 1.0 into int32, never 0.5).

    Raises:
        InputsError: names, dtypes, shapes or row counts do not fit.
    """
    names = [s.name for s in signature.inputs]
    missing = [n for n in names if n not in given]
    extra = [n for n in given if n not in names]
    if missing or extra:
        lines = [f"missing: {', '.join(missing)}"] if missing else []
        lines += [f"unknown: {n!r}{did_you_mean(n, missing or names)}" for n in extra]
        raise InputsError(
            "input-names",
            f"the inputs do not fit signature {signature.name!r} ({'; '.join(lines)})",
            f"expected {', '.join(map(str, signature.inputs))}",
        )
    out = {}
    for spec in signature.inputs:
        try:
            out[spec.name] = _fit_one(spec, np.asarray(given[spec.name]))
        except TensorFileError as error:
            raise InputsError("input-dtype", f"input {spec.name!r}: {error}", f"expected {spec}") from None
    if signature.batched:
        counts = {n: len(a) for n, a in out.items()}
        if len(set(counts.values())) > 1:
            raise InputsError(
                "input-rows",
                f"signature {signature.name!r} takes one number of rows for all inputs, found {counts}",
                "give each input one row for each row of the others",
            )
        if 0 in counts.values():
            raise InputsError("input-rows", "the inputs have no rows", "give at least one")
    return out


def _fit_one(spec: TensorSpec, array: Array) -> Array:
    if array.dtype == np.complex128 and spec.dtype == "complex64":
        array = array.astype(np.complex64)
    found = f"{dtype_name(array)}{list(array.shape)}"
    if spec.shape is not None:
        same = len(spec.shape) == array.ndim and all(
            d is None or d == n for d, n in zip(spec.shape, array.shape, strict=True)
        )
        if not same:
            raise InputsError("input-shape", f"input {spec.name!r} is {found}, expected {spec}", "reshape it")
    if spec.dtype == "string":
        return as_strings(array)
    if dtype_name(array) == "string":
        raise InputsError("input-dtype", f"input {spec.name!r} is {found}, expected {spec}", "give numbers")
    dtype = DTYPES[spec.dtype][1]
    if array.dtype == dtype:
        return array
    converted = _converted(array, dtype)
    if converted is None:
        raise InputsError(
            "input-dtype", f"input {spec.name!r} is {found} with values {spec.dtype} cannot hold", f"expected {spec}"
        )
    return converted


def _converted(array: Array, dtype: np.dtype) -> Array | None:
    """`array` in another dtype, or None where a value would not survive; floats may be rounded, not overflow."""
    if array.dtype.kind == "c":
        return None
    if dtype.kind == "c":
        real = _converted(array, np.dtype(np.float32))
        return None if real is None else real.astype(dtype)
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        floats = [a for a in (array, converted) if dtype_name(a) in _FLOATS]
        if len(floats) == 2:
            return converted if np.array_equal(np.isfinite(array), np.isfinite(converted)) else None
        # the sign as well: -1 becomes 2**64 - 1 and back without a trace
        kept = np.array_equal(converted.astype(array.dtype), array) and np.array_equal(converted < 0, array < 0)
    return converted if kept else None


class _Maker:
    """Generated values of one signature."""

    def __init__(self, signature: Signature, own: Tensors | None, facts: Json, options: CaseOptions) -> None:
        self._signature = signature
        self._own = own
        self._facts = facts
        self._options = options

    def _shape(self, spec: TensorSpec, batch: int, grow: int = 0) -> tuple[int, ...]:
        if spec.shape is None:
            if self._own is None:
                raise InputsError("unknown-rank", f"input {spec.name!r} has unknown rank", "give --inputs")
            return tuple(self._own[spec.name].shape)
        out = []
        for i, size in enumerate(spec.shape):
            if size is not None:
                out.append(size)
            elif i == 0 and self._signature.batched:
                out.append(batch)
            else:
                known = self._own[spec.name].shape[i] if self._own else DYNAMIC_SIZE
                out.append(known + grow)
        return tuple(out)

    def _bounds(self, spec: TensorSpec) -> tuple[float, float] | None:
        if spec.name in self._options.ranges:
            return self._options.ranges[spec.name]
        fact = self._facts.get(spec.name, {})
        if self._own is not None and fact.get("why") != OWN_DATA:
            values = self._own[spec.name]
            values = values[np.isfinite(values)] if values.dtype.kind != "c" else values[:0]
            if values.size:
                return values.min().item(), values.max().item()
        return (fact["low"], fact["high"]) if "low" in fact else None

    def _integer_bounds(self, spec: TensorSpec) -> tuple[int, int]:
        bounds = self._bounds(spec)
        if bounds is None:
            raise InputsError(
                "range-needed",
                f"input {spec} takes integers, and nothing tells which values mean something",
                f"say --range {spec.name}:LOW:HIGH, or give --inputs",
            )
        low, high = int(bounds[0]), int(bounds[1])
        limits = np.iinfo(DTYPES[spec.dtype][1])
        if not limits.min <= low <= high <= limits.max:
            raise InputsError(
                "bad-range",
                f"the range {low}..{high} of input {spec} is none of {spec.dtype} ({limits.min}..{limits.max})",
                f"say --range {spec.name}:LOW:HIGH with LOW <= HIGH",
            )
        return low, high

    def _words(self, spec: TensorSpec) -> list[bytes]:
        words = [w.encode("latin-1") for w in self._facts.get(spec.name, {}).get("words", [])]
        if not words and self._own is not None:
            words = sorted(set(self._own[spec.name].reshape(-1).tolist()))
        return words or list(WORDS)

    def _listed(self, spec: TensorSpec) -> list[int]:
        """The only whole numbers that mean something, where they are listed and nobody gave others."""
        given = spec.name in self._options.ranges or self._own is not None
        return [] if given else list(self._facts.get(spec.name, {}).get("values", []))

    def random(self, case: str, batch: int, grow: int = 0) -> Tensors:
        return {s.name: self._random(s, case, self._shape(s, batch, grow)) for s in self._signature.inputs}

    def _random(self, spec: TensorSpec, case: str, shape: tuple[int, ...]) -> Array:
        text = f"{self._options.seed}/{self._signature.name}/{case}/{spec.name}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
        if spec.dtype == "string":
            words = [*self._words(spec), *_ODD_WORDS]
            return _filled([words[i] for i in rng.integers(0, len(words), int(np.prod(shape)))], shape)
        if spec.dtype == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        dtype = DTYPES[spec.dtype][1]
        if self._listed(spec):
            return rng.choice(self._listed(spec), shape).astype(dtype)
        if dtype.kind in "iu":
            low, high = self._integer_bounds(spec)
            wide = np.uint64 if dtype.kind == "u" else np.int64
            return rng.integers(low, high, shape, dtype=wide, endpoint=True).astype(dtype)
        bounds = self._bounds(spec)
        values: Array = rng.standard_normal(shape) if bounds is None else rng.uniform(*bounds, shape)
        if bounds is not None and self._own is None and self._facts.get(spec.name, {}).get("whole"):
            values = rng.integers(int(bounds[0]), int(bounds[1]), shape, endpoint=True)  # indices that are floats
        if spec.dtype == "complex64":
            values = values + 1j * rng.standard_normal(shape)
        return np.asarray(values).astype(dtype)

    def zeros(self, batch: int) -> Tensors:
        """Zeros, or the nearest value that means something where an input of whole numbers excludes 0."""
        out = {s.name: zeros(s.dtype, self._shape(s, batch)) for s in self._signature.inputs}
        for spec in self._signature.inputs:
            bounds = self._bounds(spec) if out[spec.name].dtype.kind in "iu" else None
            if self._listed(spec):
                out[spec.name] += np.asarray(min(self._listed(spec), key=abs), out[spec.name].dtype)
            elif bounds is not None:
                out[spec.name] += np.asarray(min(max(0, int(bounds[0])), int(bounds[1])), out[spec.name].dtype)
        return out

    def extremes(self, batch: int) -> Tensors:
        """Row 0 at every input's minimum, row 1 at its maximum (alternating elements where there is no batch)."""
        out = {}
        for spec in self._signature.inputs:
            shape = self._shape(spec, batch)
            if spec.dtype == "string":
                low, high = _ODD_WORDS[1], max(self._words(spec), key=len)
                out[spec.name] = _filled([low if i % 2 == 0 else high for i in range(int(np.prod(shape)))], shape)
                continue
            dtype = DTYPES[spec.dtype][1]
            pair = self._extreme_pair(spec, dtype)
            values = np.empty(shape, dtype)
            if self._signature.batched:
                values[0], values[1:] = pair
            else:
                flat = np.asarray([pair[i % 2] for i in range(values.size)], dtype)
                values = flat.reshape(shape)
            out[spec.name] = values
        return out

    def _extreme_pair(self, spec: TensorSpec, dtype: np.dtype) -> tuple[float, float]:
        if spec.dtype == "bool":
            return 0, 1
        if dtype.kind in "iu":
            return self._integer_bounds(spec)
        return self._bounds(spec) or (-FLOAT_EXTREME, FLOAT_EXTREME)


def _filled(words: list[bytes], shape: tuple[int, ...]) -> Array:
    flat = np.empty(len(words), dtype=object)
    for i, word in enumerate(words):
        flat[i] = word
    return flat.reshape(shape)
