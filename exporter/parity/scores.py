"""Task metrics in reports: figures as JSON, columns of the verdict table, and what they were measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.model import Evaluation, Json
from exporter.outcome import CellResult, Mismatched, Passed, Score
from exporter.parity.compare import number

Scores = Mapping[str, Score]


def scores(result: CellResult) -> dict[str, Score]:
    """Task metrics by output; empty for a cell without labels."""
    if not isinstance(result.outcome, Passed | Mismatched):
        return {}
    return {o.name: o.task for o in result.outcome.comparison.outputs if o.task is not None}


def score_json(score: Score) -> Json:
    return {
        "metric": score.metric,
        "value": number(score.value),
        "source": score.source,
        "drop": number(score.drop),
        "max_drop": score.max_drop,
    }


def score_columns(evaluation: Evaluation | None) -> list[tuple[str, Callable[[Scores], str]]]:
    """Title and text of the verdict table's columns about metrics, two for each output; none without evaluation."""
    tasks = evaluation.tasks if evaluation else ()
    columns: list[tuple[str, Callable[[Scores], str]]] = []
    for task in tasks:
        title = task.metric if len(tasks) == 1 else f"{task.output} {task.metric}"
        columns += [(title, _value_of(task.output)), ("drop", _drop_of(task.output))]
    return columns


def _value_of(output: str) -> Callable[[Scores], str]:
    return lambda found: f"{found[output].value:.4g}" if output in found else ""


def _drop_of(output: str) -> Callable[[Scores], str]:
    # adding 0 makes -0.0 a plain zero
    return lambda found: f"{found[output].drop + 0.0:.2g}" if output in found else ""


def evaluation_sentence(evaluation: Evaluation) -> str:
    """The source's own metrics, and on what they were measured."""
    parts = [
        f"{task.metric} {task.source:.4g}"
        + (f" of {task.output}" if len(evaluation.tasks) > 1 else "")
        + ("" if task.max_drop is None else f" (largest allowed drop {task.max_drop:g})")
        for task in evaluation.tasks
    ]
    return f"the source itself: {', '.join(parts)} on {evaluation.rows} labelled rows, {evaluation.origin}"
