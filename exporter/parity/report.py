"""The report: every cell with its one outcome, the verdict over them, and the views of it (JSON, table rows).

The verdict is a fold over the closed union of outcomes against the plan: a planned cell without an outcome, an
outcome that was not planned, and a plan without cells are all red.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.bundle import Bundle
from exporter.errors import ExporterError
from exporter.model import Artifact, Cell, Json
from exporter.outcome import (
    OUTCOME_NAMES,
    CellResult,
    Comparison,
    Failed,
    Mismatched,
    NotRun,
    OutputComparison,
    Passed,
    Score,
    Unsupported,
)
from exporter.parity.left_out import wholly_random
from exporter.parity.scores import score_json, scores
from exporter.parity.weights import WeightCheck

VERSION = 1


class VerdictError(ExporterError):
    """Raised by `Report.raise_for_failures`: the verdict is red."""


@dataclass(frozen=True)
class Report:
    """What was planned, what came of it, and where it ran.

    `required` names the runtimes that may not be missing; `dead` the outputs whose reference holds no finite value in
    any case, `idle` the signatures whose outputs are constant; `environment` holds tool, platform and runtime facts.
    """

    bundle: Bundle
    planned: tuple[Cell, ...]
    results: Mapping[Cell, CellResult]
    environment: Json
    required: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    weights: Mapping[str, WeightCheck] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Outcome name -> number of cells, every name present."""
        found = Counter(OUTCOME_NAMES[type(r.outcome)] for r in self.results.values())
        return {name: found.get(name, 0) for name in OUTCOME_NAMES.values()}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the verdict is red, one sentence each; empty when it is green."""
        out = []
        lost = [c for c in self.planned if c not in self.results]
        extra = sorted(set(self.results) - set(self.planned))
        if not self.planned:
            out.append("no cells were planned: there was nothing to run")
        if lost:
            out.append(f"{len(lost)} planned cells have no outcome, the first is {lost[0]}")
        if extra:
            out.append(f"{len(extra)} outcomes were never planned, the first is {extra[0]}")
        out += [f"{d} is not finite anywhere in the reference, so agreeing with it confirms nothing" for d in self.dead]
        out += [
            f"no output of signature {s!r} varies over the rows of all cases, so agreeing with it confirms nothing; "
            "give rows that move it with --inputs"
            for s in self.idle
        ]
        out += [why for s in self.bundle.signatures if (why := wholly_random(self.bundle.source, s))]
        red = [r for r in self.results.values() if isinstance(r.outcome, Mismatched | Failed)]
        if red:
            out.append(f"{len(red)} cells are red, the first is {red[0].cell}: {summary_line(red[0])}")
        chosen = {c.recipe for c in self.planned}  # --runtime leaves recipes out
        for artifact in self.bundle.artifacts:
            if artifact.status == "failed" and artifact.recipe.id not in chosen:
                out.append(f"{artifact.recipe.id} failed to convert: {artifact.reason}")
            elif artifact.recipe.id in chosen:
                out.extend(self._artifact_problems(artifact))
        return tuple(out)

    def _artifact_problems(self, artifact: Artifact) -> Iterable[str]:
        own = [r for c, r in self.results.items() if c.recipe == artifact.recipe.id]
        passed = any(isinstance(r.outcome, Passed) for r in own)
        if artifact.status == "refused" and artifact.explicit:
            yield f"{artifact.recipe.id} was asked for and is refused: {artifact.reason}"
        waiting = self._only_missing(own) or artifact.recipe.id in self.needing_code or self._only_random(artifact)
        if artifact.status == "written" and not passed and not waiting:
            yield f"{artifact.recipe.id} was written and no runtime confirmed it"
        elif artifact.status == "written" and not waiting:
            yield from self._signature_problems(artifact, own)
        if artifact.status == "written" and passed and self._unmeasured(own):
            yield f"{artifact.recipe.id} has a largest allowed drop, and no runtime could measure its metric"

    def _signature_problems(self, artifact: Artifact, own: Sequence[CellResult]) -> Iterable[str]:
        """What a runtime confirms of one signature says nothing of another one, in a file of its own."""
        for name in artifact.entries:
            cells = [r for r in own if r.cell.signature == name]
            waiting = self._only_missing(cells) or wholly_random(self.bundle.source, self.bundle.signature(name))
            if cells and not waiting and not any(isinstance(r.outcome, Passed) for r in cells):
                yield f"signature {name!r} of {artifact.recipe.id} was written and no runtime confirmed it"

    def _only_random(self, artifact: Artifact) -> bool:
        """True when no signature of an artifact has numbers to confirm; that is a problem of the source, said once."""
        return bool(artifact.entries) and all(
            wholly_random(self.bundle.source, self.bundle.signature(name)) for name in artifact.entries
        )

    def _unmeasured(self, own: Sequence[CellResult]) -> bool:
        """True when a metric is gated, and no cell that ought to have it does."""
        judged = self.bundle.evaluation
        if judged is None or all(task.max_drop is None for task in judged.tasks):
            return False
        return not any(scores(result) for result in own)

    def _only_missing(self, own: Sequence[CellResult]) -> bool:
        """True when every cell waits for a runtime this machine lacks (exit status 3, not 1)."""
        return bool(own) and all(isinstance(r.outcome, NotRun) for r in own)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required runtimes that are missing here, and `anything` when nothing at all could be run."""
        facts = self.environment["runtimes"]
        out = [n for n in self.required if facts.get(n, {}).get("status") in (None, "missing", "broken", "unknown")]
        ran = any(isinstance(r.outcome, Passed | Mismatched | Failed) for r in self.results.values())
        written = any(a.status == "written" and not self._only_random(a) for a in self.bundle.artifacts)
        if not ran and written and not out:
            out.append("any runtime that could run something")
        return tuple(out)

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Recipes that were written and not run because every runtime for them is missing."""
        out = []
        for artifact in self.bundle.artifacts:
            own = [r for c, r in self.results.items() if c.recipe == artifact.recipe.id]
            if artifact.status == "written" and self._only_missing(own):
                out.append(artifact.recipe.id)
        return tuple(out)

    @property
    def needing_code(self) -> tuple[str, ...]:
        """Recipes whose reload needs the source's classes, when no --custom gave them: visible, but not red."""
        out = []
        for artifact in self.bundle.artifacts:
            own = [r for c, r in self.results.items() if c.recipe == artifact.recipe.id]
            if artifact.needs_code and own and all(isinstance(r.outcome, Unsupported) for r in own):
                out.append(artifact.recipe.id)
        return tuple(out)

    @property
    def exit_status(self) -> int:
        """0 green, 1 red, 3 a required runtime is missing or nothing could be run."""
        if self.problems:
            return 1
        if self.missing:
            return 3
        return 1 if self.unconfirmed else 0

    @property
    def verdict(self) -> str:
        return {0: "passed", 1: "failed", 3: "incomplete"}[self.exit_status]

    def raise_for_failures(self) -> None:
        """Raise `VerdictError` unless the verdict is green."""
        if self.exit_status:
            reasons = [*self.problems, *(f"missing: {m}" for m in self.missing)]
            reasons += [f"{u} was written and every runtime for it is missing" for u in self.unconfirmed]
            raise VerdictError("verdict", "; ".join(reasons), f"see {self.bundle.root / 'report.html'}")

    def to_json(self) -> Json:
        """The document of `report.json` (schema: report.v1.schema.json)."""
        return {
            "version": VERSION,
            "environment": self.environment,
            "source": self.bundle.source,
            "reference": self.bundle.reference,
            "signatures": [s.to_json() for s in self.bundle.signatures],
            "made_up": {signature: dict(found) for signature, found in self.bundle.made_up.items()},
            "evaluation": self.bundle.evaluation.to_json() if self.bundle.evaluation else None,
            "artifacts": [_artifact_json(a, self.weights.get(a.recipe.id)) for a in self.bundle.artifacts],
            "cells": [cell_json(self.results[c]) for c in self.planned if c in self.results],
            "summary": {
                **self.counts,
                "planned": len(self.planned),
                "verdict": self.verdict,
                "problems": list(self.problems),
                "missing": list(self.missing),
                "unconfirmed": list(self.unconfirmed),
                "notes": list(self.bundle.notes),
            },
        }


def _artifact_json(artifact: Artifact, weights: WeightCheck | None) -> Json:
    data = artifact.to_json()
    data["files"] = {s: e.path for s, e in artifact.entries.items()}
    if weights is not None:
        # infinite where a weight that is stored as it is differs: that has no steps
        checked = {**weights.to_json(), "worst_steps": finite(weights.worst)}
        data["quantization"] = {**data["quantization"], "weights": checked}
    return data


def finite(value: float) -> float | str:
    """A float as JSON carries it: non-finite numbers are strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def output_json(output: OutputComparison) -> Json:
    return {
        "max_abs": finite(output.max_abs),
        "max_rel": finite(output.max_rel),
        "sqnr_db": finite(output.sqnr_db),
        "cosine": finite(output.cosine),
        "top1": output.top1,
        "top1_rows": output.top1_rows,
        "allowed": output.allowed,
        "needed": finite(output.needed),
        "worst_index": list(output.worst_index),
        "worst_got": output.worst_got,
        "worst_expected": output.worst_expected,
        "elements": output.elements,
        "histogram": list(output.histogram),
        "slice": output.slice,
        **{name: finite(value) for name, value in _extra(output).items() if value is not None},
        **({} if output.task is None else {"task": score_json(output.task)}),
    }


def _extra(output: OutputComparison) -> dict[str, float | None]:
    names = ("noise_db", "steps", "kl", "flip_margin", "follows")
    return {name: getattr(output, name) for name in names}


def cell_json(result: CellResult) -> Json:
    outcome = result.outcome
    data: Json = {
        "recipe": result.cell.recipe,
        "runtime": result.cell.runtime,
        "signature": result.cell.signature,
        "case": result.cell.case,
        "outcome": OUTCOME_NAMES[type(outcome)],
        "stage": "",
        "code": "",
        "reason": "",
        "elapsed_ns": result.elapsed_ns,
        "notes": list(result.notes),
        "outputs": {},
    }
    if isinstance(outcome, Passed | Mismatched):
        data["outputs"] = {o.name: output_json(o) for o in outcome.comparison.outputs}
    if isinstance(outcome, Mismatched):
        data.update(stage="compare", code=outcome.comparison.code, reason=outcome.comparison.problem)
    elif isinstance(outcome, Failed):
        data.update(stage=outcome.stage, code=outcome.code, reason=outcome.message, log=outcome.tail)
    elif isinstance(outcome, Unsupported | NotRun):
        data["reason"] = outcome.reason
    return data


def summary_line(result: CellResult) -> str:
    """The outcome in one line of words."""
    outcome = result.outcome
    if isinstance(outcome, Mismatched):
        return outcome.comparison.problem
    if isinstance(outcome, Failed):
        return f"{outcome.stage}: {outcome.message}"
    if isinstance(outcome, Unsupported | NotRun):
        return outcome.reason
    return f"needs {worst_needed(outcome.comparison):.2g} of the allowed error"


def worst_needed(comparison: Comparison) -> float:
    return max((o.needed for o in comparison.outputs), default=0.0)


@dataclass(frozen=True)
class Row:
    """One line of the verdict table: a recipe in a runtime, folded over signatures and cases.

    `status` is the worst outcome name, or `partial` where some cells passed and the runtime carries no others; `counts`
    how many cells have which; `max_rel`, `needed` and `sqnr_db` are the worst of the cells that were compared (None
    when none was); `detail` explains everything that is not passed; `scores` are the task metrics by output.
    """

    recipe: str
    runtime: str
    status: str
    counts: Mapping[str, int]
    max_rel: float | None
    needed: float | None
    sqnr_db: float | None
    elapsed_ns: int
    detail: tuple[str, ...]
    scores: Mapping[str, Score] = field(default_factory=dict)


_SEVERITY = ("mismatched", "failed", "not-run", "unsupported", "passed")


def rows(report: Report) -> list[Row]:
    """The verdict table, in plan order."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in report.planned:
        if cell in report.results:
            groups.setdefault((cell.recipe, cell.runtime), []).append(report.results[cell])
    return [_row(recipe, runtime, results) for (recipe, runtime), results in groups.items()]


def _row(recipe: str, runtime: str, results: list[CellResult]) -> Row:
    counts = Counter(OUTCOME_NAMES[type(r.outcome)] for r in results)
    status = next(s for s in _SEVERITY if counts[s])
    if status == "unsupported" and counts["passed"]:
        status = "partial"
    outputs = [o for r in results if isinstance(r.outcome, Passed | Mismatched) for o in r.outcome.comparison.outputs]
    # what made-up inputs do to a quantized artifact is no measure of it, unless there is nothing else
    judged = [o for o in outputs if o.gated] or outputs
    details: dict[str, list[str]] = {}
    for result in results:
        if not isinstance(result.outcome, Passed):
            details.setdefault(summary_line(result), []).append(result.cell.case)
    lines = tuple(
        text if len(cases) == len(results) else f"{', '.join(dict.fromkeys(cases))}: {text}"
        for text, cases in details.items()
    )
    notes = tuple(dict.fromkeys(n for r in results for n in r.notes if "row by row" not in n))
    if any("row by row" in n for r in results for n in r.notes):
        notes = (*notes, "run row by row (batch pinned to 1)")
    return Row(
        recipe=recipe,
        runtime=runtime,
        status=status,
        counts=counts,
        max_rel=max((o.max_rel for o in judged), default=None),
        needed=max((o.needed for o in outputs), default=None),
        sqnr_db=min((o.sqnr_db if o.noise_db is None else o.noise_db for o in judged), default=None),
        elapsed_ns=sum(r.elapsed_ns for r in results),
        detail=(*lines, *notes),
        scores={name: score for result in results for name, score in scores(result).items()},
    )
