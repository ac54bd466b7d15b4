"""Outputs whose numbers no artifact can be held to, because the source itself has no fixed ones for them.

They are random, or depend on the rest of a batch that a runtime takes apart. Their names, dtypes and shapes are
compared as ever; the others are judged.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.model import Json, Signature
from exporter.outcome import Comparison
from exporter.tensors import Tensors, dtype_name

RANDOM, BATCH = "random", "depends_on_batch"  # keys of the source's facts in bundle.json, each by signature
WAY_OUT = "make the noise an input of the model, or export it with the random layer off"


def random_outputs(source: Json, signature: str) -> Mapping[str, Json]:
    """Output -> what makes it random, as `exporter.source.probing.probe` found it."""
    return source.get(RANDOM, {}).get(signature, {})  # type: ignore[no-any-return]


def batch_outputs(source: Json, signature: str) -> tuple[str, ...]:
    """The outputs in which a row depends on the other rows of its batch, or on its place among them."""
    return tuple(source.get(BATCH, {}).get(signature, ()))


def cause(found: Json) -> str:
    """What makes an output random, in words."""
    if not found["op"]:
        return "no operation of the graph is random, so the source's own Python code must be"
    return str(found["op"]) + (f" in layer {found['layer']!r}" if found["layer"] else "")


def left_out(source: Json, signature: str, *, in_parts: bool) -> dict[str, str]:
    """Output -> why its numbers are not compared. `in_parts` says that a batch was not run as one."""
    found = {
        name: f"{name} is random ({cause(made)}): its numbers are not compared"
        for name, made in random_outputs(source, signature).items()
    }
    if in_parts:
        for name in batch_outputs(source, signature):
            found[name] = (
                f"{name} depends on the other rows of its batch, which was not run as one: its numbers are not compared"
            )
    return found


def describe(source: Json, signature: str) -> list[str]:
    """What the reader of a verdict must know of a signature, one sentence for each output."""
    notes = [
        f"output {name!r} of {signature} is random ({cause(made)}): the source disagrees with itself, so only its "
        "name, dtype and shape are compared"
        for name, made in random_outputs(source, signature).items()
    ]
    notes += [
        f"output {name!r} of {signature} depends on the other rows of the batch, or on a row's place in it: it is "
        "compared only where a runtime takes a batch as one"
        for name in batch_outputs(source, signature)
    ]
    return notes


def wholly_random(source: Json, signature: Signature) -> str:
    """Why nothing about a signature can be confirmed; empty where some output is the same at every call."""
    found = random_outputs(source, signature.name)
    if not all(s.name in found for s in signature.outputs):
        return ""
    made = "; ".join(f"{name}: {cause(one)}" for name, one in found.items())
    return (
        f"every output of signature {signature.name!r} is random ({made}), so no number of an artifact can be "
        f"confirmed; {WAY_OUT}"
    )


def contract_problem(
    signature: Signature, left: Mapping[str, str], got: Tensors, expected: Tensors, source: Json
) -> str:
    """What is wrong with the dtypes and shapes of outputs that are not judged; `got` has every name."""
    random = random_outputs(source, signature.name)
    for name in left:
        a, b = got[name], expected[name]
        if dtype_name(a) != dtype_name(b):
            return f"{name}: dtype {dtype_name(a)}, expected {dtype_name(b)}"
        moving = name in random and random[name]["varies"] == "shape"
        if a.ndim != b.ndim if moving else a.shape != b.shape:
            return f"{name}: shape {list(a.shape)}, expected {list(b.shape)}"
    return ""


def only_judged(signature: Signature, left: Mapping[str, str]) -> Signature:
    """The signature without the outputs that are left out, of which there must be fewer than all."""
    return Signature(signature.name, signature.inputs, tuple(s for s in signature.outputs if s.name not in left))


def mismatch(problem: str) -> Comparison:
    """The comparison of outputs that differ before any number was looked at."""
    return Comparison((), problem, "dtype" if ": dtype " in problem else "shape")
