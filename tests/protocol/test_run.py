"""Running cells: what never reaches a worker, what is fed row by row and by name, and what one runtime cannot break."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from exporter import feeding, tensors
from exporter.bundle import Bundle
from exporter.errors import BundleError
from exporter.labelled import BATCH
from exporter.model import Artifact, Case, Cell, Entry, Evaluation, NameMap, Recipe, Signature, Task, TensorSpec
from exporter.outcome import CellResult, Failed, Mismatched, NotRun, Passed, Unsupported
from exporter.parity.plan import NO_RUNTIME, plan
from exporter.parity.run import RunResult, run_cells
from exporter.parity.session import RunOptions
from exporter.protocol.crew import standing_crew
from exporter.runtimes import Limits, Recycle, Runtime

WORKER = Path(__file__).parents[1] / "fakes" / "worker.py"


def runtime(name: str = "good", kind: str = "same-kernels", argv: tuple[str, ...] = (), **changes: Any) -> Runtime:
    command = list(argv or (sys.executable, str(WORKER), "correct"))
    return Runtime(name, name, ("fake",), kind, lambda: list(command), limits=Limits(60, 60, 60), **changes)


def run(bundle: Bundle, *runtimes: Runtime, options: RunOptions | None = None) -> RunResult:
    cells = plan(bundle, runtimes)
    seen: list[CellResult] = []
    logs = bundle.root.parent / "logs"
    result = run_cells(bundle, cells, {r.name: r for r in runtimes}, logs, options or RunOptions(), seen.append)
    assert set(result.cells) == set(cells)
    assert sorted(s.cell for s in seen) == sorted(cells)
    return result


def of(result: RunResult, name: str) -> list[CellResult]:
    return [r for c, r in result.cells.items() if c.runtime == name]


def test_one_worker_runs_every_case(bundle: Bundle) -> None:
    result = run(bundle, runtime())
    assert all(isinstance(r.outcome, Passed) for r in result.cells.values())
    assert all(r.elapsed_ns == 1 for r in result.cells.values())
    assert result.runtimes["good"]["status"] == "works"
    assert (bundle.root.parent / "logs" / "good.log").read_text().count("pid") == 2  # stdout and stderr of one start


def test_a_standing_crew_starts_a_worker_once_for_several_runs(bundle: Bundle) -> None:
    """And anew where another command line is wanted; in the end nothing is left."""
    needy = runtime("needy", needs_code=True)
    with standing_crew() as crew:
        for _ in range(2):
            result = run(bundle, runtime(), needy, options=RunOptions(crew=crew))
            assert all(isinstance(r.outcome, Passed) for r in result.cells.values())
            assert result.runtimes["good"]["status"] == "works"
        pids = {name: crew.slot(name).client.pid for name in ("good", "needy")}  # type: ignore[union-attr]
        assert (crew.slot("good").log.read_text()).count("pid") == 2  # stdout and stderr of one start
        run(bundle, runtime(), needy, options=RunOptions(crew=crew, custom=Path("model.py")))
        assert crew.slot("good").client.pid == pids["good"]  # type: ignore[union-attr]
        assert crew.slot("needy").client.pid != pids["needy"]  # type: ignore[union-attr]
    assert not any(crew.slot(name).alive for name in pids)


@pytest.mark.parametrize(
    ("recycle", "starts"),
    [(None, 1), (Recycle(), 1), (Recycle(loads=2), 2), (Recycle(loads=1), 3), (Recycle(resident_bytes=2**20), 3)],
    ids=["never", "far away", "after two", "after each", "too large"],
)
def test_a_worker_that_leaks_is_replaced(
    bundle: Bundle, tiny: ModuleType, recycle: Recycle | None, starts: int
) -> None:
    several = tuple(replace(tiny.artifact(), recipe=Recipe("fake", (("a", str(n)),))) for n in range(3))
    result = run(replace(bundle, artifacts=several), replace(runtime(), recycle=recycle))
    assert all(isinstance(r.outcome, Passed) for r in result.cells.values())
    assert (bundle.root.parent / "logs" / "good.log").read_text().count("pid") == 2 * starts
    assert result.runtimes["good"]["peak_bytes"] > 2**20


def test_runtimes_of_one_process_take_turns_with_one_worker(bundle: Bundle) -> None:
    result = run(bundle, *(runtime(name, process="shared") for name in ("one", "two")), runtime("other"))
    assert all(isinstance(r.outcome, Passed) for r in result.cells.values())
    logs = {path.stem: path.read_text().count("pid") for path in (bundle.root.parent / "logs").iterdir()}
    assert logs == {"shared": 2, "other": 2}
    assert {name: facts["status"] for name, facts in result.runtimes.items()} == dict.fromkeys(
        ("one", "two", "other"), "works"
    )


def test_a_worker_that_dies_in_one_turn_is_replaced_for_the_rest_and_for_the_next(bundle: Bundle) -> None:
    crashing = (sys.executable, str(WORKER), "segfault")
    result = run(bundle, *(runtime(name, argv=crashing, process="shared") for name in ("one", "two")))
    for name in ("one", "two"):
        assert [type(r.outcome) for r in of(result, name)] == [Passed, Failed, Passed]
    # the first worker, one after each crash; the second turn goes on with what the first left
    assert (bundle.root.parent / "logs" / "shared.log").read_text().count("pid") == 2 * 3


def test_a_worker_that_cannot_take_the_second_turn_costs_the_second_runtime(bundle: Bundle) -> None:
    other = (sys.executable, str(WORKER), "another-runtime")
    result = run(bundle, runtime("one", argv=other, process="shared"), runtime("two", argv=other, process="shared"))
    for name in ("one", "two"):
        assert all(isinstance(r.outcome, Failed | NotRun) for r in of(result, name))
        assert result.runtimes[name]["status"] == "broken"


@pytest.mark.parametrize("jobs", [1, 4])
def test_outcomes_do_not_depend_on_jobs(bundle: Bundle, jobs: int) -> None:
    bad = runtime("bad", argv=(sys.executable, str(WORKER), "segfault"))
    result = run(bundle, bad, runtime(), options=RunOptions(jobs=jobs))
    assert [type(r.outcome) for r in of(result, "bad")] == [Passed, Failed, Passed]
    assert [type(r.outcome) for r in of(result, "good")] == [Passed] * 3


def test_a_missing_program_costs_its_own_runtime_only(bundle: Bundle, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x00\x01")
    garbage.chmod(0o755)
    result = run(
        bundle, runtime("absent", argv=("/nonexistent/java",)), runtime("odd", argv=(str(garbage),)), runtime()
    )
    for name, word in (("absent", "java"), ("odd", "garbage")):
        for found in of(result, name):
            assert isinstance(found.outcome, Failed | NotRun), found
            assert word in (found.outcome.message if isinstance(found.outcome, Failed) else found.outcome.reason)
    assert all(isinstance(r.outcome, Passed) for r in of(result, "good"))


def test_a_runtime_without_a_tolerance_costs_its_own_cells_only(bundle: Bundle) -> None:
    result = run(bundle, runtime("abacus", kind="abacus"), runtime())
    for found in of(result, "abacus"):
        assert isinstance(found.outcome, Failed), found
        assert "abacus" in found.outcome.message
    assert all(isinstance(r.outcome, Passed) for r in of(result, "good"))


def test_what_was_not_written_is_not_run(bundle: Bundle, tiny: ModuleType) -> None:
    refused = Artifact(Recipe("fake", (("a", "1"),)), "refused", "no loops")
    failed = Artifact(Recipe("fake", (("a", "2"),)), "failed", "the converter crashed", "signal-SIGSEGV")
    elsewhere = Artifact(Recipe("fake", (("a", "3"),)), "written", unavailable={"serve": "holds one signature only"})
    result = run(replace(bundle, artifacts=(refused, failed, elsewhere)), runtime())
    outcomes = {c.recipe: r.outcome for c, r in result.cells.items()}
    assert outcomes == {
        "fake:a=1": Unsupported("no loops"),
        "fake:a=2": Failed("convert", "signal-SIGSEGV", "the converter crashed"),
        "fake:a=3": Unsupported("holds one signature only"),
    }
    assert not (bundle.root.parent / "logs" / "good.log").exists()


def test_a_format_nobody_runs(bundle: Bundle) -> None:
    result = run(bundle)
    assert {c.runtime for c in result.cells} == {NO_RUNTIME}
    assert {type(r.outcome) for r in result.cells.values()} == {NotRun}


def test_code_is_never_taken_from_a_bundle(bundle: Bundle, tiny: ModuleType) -> None:
    needy = replace(bundle, artifacts=(tiny.artifact(needs_code=("MyLayer",)),))
    for found in run(needy, runtime(needs_code=True)).cells.values():
        assert isinstance(found.outcome, Unsupported)
        assert "MyLayer" in found.outcome.reason
        assert "--custom" in found.outcome.reason
    given = run(needy, runtime(needs_code=True), options=RunOptions(custom=Path("model.py")))
    assert all(isinstance(r.outcome, Passed) for r in given.cells.values())


def test_state_has_no_meaning_where_rows_have_no_order(bundle: Bundle) -> None:
    stateful = replace(bundle, source={**bundle.source, "stateful": ["serve"]})
    for found in run(stateful, runtime(unordered=True)).cells.values():
        assert isinstance(found.outcome, Unsupported)
        assert "keeps state" in found.outcome.reason
    for result in (run(stateful, runtime()), run(bundle, runtime(unordered=True))):
        assert all(isinstance(r.outcome, Passed) for r in result.cells.values())


def pinned(bundle: Bundle, tiny: ModuleType, shape: tuple[int | None, ...]) -> Bundle:
    entry = Entry("model.fake", "serve", NameMap.identity(tiny.SIGNATURE), {"x": shape})
    return replace(bundle, artifacts=(tiny.artifact(entries={"serve": entry}),))


def test_a_pinned_batch_is_run_row_by_row_and_said(bundle: Bundle, tiny: ModuleType) -> None:
    """The fake counts the rows of what it is fed, so that one row at a time shows in its `count`."""
    result = run(pinned(bundle, tiny, (1, 3)), runtime())
    after = result.cells[Cell("fake", "good", "serve", "after")]
    assert isinstance(after.outcome, Passed)
    assert not any("row by row" in note for note in after.notes)
    before = result.cells[Cell("fake", "good", "serve", "before")]
    assert any("row by row" in note and "2 runs" in note for note in before.notes)
    assert before.elapsed_ns == 2
    assert not isinstance(before.outcome, Passed)
    assert before.outcome.comparison.problem.startswith("count[1]")  # type: ignore[union-attr]


def test_a_case_of_another_size_than_the_pinned_one_is_unsupported(bundle: Bundle, tiny: ModuleType) -> None:
    narrow = runtime(argv=(sys.executable, str(WORKER), "takes-one-row"))
    for found in run(pinned(bundle, tiny, (1, 4)), narrow).cells.values():
        assert isinstance(found.outcome, Unsupported), found.outcome
        assert "pinned to [1, 4] (see its rewrites) and this case has" in found.outcome.reason


def test_names_are_the_signatures_whatever_the_artifact_calls_them(bundle: Bundle, tiny: ModuleType) -> None:
    """Outputs under other names: the map decides."""
    names = {"b": "double", "a": "square", "c": "inverse", "count": "count"}
    outputs = tuple(replace(tiny.SIGNATURE.output(found), name=name) for name, found in names.items())
    signature = Signature("serve", (TensorSpec("given", "float32", (None, 3)),), outputs)
    cases = []
    for case in bundle.cases:
        inputs, expected = bundle.inputs(case), bundle.expected(case)
        tensors.save(bundle.root / case.inputs, {"given": inputs["x"]})
        tensors.save(bundle.root / case.reference, {name: expected[found] for name, found in names.items()})
        cases.append(case)
    entry = Entry("model.fake", "serve", NameMap({"given": "x"}, names))
    renamed = replace(bundle, signatures=(signature,), artifacts=(tiny.artifact(entries={"serve": entry}),))
    assert all(isinstance(r.outcome, Passed) for r in run(renamed, runtime()).cells.values())
    crossed = Entry("model.fake", "serve", NameMap({"given": "x"}, {**names, "b": "square", "a": "double"}))
    wrong = replace(renamed, artifacts=(tiny.artifact(entries={"serve": crossed}),))
    assert not any(isinstance(r.outcome, Passed) for r in run(wrong, runtime()).cells.values())


def test_another_order_of_outputs_is_a_failure_to_load(bundle: Bundle, tiny: ModuleType) -> None:
    """Fed and read by name every number is right; by position a caller would read others."""
    square_first = Signature(
        "serve", tiny.SIGNATURE.inputs, tuple(sorted(tiny.SIGNATURE.outputs, key=lambda s: s.name))
    )
    moved = replace(bundle, signatures=(square_first,))
    for found in run(moved, runtime()).cells.values():
        assert isinstance(found.outcome, Failed)
        assert (found.outcome.stage, found.outcome.code) == ("load", "order")
        assert "gives double, square, inverse, count by position" in found.outcome.message
        assert "the source count, double, inverse, square" in found.outcome.message


def test_the_worker_never_sees_what_is_expected(bundle: Bundle, tmp_path: Path) -> None:
    """A worker that logs every request, its environment and its working directory."""
    spy = tmp_path / "spy.py"
    spy.write_text(
        textwrap.dedent(f"""
        import os, runpy, sys
        from pathlib import Path
        read = os.read
        def listen(fd, size):
            data = read(fd, size)
            if fd == 3:
                for record in data.splitlines():
                    print("REQUEST", record, flush=True)
            return data
        os.read = listen
        sys.argv = [{str(WORKER)!r}, "correct"]
        runpy.run_path({str(WORKER)!r}, run_name="__main__")
    """)
    )
    result = run(bundle, runtime(argv=(sys.executable, str(spy))))
    assert all(isinstance(r.outcome, Passed) for r in result.cells.values())
    log = (bundle.root.parent / "logs" / "good.log").read_text()
    requests = [json.loads(line.partition("b'")[2][:-1]) for line in log.splitlines() if line.startswith("REQUEST")]
    assert [r["op"] for r in requests] == ["hello", "load", "run", "run", "run", "unload", "bye"]
    assert "references" not in str(requests)
    for request in requests[2:5]:
        assert set(request) == {"id", "op", "handle", "inputs", "outputs"}
        assert not Path(request["inputs"]).is_relative_to(bundle.root)
        assert not Path(request["outputs"]).is_relative_to(bundle.root)


def test_files_of_a_run_are_gone_afterwards(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    run(bundle, runtime())
    assert os.listdir(scratch) == []


def test_labelled_rows_are_run_in_portions_and_scored(bundle: Bundle, tiny: ModuleType) -> None:
    x = np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32)
    case = Case("evaluation", "serve", "cases/serve/e.safetensors", "references/serve/e.safetensors", "evaluation", 7)
    # `count` numbers the rows of one call, as a layer that looks across the batch would tell portions apart
    outputs = feeding.joined([tiny._worker.model(x[i : i + BATCH]) for i in range(0, 150, BATCH)])
    labels = "references/labels/serve.safetensors"
    for path, values in ((case.inputs, {"x": x}), (case.reference, outputs), (labels, {"double": 2.0 * x + 1})):
        (bundle.root / path).parent.mkdir(parents=True, exist_ok=True)
        tensors.save(bundle.root / path, values)
    for source, allowed in ((1.0, True), (0.5, False)):
        tasks = (Task("double", "mae", source, 0.1),)
        evaluation = Evaluation("serve", "evaluation", labels, "arrays", 150, 150, tasks)
        replace(bundle, cases=(*bundle.cases, case), evaluation=evaluation).save()
        (result,) = [r for c, r in run(Bundle.load(bundle.root), runtime()).cells.items() if c.case == "evaluation"]
        assert result.elapsed_ns == 3  # one for each portion
        assert isinstance(result.outcome, Passed if allowed else Mismatched)
        task = result.outcome.comparison.outputs[0].task
        assert task is not None
        assert task.value == pytest.approx(1, abs=1e-6)
        assert task.drop == pytest.approx(1 - source, abs=1e-6)
        assert result.outcome.comparison.code == ("" if allowed else "task")
        assert all(o.task is None for o in result.outcome.comparison.outputs[1:])
    (bundle.root / labels).write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"labels/serve.safetensors was changed"):
        Bundle.load(bundle.root)
