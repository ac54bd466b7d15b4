"""Whether what a runtime loaded takes what the source takes, checked once on the host for every runtime.

A worker answers `load` with the inputs that it found in the artifact. Values say nothing of them: a library that casts
feeds an artifact of float64 with float32, and its outputs are right to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exporter.model import Entry, Signature, TensorSpec

Shape = tuple[int | None, ...] | None


def find_broken_input(
    signature: Signature, entry: Entry, loaded: Iterable[TensorSpec], casts: Mapping[str, str]
) -> str:
    """The first difference between the inputs of an artifact and those of its signature, in one sentence; else "".

    `loaded` are the artifact's inputs as the runtime sees them, by the artifact's names; `casts` the runtime's declared
    ones. Ranks are compared where both are known, dimensions where both are fixed.
    """
    found = {spec.name: spec for spec in loaded}
    wanted = set(entry.names.inputs.values())
    if set(found) != wanted:
        return f"the artifact takes {sorted(found)}, its record says {sorted(wanted)}"
    for spec in signature.inputs:
        name = entry.names.inputs[spec.name]
        quantized = entry.interface.get(spec.name)
        dtype = quantized.dtype if quantized else spec.dtype
        shape = entry.pinned.get(spec.name, spec.shape)
        expected, actual = TensorSpec(name, dtype, shape), found[name]
        if actual.dtype not in (dtype, casts.get(dtype)) or not _agree(shape, actual.shape):
            return f"the artifact takes {actual}, expected {expected}"
    return ""


def _agree(a: Shape, b: Shape) -> bool:
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(None in pair or pair[0] == pair[1] for pair in zip(a, b, strict=True))
