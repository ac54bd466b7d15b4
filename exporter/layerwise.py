"""Which layers are worth their bytes in float: what the source worker measured, as rows to choose from."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.conversion import Converter, Progress
from exporter.convert_options import ConvertOptions
from exporter.errors import InputsError, UsageError
from exporter.formats import Format
from exporter.formats.registry import format_named, formats, resolved_options
from exporter.model import Json, Recipe
from exporter.selection import glob_of
from exporter.source_spec import SourceSpec


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer kept float while everything else is quantized, against everything quantized.

    Layers that only join numbers, from a concatenation to an output, are one row: one alone gains nothing.

    Attributes:
        layer: its name, with those of the layers around it; of several, behind commas.
        globs: what chooses it, and no other, for `keep_float`.
        sqnr_db: of the outputs, against the source's; infinite without noise.
        gain_db: how much better that is.
        bytes: how much larger the files are; may be negative.
    """

    layer: str
    globs: tuple[str, ...]
    sqnr_db: float
    gain_db: float
    bytes: int

    @property
    def db_per_kb(self) -> float:
        """Gain for each 1000 bytes; what costs nothing counts as one byte."""
        return self.gain_db / (max(self.bytes, 1) / 1000)

    def to_json(self) -> Json:
        numbers = {"sqnr_db": self.sqnr_db, "gain_db": self.gain_db, "db_per_kb": self.db_per_kb}
        return {
            "layer": self.layer,
            "globs": list(self.globs),
            "bytes": self.bytes,
            **{name: _number(value) for name, value in numbers.items()},
        }


@dataclass(frozen=True)
class Sensitivity:
    """All layers with quantized weights, those first that gain most for their bytes.

    `sqnr_db` and `bytes` are those of everything quantized, `float_bytes` of nothing; `command` applies the first row,
    and is empty where no layer gains anything.
    """

    recipe: str
    sqnr_db: float
    bytes: int
    float_bytes: int
    layers: tuple[LayerSensitivity, ...]
    command: str

    def to_json(self) -> Json:
        return {
            "recipe": self.recipe,
            "sqnr_db": _number(self.sqnr_db),
            "bytes": self.bytes,
            "float_bytes": self.float_bytes,
            "layers": [row.to_json() for row in self.layers],
            "command": self.command,
        }


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"


def decibels(noise: float | None) -> float:
    """SQNR of a share of noise: infinite for none, minus infinity for an output that is no number."""
    if noise is None:
        return -math.inf
    return -10 * math.log10(noise) if noise else math.inf


def rows_of(measured: Json, layers: Sequence[str]) -> tuple[LayerSensitivity, ...]:
    """What the worker measured, in order. `layers` are all names that a glob could choose."""
    whole = decibels(measured["noise"])
    rows = []
    for row in measured["layers"]:
        sqnr = decibels(row["noise"])
        gain = 0.0 if sqnr == whole else sqnr - whole
        globs = tuple(glob_of(layer, layers) for layer in row["layers"])
        rows.append(LayerSensitivity(", ".join(row["layers"]), globs, sqnr, gain, row["bytes"] - measured["bytes"]))
    return tuple(sorted(rows, key=lambda row: (-row.db_per_kb, row.layer)))


def check_recipe(recipe: Recipe) -> None:
    """Raises `UsageError` for a recipe whose layers cannot be measured one by one."""
    if format_named(recipe.format).sensitivity is None:
        able = [name for name, found in formats().items() if isinstance(found, Format) and found.sensitivity]
        raise UsageError(
            "no-sensitivity",
            f"layers of {recipe.id} cannot be measured one by one: only ai-edge-quantizer starts again from one "
            "calibration in a fraction of a second",
            f"choose one of {', '.join(able)}",
        )
    if resolved_options(recipe).get("maker", "ai-edge") != "ai-edge":
        raise UsageError(
            "no-sensitivity",
            f"{recipe.id} is made by TFLiteConverter, which leaves no layer float",
            "leave maker=tensorflow out",
        )


def sensitivity(
    spec: SourceSpec, work: Path, recipe: Recipe, options: ConvertOptions, progress: Progress, model: Any = None
) -> Sensitivity:
    """Open a source, measure its layers in the source worker, and sort them. Raises `ExporterError`."""
    converter = Converter(spec, work, options, model)
    try:
        progress(f"opening {spec.text}")
        converter.source.open()
        measured_on = converter.calibrate(()) if format_named(recipe.format).calibrated else None
        for note in converter.notes:
            progress(note)
        # as a conversion does, which judges a source without data by its calibration
        inputs = converter.own_inputs() or (measured_on.rows if measured_on is not None else {})
        if not inputs:
            raise InputsError(
                "no-data",
                "there is no data to measure the layers on",
                "give --inputs with rows that the model will see",
            )
        progress(f"measuring the layers of {recipe.id}")
        measured = converter.sensitivity(recipe, inputs)
        layers = converter.layers()
        converter.source.close()
    except BaseException:
        converter.source.kill()
        raise
    rows = rows_of(measured, layers)
    return Sensitivity(
        recipe.id,
        decibels(measured["noise"]),
        measured["bytes"],
        measured["float_bytes"],
        rows,
        _command(spec, recipe, options, rows[0].globs) if rows and rows[0].gain_db > 0 else "",
    )


def _command(spec: SourceSpec, recipe: Recipe, options: ConvertOptions, globs: Sequence[str]) -> str:
    given = {
        "--signature": options.signature,
        "--custom": options.custom,
        "--inputs": options.inputs,
        "--calibration": options.calibration if isinstance(options.calibration, str) else None,
    }
    words = ["exporter", "convert", spec.text, "--to", recipe.id]
    words += [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return " ".join([shlex.join(words), *(f"--keep-float '{glob}'" for glob in globs)])
