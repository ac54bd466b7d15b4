"""Which layers a glob chooses, and which operations of a file belong to a layer.

Layers have the names that Keras gives them, those inside of others behind a slash: `encoder/dense`. Operations carry
the name scopes that were open when they were traced (`model_1/encoder_1/dense_1/MatMul`), and converters that fuse
several join their names with `;`. Which scope belongs to which layer is measured (`exporter.source.scopes`).
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from exporter.errors import UsageError
from exporter.tensors import Array
from exporter.text import did_you_mean

_LISTED = 40  # names in a message
_CALLS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")

Scopes = Mapping[str, tuple[str, ...]]  # layer -> the name scopes of its calls


@dataclass(frozen=True)
class Traced:
    """What one trace says about names.

    Attributes:
        layers: layer -> name scopes of its calls, without a slash at the end.
        outputs: output of the signature -> the operation that computes it.
        weights: recurrent layer -> fingerprints of its weights, for converters that drop the names of loops.
        weighted: the layers that have any weights.
    """

    layers: Scopes
    outputs: Mapping[str, str] = field(default_factory=dict)
    weights: Scopes = field(default_factory=dict)
    weighted: frozenset[str] = frozenset()


def chosen(globs: Sequence[str], layers: Iterable[str]) -> tuple[str, ...]:
    """The layers that fit one of the globs, in their own order.

    A glob without a slash goes over the last part of a name, `conv` and `block/conv`; one with a slash over all of it,
    and a slash in front stands for the model: `/conv`.

    Raises:
        UsageError: a glob fits no layer.
    """
    known = list(layers)
    for glob in globs:
        if not any(_fits(layer, glob) for layer in known):
            last = [layer.rpartition("/")[2] for layer in known]
            listed = ", ".join(known[:_LISTED]) + (f" and {len(known) - _LISTED} more" if len(known) > _LISTED else "")
            raise UsageError(
                "unknown-layer",
                f"{glob!r} fits the name of no layer{did_you_mean(glob, [*known, *last])}",
                f"the layers: {listed or 'none'}",
            )
    return tuple(layer for layer in known if any(_fits(layer, glob) for glob in globs))


def _fits(layer: str, glob: str) -> bool:
    if "/" in glob:
        return fnmatch.fnmatchcase(f"/{layer}", f"/{glob.removeprefix('/')}")
    return fnmatch.fnmatchcase(layer.rpartition("/")[2], glob)


def glob_of(layer: str, layers: Iterable[str]) -> str:
    """The shortest glob that chooses this layer and no other."""
    known = list(layers)
    name = re.sub(r"([*?[])", r"[\1]", layer)
    return next((glob for glob in (name.rpartition("/")[2], name) if chosen((glob,), known) == (layer,)), f"/{name}")


def inside(name: str, scopes: Iterable[str]) -> bool:
    """Whether an operation or tensor lies in one of the scopes, with any of the names joined in it."""
    parts = [plain(part) for part in name.split(";")]
    return any(part == scope or part.startswith(f"{scope}/") for part in parts for scope in scopes)


def owners(names: Iterable[str], layers: Scopes) -> set[str]:
    """The layers that an operation of these names belongs to; a layer in another one brings that with it."""
    given = list(names)
    return {layer for layer, scopes in layers.items() if any(inside(name, scopes) for name in given)}


def present(operations: Iterable[Iterable[str]], wanted: Iterable[str]) -> list[str]:
    """Those of the wanted layers that own one of the operations, each given by its layers."""
    owned = {layer for layers in operations for layer in layers}
    return [layer for layer in wanted if layer in owned]


def sharing(kept: Iterable[Iterable[str]], wanted: Iterable[str]) -> set[str]:
    """Other layers that own a part of the operations that are kept, because a converter made one of several."""
    chosen_ones = list(wanted)
    owned = {layer for layers in kept for layer in layers}
    return {layer for layer in owned if not any(_related(layer, one) for one in chosen_ones)}


def _related(a: str, b: str) -> bool:
    return f"{a}/".startswith(f"{b}/") or f"{b}/".startswith(f"{a}/")


def plain(name: str) -> str:
    """A name without the calls of functions that were inlined around it."""
    return _CALLS.sub("", name.strip())


def fingerprint(values: Array) -> str:
    """The same for weights that differ in the order of their values only: formats disagree on that of the gates."""
    return hashlib.sha256(np.sort(values.astype(np.float32), axis=None).tobytes()).hexdigest()
