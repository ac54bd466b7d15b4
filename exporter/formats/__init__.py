"""The formats an artifact can have: one module per format in this directory, found by listing it.

A module defines `FORMAT`. It is imported on the host (for `exporter formats`, recipe parsing and plans), so heavy
libraries are imported inside its writer, which runs in the source worker only. A module that fails to import is a
visible row with its reason, never a smaller matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.model import Entry, Json, Signature
from exporter.tensors import Array, Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source


class Refused(Exception):
    """The format cannot carry this source faithfully.

    The message is one sentence that names the layer or op, says why, and names the way out.
    """


@dataclass(frozen=True)
class Option:
    """One option of a format's recipes. `check` raises ValueError with a sentence for a value it cannot take."""

    default: str
    help: str
    check: Callable[[str], object]


@dataclass(frozen=True)
class Written:
    """What a writer left in its directory.

    `entries` maps each signature it wrote to where it lives; `unavailable` maps each signature it could not write
    to the reason. Together they cover every signature of the source. `rewrites` says in words what was changed on
    the way; `needs_code` names classes a reload needs, `needs` says in words what else a runtime must have.
    """

    entries: Mapping[str, Entry]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    rewrites: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    needs_code: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    quantization: Mapping[str, Any] = field(default_factory=dict)


Writer = Callable[["Source", Path, Mapping[str, str]], Written]
# (source, directory, entry, options) -> the source's weights, by the names that they have in the file
Weigher = Callable[["Source", Path, Entry, Mapping[str, str]], Mapping[str, Array]]
# (source, options, inputs by signature) -> noise and bytes of each layer, see `_tflite_sensitivity.measure`
Sensor = Callable[["Source", Mapping[str, str], Mapping[str, Tensors]], Json]
# (source, directory, entry, options, signature, inputs) -> kind ("own" or "kernels") -> outputs, by signature names
Expecter = Callable[["Source", Path, Entry, Mapping[str, str], Signature, Tensors], Mapping[str, Tensors]]


@dataclass(frozen=True)
class Format:
    """How one format is written.

    `write(source, directory, options)` fills an existing empty directory, with every option present, and raises
    `Refused` or any other exception (a `Failed(convert)` row). `order` sorts the writers of one run: those that
    need the Keras object (`needs_model`) come first, crash-prone ones last. `family` is the format of its files,
    the one that runtimes know: another format's for a quantized variant, its own otherwise. `default` is False for
    what is only written when it is named, or by `--to all`. `calibrated` formats measure activations over rows of
    data. `expected` computes what else than the reference the outputs of a quantized artifact are compared with:
    those of the float model with its weights, those of the reference kernels. `weights` gives the source's weights
    by the names that they have in the file of an entry. `sensitivity` measures what each layer loses in integers.
    `quantized_by` names the option by which a recipe of a float format is a quantized one, and `variants` are options
    of recipes that are written by `--to all` besides the one without; `check(options)` raises
    ValueError for options that do not go together. `positional` is False where the file names its inputs and
    outputs and has no order of them. Files with `reserved_metadata` carry metadata of the user, under other keys than
    those.
    """

    name: str
    title: str
    write: Writer
    order: int
    needs_model: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)
    family: str = ""
    default: bool = True
    calibrated: bool = False
    expected: Expecter | None = None
    weights: Weigher | None = None
    sensitivity: Sensor | None = None
    quantized_by: str = ""
    variants: tuple[str, ...] = ()
    check: Callable[[Mapping[str, str]], None] | None = None
    reserved_metadata: tuple[str, ...] | None = None
    positional: bool = True

    def __post_init__(self) -> None:
        if not self.family:
            object.__setattr__(self, "family", self.name)


def parse_size(text: str) -> int:
    """Bytes of `4MiB`, `100kB`, `1000000`. Raises ValueError for anything else, and for sizes below 1 byte."""
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    digits = text.strip()
    unit = digits.lstrip("0123456789")
    number = digits[: len(digits) - len(unit)]
    if not number or unit.strip().lower() not in units or int(number) < 1:
        raise ValueError(f"expected a size such as 4MiB or 1000000, found {text!r}")
    return int(number) * units[unit.strip().lower()]
