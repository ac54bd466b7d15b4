"""The gate that sees what outputs cannot: every stored weight lies within half a step of the source's.

One flipped weight of an int8 network is 50 dB down in its outputs, far below the noise that quantization is allowed.
The bundle keeps the source's weights by the names that they have in the artifacts of a family; what an artifact stores
is read from its file in a process of its own, and compared here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exporter.model import Json
from exporter.parity.compare import number
from exporter.tensors import Array, Tensors

VALUES, STEPS = "|values", "|steps"  # what follows a tensor's name in the file of stored weights
HALF = 0.5 + 1e-3  # of a step; the rest is for float32 products of scale and integer
_ROUNDING = 2.0**-22  # of a value in float32, where steps are finer than that: those of an int32 or int64 bias


@dataclass(frozen=True)
class WeightCheck:
    """How many tensors were compared, the largest distance in steps and where, and what is wrong (or nothing)."""

    checked: int
    worst: float
    where: str
    problem: str

    def to_json(self) -> Json:
        worst = number(self.worst)
        return {"checked": self.checked, "worst_steps": worst, "where": self.where, "problem": self.problem}


def as_tensors(weights: Mapping[str, tuple[Array, Array | None]]) -> Tensors:
    """Values and steps by tensor, for one file; float tensors have no steps."""
    out: Tensors = {}
    for name, (values, steps) in weights.items():
        out[name + VALUES] = values
        if steps is not None:
            out[name + STEPS] = np.ascontiguousarray(steps, np.float32)
    return out


def check_weights(source: Tensors, stored: Tensors) -> WeightCheck:
    """Compare stored weights with the source's.

    `source` has the values by tensor name; `stored` is what `as_tensors` makes. A tensor without steps must be equal.
    """
    checked, worst, where = 0, 0.0, ""
    problems = []
    # a copy of a tensor has the name of its original, `~`, and something more
    copies: dict[str, list[str]] = {}
    for key in stored:
        if key.endswith(VALUES):
            copies.setdefault(key.removesuffix(VALUES).partition("~")[0], []).append(key.removesuffix(VALUES))
    # a tensor that got another name, or that two subgraphs share now, is known by its values
    for name in source:
        if name not in copies and name + VALUES not in stored:
            if any(_apart(stored, other, source[name]) <= HALF for other in copies):
                checked += 1
            elif source[name].size > 1:
                # a single number, such as the 6 of ReLU6, may have become a part of an operation
                problems.append(f"{name} is not stored")
    for name in (copy for original in source for copy in copies.get(original, ())):
        # tensors of one name that the source has as well are no copies of each other
        values, expected = stored[name + VALUES], source.get(name, source[name.partition("~")[0]])
        if values.size != expected.size:
            problems.append(f"{name} holds {values.size} values, expected {expected.size}")
            continue
        checked += 1
        apart = _distances(stored, name, expected)
        largest = float(apart.max()) if apart.size else 0.0
        if largest > worst or not where:
            worst, where = largest, name
        if not largest <= HALF:
            at = int(np.argmax(apart))
            problems.append(
                f"{name}[{at}] is {values.reshape(-1)[at]:.6g}, the source has {expected.reshape(-1)[at]:.6g}: "
                + (
                    f"{largest:.3g} steps, expected at most half a step"
                    if name + STEPS in stored
                    else "stored as it is"
                )
            )
    if not checked and not problems:
        problems.append("none was found to compare")
    more = f" ({len(problems)} tensors)" if len(problems) > 1 else ""
    return WeightCheck(checked, worst, where, f"stored weight {problems[0]}{more}" if problems else "")


def _distances(stored: Tensors, name: str, expected: Array) -> Array:
    """How far each stored value is from the source's, in steps; infinite where there are no steps and it differs."""
    values = stored[name + VALUES].reshape(-1)
    steps = stored.get(name + STEPS)
    if steps is None:
        same = (values == expected.reshape(-1)) | ((values != values) & (expected != expected).reshape(-1))
        return np.where(same, 0.0, np.inf)
    distance = np.abs(values.astype(np.float64) - expected.reshape(-1))
    distance = np.maximum(distance - _ROUNDING * np.abs(expected.reshape(-1)), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance > 0, distance / steps.reshape(-1), 0.0)


def _apart(stored: Tensors, name: str, expected: Array) -> float:
    """The largest of the distances; infinite for another number of values."""
    if stored[name + VALUES].size != expected.size:
        return float("inf")
    return float(_distances(stored, name, expected).max(initial=0.0))
