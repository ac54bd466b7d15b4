"""What was made up for a signature that has no rows of its own, in words: nothing of it may decide unseen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from exporter.model import Entry, Json, Signature, TensorSpec
from exporter.parity.cases import DYNAMIC_SIZE, WORDS, CaseOptions

if TYPE_CHECKING:
    from exporter.bundle import Bundle


def made_up(signature: Signature, facts: Json, options: CaseOptions) -> dict[str, str]:
    """By input, which values and lengths its cases were made of, and why."""
    return {
        spec.name: values(spec, facts.get(spec.name, {}), options) + _lengths(spec, signature)
        for spec in signature.inputs
    }


def values(spec: TensorSpec, fact: Json, options: CaseOptions) -> str:
    """Which values are made up for an input, and why: `0..6 (a CategoryEncoding of 7)`."""
    if spec.dtype == "string":
        listed = fact.get("words")
        return f"words of {fact['why']}" if listed else f"the words {', '.join(word.decode() for word in WORDS)}"
    if spec.dtype == "bool":
        return "true and false"
    if spec.name in options.ranges:
        low, high = options.ranges[spec.name]
        return f"{low:g}..{high:g} (--range)"
    if "low" in fact:
        return f"{fact['low']:g}..{fact['high']:g} ({fact['why']})"
    return "standard normal"


def _lengths(spec: TensorSpec, signature: Signature) -> str:
    open_axes = [i for i, size in enumerate(spec.shape or ()) if size is None and (i or not signature.batched)]
    if not open_axes:
        return ""
    return f", {DYNAMIC_SIZE} for the open size of {'axis' if len(open_axes) == 1 else 'axes'} " + ", ".join(
        map(str, open_axes)
    )


def pinned_needs(signatures: Iterable[Signature], entries: Mapping[str, Entry], made: Collection[str]) -> list[str]:
    """What a file takes exactly, where the signature leaves a length open: `accepts exactly [1, 16, 5] for 'x'`.

    `made` are the signatures without rows of their own: their lengths were made up, and that is a shape of the product.
    """
    found = []
    for signature in signatures:
        entry = entries.get(signature.name)
        for spec in signature.inputs if entry is not None else ():
            shape = entry.pinned.get(spec.name) if entry is not None else None
            start = 1 if signature.batched else 0
            if shape is not None and None in (spec.shape or ())[start:]:
                origin = "was made up" if signature.name in made else "is that of the rows"
                given = ",".join(map(str, shape))
                found.append(
                    f"accepts exactly {list(shape)} for {spec.name!r}, whose length {origin}; choose another with "
                    f"--shape {spec.name}:{given} or with rows by --inputs"
                )
    return found


def made_up_sentences(bundle: Bundle) -> list[str]:
    """`made up: tokens 0..999 (an Embedding of 1000 rows); x standard normal`, one for each signature."""
    several = len(bundle.signatures) > 1
    return [
        f"made up{f' for {signature}' if several else ''}: {'; '.join(f'{n} {text}' for n, text in found.items())}"
        for signature, found in bundle.made_up.items()
    ]
