"""The verdict: a fold over closed outcomes in which nothing that is missing, unplanned or unconfirmed can be green."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from exporter.bundle import Bundle
from exporter.cli._output import print_verdict
from exporter.errors import ExporterError
from exporter.model import Artifact, Cell, Entry, Evaluation, NameMap, Recipe, Task
from exporter.outcome import (
    OUTCOME_NAMES,
    CellResult,
    Comparison,
    Failed,
    Mismatched,
    NotRun,
    Outcome,
    OutputComparison,
    Passed,
    Score,
    Unsupported,
)
from exporter.parity.compare import HISTOGRAM_DECADES
from exporter.parity.html import render
from exporter.parity.report import Report, VerdictError, finite, rows, summary_line
from exporter.parity.scores import evaluation_sentence, score_columns


def figures(needed: float = 0.5, **changes: Any) -> OutputComparison:
    base = OutputComparison("y", 0.1, 0.01, 40.0, 1.0, None, 0, "bit-exact", needed, (0,), 1.0, 1.1, 2, (1, 1))
    return replace(base, **changes)


PASSED = Passed(Comparison((figures(),)))
MISMATCHED = Mismatched(Comparison((figures(needed=3.0),), "y[0] is wrong", "values"))
FAILED = Failed("crash", "signal-SIGSEGV", "the worker was killed", "the tail")
UNSUPPORTED = Unsupported("no strings here")
NOT_RUN = NotRun("not installed")


def cell(case: str = "data", runtime: str = "r", recipe: str = "fake") -> Cell:
    return Cell(recipe, runtime, "serve", case)


def report(
    bundle: Bundle,
    outcomes: Mapping[Cell, Outcome],
    planned: tuple[Cell, ...] | None = None,
    required: tuple[str, ...] = (),
    runtimes: Mapping[str, Any] | None = None,
    artifacts: tuple[Artifact, ...] | None = None,
) -> Report:
    if artifacts is not None:
        bundle = replace(bundle, artifacts=artifacts)
    facts = {"r": {"status": "works"}} if runtimes is None else dict(runtimes)
    results = {c: CellResult(c, o, 5) for c, o in outcomes.items()}
    return Report(bundle, tuple(outcomes) if planned is None else planned, results, {"runtimes": facts}, required)


def artifact(status: Any, recipe: str = "fake", **changes: Any) -> Artifact:
    return Artifact(Recipe(recipe), status, **changes)


def test_green(bundle: Bundle) -> None:
    made = report(bundle, {cell(): PASSED, cell("zeros"): UNSUPPORTED})
    assert (made.exit_status, made.verdict, made.problems) == (0, "passed", ())
    made.raise_for_failures()
    assert made.counts == {"passed": 1, "mismatched": 0, "failed": 0, "unsupported": 1, "not-run": 0}


@pytest.mark.parametrize("outcome", [MISMATCHED, FAILED])
def test_one_red_cell_among_many_is_red(bundle: Bundle, outcome: Outcome) -> None:
    made = report(bundle, {**{cell(str(i)): PASSED for i in range(50)}, cell("bad"): outcome})
    assert made.exit_status == 1
    assert "1 cells are red, the first is fake/r/serve/bad" in made.problems[0]


def test_zero_cells_are_red(bundle: Bundle) -> None:
    made = report(bundle, {})
    assert made.exit_status == 1
    assert "no cells were planned" in made.problems[0]


def test_a_lost_cell_is_red(bundle: Bundle) -> None:
    made = report(bundle, {cell(): PASSED}, planned=(cell(), cell("lost")))
    assert made.exit_status == 1
    assert made.problems == ("1 planned cells have no outcome, the first is fake/r/serve/lost",)


def test_an_outcome_nobody_planned_is_red(bundle: Bundle) -> None:
    made = report(bundle, {cell(): PASSED, cell("extra"): PASSED}, planned=(cell(),))
    assert made.exit_status == 1
    assert made.problems == ("1 outcomes were never planned, the first is fake/r/serve/extra",)


def test_an_explicit_refusal_is_red_and_a_default_one_is_not(bundle: Bundle) -> None:
    outcomes = {cell(): PASSED, cell(recipe="onnx"): UNSUPPORTED}
    both = (artifact("written"), artifact("refused", "onnx", reason="why", explicit=True))
    made = report(bundle, outcomes, artifacts=both)
    assert made.exit_status == 1
    assert made.problems == ("onnx was asked for and is refused: why",)
    default = (both[0], replace(both[1], explicit=False))
    assert report(bundle, outcomes, artifacts=default).exit_status == 0


def test_a_conversion_that_failed_is_red_even_without_a_cell(bundle: Bundle) -> None:
    both = (artifact("written"), artifact("failed", "onnx", reason="SIGSEGV"))
    made = report(bundle, {cell(): PASSED}, artifacts=both)
    assert made.exit_status == 1
    assert made.problems == ("onnx failed to convert: SIGSEGV",)


def test_written_and_confirmed_by_nobody_is_red(bundle: Bundle) -> None:
    made = report(bundle, {cell(): UNSUPPORTED, cell("zeros"): NOT_RUN})
    assert made.exit_status == 1
    assert made.problems == ("fake was written and no runtime confirmed it",)


def test_one_signature_says_nothing_of_another(bundle: Bundle) -> None:
    other = replace(bundle.signatures[0], name="other")
    entry = Entry("model.fake", "serve", NameMap.identity(other))
    both = replace(artifact("written"), entries={"serve": entry, "other": entry})
    altered = replace(bundle, signatures=(*bundle.signatures, other))
    outcomes = {cell(): PASSED, Cell("fake", "r", "other", "data"): UNSUPPORTED}
    found = report(altered, outcomes, artifacts=(both,))
    assert found.exit_status == 1
    assert found.problems == ("signature 'other' of fake was written and no runtime confirmed it",)
    outcomes[Cell("fake", "s", "other", "data")] = PASSED
    assert report(altered, outcomes, artifacts=(both,)).exit_status == 0


def test_written_and_every_runtime_missing_is_incomplete(bundle: Bundle) -> None:
    made = report(bundle, {cell(): NOT_RUN}, runtimes={"r": {"status": "missing"}})
    assert (made.exit_status, made.verdict) == (3, "incomplete")
    assert made.unconfirmed == ("fake",)
    assert made.missing == ("any runtime that could run something",)


def test_one_recipe_confirmed_and_one_waiting_for_a_runtime_is_not_green(bundle: Bundle) -> None:
    both = (artifact("written"), artifact("written", "onnx"))
    made = report(bundle, {cell(): PASSED, cell(recipe="onnx", runtime="s"): NOT_RUN}, artifacts=both)
    assert made.unconfirmed == ("onnx",)
    assert made.exit_status != 0


@pytest.mark.parametrize("status", ["missing", "broken", None])
def test_a_required_runtime_that_is_missing_is_exit_3(bundle: Bundle, status: str | None) -> None:
    facts = {"r": {"status": "works"}, **({"s": {"status": status}} if status else {})}
    outcomes = {cell(): PASSED, cell(runtime="s"): NOT_RUN}
    made = report(bundle, outcomes, required=("r", "s"), runtimes=facts)
    assert (made.exit_status, made.missing) == (3, ("s",))
    assert report(bundle, outcomes, required=("r",), runtimes=facts).exit_status == 0


def test_red_wins_over_missing(bundle: Bundle) -> None:
    assert report(bundle, {cell(): MISMATCHED}, required=("s",)).exit_status == 1


def test_raise_for_failures_says_everything(bundle: Bundle) -> None:
    made = report(bundle, {cell(): MISMATCHED}, required=("s",), planned=(cell(), cell("lost")))
    with pytest.raises(VerdictError) as caught:
        made.raise_for_failures()
    assert isinstance(caught.value, ExporterError)
    for words in ("1 cells are red", "y[0] is wrong", "fake/r/serve/lost", "missing: s", "no runtime confirmed it"):
        assert words in caught.value.message
    assert caught.value.hint.endswith("report.html")


# -- JSON


def test_json_has_one_row_per_planned_cell_and_no_non_finite_literal(bundle: Bundle) -> None:
    odd = figures(math.inf, max_abs=math.nan, max_rel=math.inf, sqnr_db=-math.inf, cosine=math.nan)
    outcomes = {
        cell("a"): Mismatched(Comparison((odd,), "y is wrong", "values")),
        cell("b"): FAILED,
        cell("c"): UNSUPPORTED,
        cell("d"): NOT_RUN,
        cell("e"): PASSED,
    }
    text = json.dumps(report(bundle, outcomes).to_json(), allow_nan=False)
    data = json.loads(text)
    assert data["version"] == 1
    by_case = {c["case"]: c for c in data["cells"]}
    assert {c: r["outcome"] for c, r in by_case.items()} == dict(
        zip("abcde", ["mismatched", "failed", "unsupported", "not-run", "passed"], strict=True)
    )
    output = by_case["a"]["outputs"]["y"]
    assert (output["max_abs"], output["max_rel"], output["sqnr_db"]) == ("NaN", "Infinity", "-Infinity")
    assert (by_case["a"]["stage"], by_case["a"]["code"], by_case["a"]["reason"]) == ("compare", "values", "y is wrong")
    assert (by_case["b"]["stage"], by_case["b"]["code"]) == ("crash", "signal-SIGSEGV")
    assert by_case["b"]["log"] == "the tail"
    assert by_case["c"]["reason"] == "no strings here"
    assert by_case["d"]["reason"] == "not installed"
    assert by_case["e"]["elapsed_ns"] == 5
    assert data["summary"]["planned"] == 5
    assert sum(data["summary"][n] for n in OUTCOME_NAMES.values()) == 5


def test_json_has_every_figure_as_it_was_measured(bundle: Bundle) -> None:
    """Not one of them divided, rounded, or in the place of another."""
    measured = figures(
        0.75, max_abs=0.11, max_rel=0.012, sqnr_db=41.5, cosine=0.875, top1=0.625, top1_rows=8, allowed="rtol 0.5",
        worst_index=(3, 1), worst_got=1.25, worst_expected=1.5, elements=24, histogram=(4, 20), noise_db=33.5,
        steps=2.5, kl=0.03, flip_margin=0.3, follows=0.95,
    )  # fmt: skip
    (data,) = report(bundle, {cell(): Passed(Comparison((measured,)))}).to_json()["cells"]
    shown = data["outputs"]["y"]
    hidden = {"name", "task", "gated"}
    expected = {f.name: getattr(measured, f.name) for f in fields(measured) if f.name not in hidden}
    as_lists = {key: list(value) if isinstance(value, tuple) else value for key, value in expected.items()}
    assert {key: shown[key] for key in as_lists} == as_lists


def test_a_refused_recipe_is_a_refused_artifact(bundle: Bundle) -> None:
    made = report(bundle, {cell(): UNSUPPORTED}, artifacts=(artifact("refused", reason="why"),))
    (row,) = made.to_json()["artifacts"]
    assert (row["status"], row["reason"], row["files"]) == ("refused", "why", {})


@pytest.mark.parametrize(
    ("value", "shown"), [(1.5, 1.5), (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_finite(value: float, shown: Any) -> None:
    assert finite(value) == shown


# -- the table


def test_rows_show_the_worst_of_their_cells(bundle: Bundle) -> None:
    outcomes = {cell("a"): PASSED, cell("b"): MISMATCHED, cell("c"): FAILED, cell("a", "s"): PASSED}
    first, second = rows(report(bundle, outcomes))
    assert (first.status, first.needed, first.elapsed_ns) == ("mismatched", 3.0, 15)
    assert first.detail == ("b: y[0] is wrong", "c: crash: the worker was killed")
    assert (second.runtime, second.status, second.detail) == ("s", "passed", ())


def spread(bundle: Bundle) -> Report:
    """Three cells of one runtime whose figures differ; the worst stands neither first nor last."""
    bins = (0,) * (2 + len(HISTOGRAM_DECADES))
    found = (
        figures(0.5, max_rel=0.001, sqnr_db=60.0, histogram=bins),
        figures(0.75, max_rel=0.02, sqnr_db=34.0, histogram=bins),
    )
    cases = {cell("a"): found[:1], cell("b"): found[1:], cell("c"): found[:1]}
    return report(bundle, {where: Passed(Comparison(outputs)) for where, outputs in cases.items()})


def test_a_row_has_the_largest_error_and_the_smallest_ratio(bundle: Bundle) -> None:
    (row,) = rows(spread(bundle))
    assert (row.max_rel, row.needed, row.sqnr_db) == (0.02, 0.75, 34.0)


def test_the_terminal_and_the_page_show_a_rows_own_figures(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    made = spread(bundle)
    print_verdict(made, None)
    (line,) = [line.split() for line in capsys.readouterr().out.splitlines() if "3/3" in line]
    assert [line[line.index("3/3") + 1], line[line.index("3/3") + 2]] == ["2.0e-02", "0.75"]
    facts = {"exporter": "0", "time": "", "platform": "", "cpu": {"name": ""}, "runtimes": {}}
    page = render(replace(made, environment=facts))
    assert '<td class="num">2.0e-02</td><td class="num">0.75</td>' in page


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([PASSED, UNSUPPORTED], "partial"),
        ([UNSUPPORTED, UNSUPPORTED], "unsupported"),
        ([PASSED, NOT_RUN], "not-run"),
        ([PASSED, FAILED], "failed"),
        ([FAILED, MISMATCHED], "mismatched"),
    ],
)
def test_a_rows_status(bundle: Bundle, outcomes: list[Outcome], status: str) -> None:
    (row,) = rows(report(bundle, {cell(str(i)): o for i, o in enumerate(outcomes)}))
    assert row.status == status


def test_every_outcome_has_a_name_and_a_sentence(bundle: Bundle) -> None:
    assert set(OUTCOME_NAMES) == set(Outcome.__args__)
    for outcome in (PASSED, MISMATCHED, FAILED, UNSUPPORTED, NOT_RUN):
        assert summary_line(CellResult(cell(), outcome))


# -- task metrics


def evaluated(bundle: Bundle, *tasks: Task) -> Bundle:
    return replace(bundle, evaluation=Evaluation("serve", "evaluation", "labels", "f.npz", 9, 12, tasks))


def scored(value: float, drop: float, name: str = "y") -> Passed:
    return Passed(
        Comparison((figures(name=name, task=Score("auc", value, value + drop, drop, 0.1)), figures(name="z")))
    )


def sentence(made: Report) -> str:
    assert made.bundle.evaluation is not None
    return evaluation_sentence(made.bundle.evaluation)


def shown(made: Report) -> list[tuple[str, list[str]]]:
    return [(title, [text(row.scores) for row in rows(made)]) for title, text in score_columns(made.bundle.evaluation)]


def test_the_table_shows_metrics_only_where_there_are_some(bundle: Bundle) -> None:
    plain = report(bundle, {cell(): PASSED})
    assert (shown(plain), plain.to_json()["evaluation"]) == ([], None)
    outcomes = {cell(): PASSED, cell("evaluation"): scored(0.75, 0.05), cell("evaluation", "r2"): NOT_RUN}
    made = report(evaluated(bundle, Task("y", "auc", 0.8, 0.1)), outcomes)
    assert shown(made) == [("auc", ["0.75", ""]), ("drop", ["0.05", ""])]
    assert sentence(made) == ("the source itself: auc 0.8 (largest allowed drop 0.1) on 9 labelled rows, f.npz")
    (data, *_) = [c for c in made.to_json()["cells"] if c["case"] == "evaluation"]
    assert data["outputs"]["y"]["task"] == {
        "metric": "auc", "value": 0.75, "source": 0.8, "drop": 0.05, "max_drop": 0.1,
    }  # fmt: skip
    assert "task" not in data["outputs"]["z"]


def test_several_metrics_are_told_apart(bundle: Bundle) -> None:
    tasks = (Task("y", "auc", 0.8), Task("z", "mae", 1.0))
    made = report(evaluated(bundle, *tasks), {cell("evaluation"): scored(0.75, -0.0)})
    assert shown(made) == [("y auc", ["0.75"]), ("drop", ["0"]), ("z mae", [""]), ("drop", [""])]
    assert sentence(made).startswith("the source itself: auc 0.8 of y, mae 1 of z on 9")


@pytest.mark.parametrize(("max_drop", "status"), [(0.1, 1), (None, 0)])
def test_a_gate_that_nothing_measured_is_red(bundle: Bundle, max_drop: float | None, status: int) -> None:
    outcomes = {cell(): PASSED, cell("evaluation"): UNSUPPORTED}
    made = report(evaluated(bundle, Task("y", "auc", 0.8, max_drop)), outcomes, artifacts=(artifact("written"),))
    assert made.exit_status == status
    if status:
        assert made.problems == ("fake has a largest allowed drop, and no runtime could measure its metric",)
