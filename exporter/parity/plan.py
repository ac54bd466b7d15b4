"""Which cells a bundle has: a pure function, so that a missing cell can be noticed and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.bundle import Bundle
from exporter.formats.registry import family_of, is_quantized
from exporter.model import Cell, Recipe
from exporter.runtimes import Runs, Runtime

NO_RUNTIME = "none"


def executes(runtime: Runtime, recipe: Recipe, *, named: bool) -> bool:
    """Whether a runtime gets the artifact of a recipe; one that the user `named` gets all that it accepts."""
    if family_of(recipe) not in runtime.formats:
        return False
    return named or runtime.runs == Runs.ALL or (runtime.runs == Runs.QUANTIZED and is_quantized(recipe))


def plan(bundle: Bundle, runtimes: Iterable[Runtime], *, named: bool = False) -> tuple[Cell, ...]:
    """Every (recipe, runtime, signature, case), written or not, in the bundle's order.

    A recipe whose format none of `runtimes` executes gets cells of the runtime `none`, so that it stays visible.

    Args:
        named: whether the user named the runtimes, so that each executes all that it accepts.
    """
    chosen: Sequence[Runtime] = tuple(runtimes)
    cells: list[Cell] = []
    for artifact in bundle.artifacts:
        accepting = [r.name for r in chosen if executes(r, artifact.recipe, named=named)] or [NO_RUNTIME]
        for runtime in accepting:
            cells += [Cell(artifact.recipe.id, runtime, c.signature, c.name) for c in bundle.cases]
    return tuple(cells)
