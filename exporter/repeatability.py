"""Whether two answers to the same question are one answer: the numbers behind "random" and "depends on its batch".

Pure functions over arrays, shared by the host, which chooses the rows, and the source worker, which calls the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from exporter.tensors import Array, Tensors, dtype_name

ROWS = 6  # enough for another batch of another size, few enough to cost nothing
_FLOOR = 1e-7  # as in the comparison: what is smaller counts as zero
# The same kernels on the same numbers add in the same order, but for threads: some units of the last place.
_SAME_CALL = {"float64": 1e-5, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}
# Another batch size takes other kernels. That moves deep networks by 5e-5 of the output's RMS in float32; what really
# depends on the batch moves by percents.
_OTHER_BATCH = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def is_number(array: Array) -> bool:
    """Whether values have rounding; others must be equal."""
    return dtype_name(array) in ("float16", "bfloat16", "float32", "float64", "complex64")


def identical(one: Array, other: Array) -> bool:
    """Whether two arrays are the same in shape, dtype and every value, NaN being NaN."""
    if one.shape != other.shape or dtype_name(one) != dtype_name(other):
        return False
    return bool((one == other).all()) if one.dtype == object else one.tobytes() == other.tobytes()


def differs(one: Array, other: Array, *, coarsest: str = "float32", same_call: bool) -> bool:
    """Whether two arrays differ by more than rounding can explain; what is no float must be equal.

    `coarsest` is the float of the fewest bits that the model computes in; `same_call`: both have the same rows.
    """
    if one.shape != other.shape or dtype_name(one) != dtype_name(other):
        return True
    if not is_number(one):
        return not identical(one, other)
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    a, b = one.astype(wide), other.astype(wide)
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any() or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return True
    a, b = a[finite], b[finite]
    if not a.size:
        return False
    bounds = _SAME_CALL if same_call else _OTHER_BATCH
    share = max(bounds.get(coarsest, bounds["float32"]), bounds.get(dtype_name(one), 0.0))
    largest = float(np.abs(b).max())
    scale = max(_FLOOR, largest * float(np.sqrt(np.mean(np.abs(b / largest) ** 2))) if largest else 0.0)
    return bool((np.abs(a - b) > share * (scale + np.abs(b))).any())


def other_batch(rows: int) -> list[int]:
    """Numbers of rows for a batch of another size and another order, so that its mean and its places are others."""
    mixed = [*range(0, rows, 2), *range(1, rows, 2)][::-1]
    return mixed[:-1] if rows > 1 else mixed


def count_rows(inputs: Tensors) -> int | None:
    """Length of the leading axis that all inputs share; None where they have none in common."""
    lengths = {len(a) if a.ndim else None for a in inputs.values()}
    return lengths.pop() if len(lengths) == 1 else None


def pooled_rows(cases: Sequence[Tensors], most: int = ROWS) -> Tensors:
    """Up to `most` different rows of several cases, in their order; the first case as it is where it has no rows."""
    first = cases[0]
    picked: list[tuple[Tensors, int]] = []
    seen: set[bytes] = set()
    for inputs in cases:
        for number in range(count_rows(inputs) or 0 if _joins(first, inputs) else 0):
            key = b"\0".join(_bytes(inputs[name][number]) for name in first)
            if key not in seen and len(picked) < most:
                seen.add(key)
                picked.append((inputs, number))
    if not picked:
        return first
    return {name: np.stack([inputs[name][number] for inputs, number in picked]) for name in first}


def taken(inputs: Tensors, numbers: Iterable[int]) -> Tensors:
    """Some rows of every input."""
    wanted = list(numbers)
    return {name: array[wanted] for name, array in inputs.items()}


def _joins(one: Tensors, other: Tensors) -> bool:
    return all(one[n].ndim and one[n].shape[1:] == other[n].shape[1:] for n in one)


def _bytes(row: Array | bytes) -> bytes:
    if isinstance(row, bytes):  # a row of one string
        return row
    return repr(row.tolist()).encode() if row.dtype == object else row.tobytes()
