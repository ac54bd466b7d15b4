"""Which outputs confirm nothing, however well an artifact agrees with them: what never varies is easy to hit.

Decided from the reference over all cases. A broken model (NaN everywhere) is told apart from one that the rows do not
move: other rows help there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.bundle import Bundle
from exporter.model import Signature
from exporter.parity.compare import all_non_finite, is_float
from exporter.tensors import Array

# the bounds of sigmoid and softmax, of tanh, of ReLU6
_BOUNDS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 6.0))


def find_dead_outputs(bundle: Bundle) -> tuple[str, ...]:
    """Floating outputs that are NaN or infinite in every element of every case: a model that is broken itself."""
    return tuple(
        f"output {name!r}"
        for signature in bundle.signatures
        for name, arrays in _references(bundle, signature).items()
        if all_non_finite(arrays)
    )


def describe_idle_outputs(bundle: Bundle) -> tuple[str, ...]:
    """One sentence for each output that hardly tells anything: constant, saturated, or not finite in a case of data."""
    found = []
    for signature in bundle.signatures:
        for name, arrays in _references(bundle, signature).items():
            words = describe_values(arrays)
            if words and signature.inputs:
                found.append(f"output {name!r} of {signature.name} {words}, so agreeing with it confirms little")
        for case in bundle.cases:
            if case.signature == signature.name and case.real:
                empty = [name for name, array in bundle.expected(case).items() if all_non_finite([array])]
                found += [
                    f"output {name!r} of {signature.name} is not finite anywhere in case {case.name}" for name in empty
                ]
    return tuple(found)


def find_idle_signatures(bundle: Bundle) -> tuple[str, ...]:
    """Signatures with inputs all of whose outputs are one constant: nothing was confirmed by them."""
    return tuple(
        signature.name
        for signature in bundle.signatures
        if signature.inputs and all(is_constant(a) for a in _references(bundle, signature).values())
    )


def is_constant(arrays: Sequence[Array]) -> bool:
    """Whether every element of every case is one value, of at least two rows."""
    values = [array.reshape(-1) for array in arrays if array.size]
    if sum(len(a) if a.ndim else 1 for a in arrays) < 2 or not values:
        return False
    first = values[0][0]
    with np.errstate(all="ignore"):
        return all(bool(np.all(v == first)) for v in values)


def describe_values(arrays: Sequence[Array]) -> str:
    """Why the values of an output say little, in words; empty where they vary."""
    if is_constant(arrays):
        value = next(array for array in arrays if array.size).reshape(-1)[0]
        return (
            f"is {value!r} for every row of every case"
            if isinstance(value, bytes)
            else (f"is {value.item():.6g} for every row of every case")
        )
    floats = [array.astype(np.float64).reshape(-1) for array in arrays if is_float(array) and array.dtype.kind != "c"]
    joined = np.concatenate(floats) if floats else np.zeros(0)
    for low, high in _BOUNDS:
        if joined.size and np.isin(joined, (low, high)).all():
            return f"is {low:g} or {high:g} everywhere, as a saturated activation is"
    return ""


def _references(bundle: Bundle, signature: Signature) -> dict[str, list[Array]]:
    expected = [bundle.expected(case) for case in bundle.cases if case.signature == signature.name]
    return {spec.name: [e[spec.name] for e in expected] for spec in signature.outputs}
