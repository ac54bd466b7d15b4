"""Which cells a bundle has: a pure function, so that a missing cell can be noticed and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.bundle import Bundle
from exporter.formats.registry import family_of
from exporter.model import Cell
from exporter.runtimes import Runtime

NO_RUNTIME = "none"


def plan(bundle: Bundle, runtimes: Iterable[Runtime]) -> tuple[Cell, ...]:
    """Every (recipe, runtime, signature, case), written or not, in the bundle's order.

    A recipe whose format none of `runtimes` executes gets cells of the runtime `none`, so that it stays visible.
    """
    chosen: Sequence[Runtime] = tuple(runtimes)
    cells: list[Cell] = []
    for artifact in bundle.artifacts:
        accepting = [r.name for r in chosen if family_of(artifact.recipe) in r.formats] or [NO_RUNTIME]
        for runtime in accepting:
            cells += [Cell(artifact.recipe.id, runtime, c.signature, c.name) for c in bundle.cases]
    return tuple(cells)
