"""How a case is fed to an artifact that is narrower than its signature: a pinned batch, integers in place of floats.

Used by the host for every runtime, and by the source worker when it computes what a quantized artifact should give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from exporter.model import Entry, Interface, Signature
from exporter.tensors import DTYPES, Array, Tensors


def refusal(signature: Signature, entry: Entry, inputs: Tensors) -> str:
    """Why the artifact cannot take these inputs; empty if it can."""
    for name, shape in entry.pinned.items():
        actual = inputs[name].shape
        skip = 1 if signature.batched else 0
        if tuple(actual[skip:]) != tuple(shape[skip:]):
            return (
                f"the artifact's input {name!r} is pinned to {list(shape)} (see its rewrites) and this case has "
                f"{list(actual)}"
            )
    return ""


def feeds(signature: Signature, entry: Entry, inputs: Tensors, most: int | None = None) -> list[Tensors]:
    """The inputs as they are fed: one at a time where the batch is pinned to 1, else `most` rows if given."""
    if not signature.batched:
        return [inputs]
    pinned = any(shape[0] is not None for shape in entry.pinned.values())
    return portions(inputs, 1 if pinned else most)


def portions(inputs: Tensors, most: int | None) -> list[Tensors]:
    """Rows in portions of at most `most`; None for all at once."""
    if most is None:
        return [inputs]
    rows = len(next(iter(inputs.values())))
    return [{n: a[i : i + most] for n, a in inputs.items()} for i in range(0, rows, most)]


def joined(parts: list[Tensors]) -> Tensors:
    """The outputs of all feeds as those of one.

    Raises:
        ValueError: rows returned different outputs, or shapes that do not join.
    """
    if len(parts) == 1:
        return parts[0]
    names = set(parts[0])
    if any(set(p) != names for p in parts):
        raise ValueError("rows returned different outputs")
    return {n: np.concatenate([p[n] for p in parts], axis=0) for n in parts[0]}


def encoded(entry: Entry, inputs: Tensors) -> Tensors:
    """Float inputs as the integers that the artifact takes for them: round(x / scale) + zero point, cut at the ends."""
    return {n: _encode(entry.interface[n], a) if n in entry.interface else a for n, a in inputs.items()}


def decoded(entry: Entry, outputs: Tensors) -> Tensors:
    """Integer outputs as the numbers that they stand for, in float32."""
    return {n: _decode(entry.interface[n], a) if n in entry.interface else a for n, a in outputs.items()}


def _encode(interface: Interface, values: Array) -> Array:
    dtype = DTYPES[interface.dtype][1]
    limits = np.iinfo(dtype)
    steps = np.rint(values.astype(np.float64) / interface.scale) + interface.zero_point
    stored: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
    return stored


def _decode(interface: Interface, values: Array) -> Array:
    if values.dtype != DTYPES[interface.dtype][1]:
        return values  # the wrong dtype is for the comparison to say
    return ((values.astype(np.float64) - interface.zero_point) * interface.scale).astype(np.float32)


def run(signature: Signature, entry: Entry, inputs: Tensors, call: Callable[[Tensors], Tensors]) -> Tensors:
    """Outputs by signature name; `call` takes and returns tensors by the artifact's names."""
    back: Mapping[str, str] = {artifact: name for name, artifact in entry.names.outputs.items()}
    parts = []
    for feed in feeds(signature, entry, encoded(entry, inputs)):
        outputs = call({entry.names.inputs[n]: a for n, a in feed.items()})
        parts.append({back.get(n, n): a for n, a in outputs.items()})
    return decoded(entry, joined(parts))
