"""Which tolerance a cell has: the first matching row of `tolerances.toml`, unless the user gave one."""

from __future__ import annotations

import fnmatch
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.model import Tolerance

TABLE = Path(__file__).with_name("tolerances.toml")


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    recipe: str
    kind: str
    tolerance: Tolerance
    same_environment: bool


@dataclass(frozen=True)
class Overrides:
    """What the user gave with --rtol and --atol: output name ("" for all) -> value."""

    rtol: Mapping[str, float] = field(default_factory=dict)
    atol: Mapping[str, float] = field(default_factory=dict)


@functools.cache
def rows() -> tuple[Row, ...]:
    table = tomllib.loads(TABLE.read_text())["tolerance"]
    return tuple(
        Row(r["recipe"], r["kind"], Tolerance(r["rtol"], r["atol"], r["why"]), r.get("same_environment", False))
        for r in table
    )


def row_for(recipe: str, kind: str, *, same_environment: bool) -> Row:
    """The row of a cell.

    Raises:
        LookupError: no row matches; a runtime without a tolerance has no verdict.
    """
    for row in rows():
        if (
            fnmatch.fnmatchcase(recipe, row.recipe)
            and row.kind == kind
            and (same_environment or not row.same_environment)
        ):
            return row
    raise LookupError(f"no tolerance for recipe {recipe!r} in a runtime of kind {kind!r}; add a row to {TABLE.name}")


# unit roundoff spacing (2^-p) of the floats that hold fewer digits than the table's float32 bounds assume
_SPACING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
_STEPS = 4  # a correct result may round the other way at a few layers of such a network


def widened(tolerance: Tolerance, dtype: str) -> Tolerance:
    """The tolerance of an output whose own dtype is coarser than the table's bound: four of its steps at least.

    Two correct float16 results of 26.28 may differ by one step, 0.016: six times what the float32 bound allows.
    """
    least = _STEPS * _SPACING.get(dtype, 0.0)
    if tolerance.rtol >= least and tolerance.atol >= least:
        return tolerance
    why = f"four steps of {dtype}, the output's own dtype; {tolerance.why}"
    return Tolerance(max(tolerance.rtol, least), max(tolerance.atol, least), why)


_FLOAT64 = 2.0**-29  # the spacing of float64 over that of float32: as many roundings, each so much smaller


def narrowed(tolerance: Tolerance) -> Tolerance:
    """The tolerance of an output that is computed in float64 from end to end: that many times smaller."""
    why = f"2^-29 of the bound of float32, as is its rounding: computed in float64; {tolerance.why}"
    return Tolerance(tolerance.rtol * _FLOAT64, tolerance.atol * _FLOAT64, why)


def overridden(tolerance: Tolerance, overrides: Overrides, output: str) -> Tolerance:
    """The tolerance of one output after the user's own values."""
    rtol = overrides.rtol.get(output, overrides.rtol.get(""))
    atol = overrides.atol.get(output, overrides.atol.get(""))
    if rtol is None and atol is None:
        return tolerance
    return Tolerance(
        tolerance.rtol if rtol is None else rtol,
        tolerance.atol if atol is None else atol,
        "given on the command line",
    )
