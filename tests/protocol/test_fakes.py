"""Workers that lie, crash, hang and babble: each ends in its one exact outcome, and the cells around it do not notice.

The fakes are reached as real runtimes, through EXPORTER_PLUGINS, `exporter.verify` and real child processes. All of
them run once, in one verification; every test then reads its own rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

import exporter
from exporter import api
from exporter.formats.registry import formats
from exporter.model import Cell
from exporter.outcome import Failed, Mismatched, NotRun, Outcome, Passed, Unsupported
from exporter.parity.report import Report
from exporter.parity.session import RunOptions
from exporter.parity.tolerance import Overrides
from exporter.runtimes.registry import runtimes

FAKES = Path(__file__).parents[1] / "fakes"
CASES = ("before", "trigger", "after")

# what the case `trigger` ends in; the two other cases pass
ONE_CELL: dict[str, tuple[Any, ...]] = {
    "correct": (Passed,),
    "noise": (Passed,),
    "takes-anything": (Passed,),
    "other-call": (Passed,),
    "ulp": (Mismatched, "values", r"square\[0, 1\] is "),
    "swap": (Mismatched, "values", r"is .* times the allowed bound"),
    "drop": (Mismatched, "names", r"^missing outputs: square$"),
    "rename": (Mismatched, "names", r"^missing outputs: square; unexpected outputs: Square$"),
    "add": (Mismatched, "names", r"^unexpected outputs: extra$"),
    "dtype": (Mismatched, "dtype", r"^double: dtype float64, expected float32$"),
    "broadcast": (Mismatched, "shape", r"^count: shape \[1\], expected \[2\]$"),
    "flat": (Mismatched, "shape", r"^double: shape \[6\], expected \[2, 3\]$"),
    "nan-for-zero": (Mismatched, "non-finite", r"^double\[1, 0\] is NaN, expected 0\.0"),
    "infinity-for-nan": (Mismatched, "non-finite", r"^inverse\[1, 0\] is Infinity, expected NaN"),
    "empty": (Mismatched, "shape", r"\[0, 3\], expected \[2, 3\]"),
    "claims-int64": (Mismatched, "values", r"^count\[\d\] is \d+, expected 900719925474099\d: "),
    "exit-0": (Failed, "crash", "exit-0", "exited with status 0 in the middle"),
    "exit-3": (Failed, "crash", "exit-3", "exited with status 3"),
    "segfault": (Failed, "crash", "signal-SIGSEGV", "killed by SIGSEGV"),
    "hang": (Failed, "timeout", "timeout", "no answer to 'run' within 2 s; the worker was killed"),
    "late": (Failed, "timeout", "timeout", "no answer to 'run' within 2 s; the worker was killed"),
    "twice": (Failed, "protocol", "protocol", "a second reply"),
    "wrong-id": (Failed, "protocol", "protocol", "a reply to request 5, expected 4"),
    "old-id": (Failed, "protocol", "protocol", "a reply to request 1, expected 4"),
    "not-json": (Failed, "protocol", "protocol", "not JSON: b'Traceback"),
    "not-utf8": (Failed, "protocol", "protocol", "not JSON"),
    "not-an-object": (Failed, "protocol", "protocol", "against the schema"),
    "ok-and-error": (Failed, "protocol", "protocol", "against the schema"),
    "field-missing": (Failed, "protocol", "protocol", "'elapsed_ns' is a required property"),
    "field-unknown": (Failed, "protocol", "protocol", "'passed' was unexpected"),
    "huge-record": (Failed, "protocol", "protocol", "a record of more than 16777216 bytes"),
    "closes-pipe": (Failed, "crash", "gone", "closed its reply pipe and kept running"),
    "error-reply": (Failed, "run", "op-missing", "Unknown op 'Frobnicate'"),
    "unsupported-reply": (Unsupported, "no int64 here"),
    "no-file": (Failed, "protocol", "outputs", "said ok but its outputs cannot be read"),
    "truncated-file": (Failed, "protocol", "outputs", "said ok but its outputs cannot be read"),
}
# what every case ends in, because no case was reached
EVERY_CELL: dict[str, tuple[Any, ...]] = {
    "never-starts": (Failed, "crash", "exit-1", "exited with status 1"),
    "another-runtime": (Failed, "protocol", "runtime", "another runtime answered: somebody-else"),
    "few-dtypes": (Unsupported, "cannot carry int64 (count)"),
    "other-inputs": (Failed, "load", "contract", "takes ['z'], its record says ['x']"),
    "takes-int": (Failed, "load", "contract", "takes x: int64[?,3], expected x: float32[?,3]"),
    "takes-doubles": (Failed, "load", "contract", "takes x: float64[?,3], expected x: float32[?,3]"),
    "takes-vectors": (Failed, "load", "contract", "takes x: float32[3], expected x: float32[?,3]"),
    "takes-pictures": (Failed, "load", "contract", "takes x: float32[?,3,1], expected x: float32[?,3]"),
    "takes-four-columns": (Failed, "load", "contract", "takes x: float32[?,4], expected x: float32[?,3]"),
    "exit-0-at-load": (Failed, "crash", "exit-0", "exited with status 0"),
    "error-at-load": (Failed, "load", "corrupt", "bad magic"),
    "missing": (NotRun, "the fake is not installed; install it"),
}


@pytest.fixture(scope="module")
def plugins() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPORTER_PLUGINS", str(FAKES))
        runtimes.cache_clear()
        formats.cache_clear()
        yield
    runtimes.cache_clear()
    formats.cache_clear()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny: ModuleType) -> Path:
    path = tmp_path_factory.mktemp("fakes") / "bundle"
    tiny.write(path)
    return path


@pytest.fixture(scope="module")
def report(plugins: None, root: Path) -> Report:
    names = [n for n in runtimes() if n.startswith("fake-")]
    exact = Overrides({"": 0.0}, {"": 0.0})
    return api.verify(root, runtime=names, run_options=RunOptions(jobs=6, overrides=exact))


def outcome(report: Report, mode: str, case: str) -> Outcome:
    return report.results[Cell("fake", f"fake-{mode}", "serve", case)].outcome


def check(found: Outcome, expected: tuple[Any, ...]) -> None:
    kind, *rest = expected
    assert type(found) is kind, found
    if isinstance(found, Mismatched):
        code, pattern = rest
        assert found.comparison.code == code
        assert re.search(pattern, found.comparison.problem)
    elif isinstance(found, Failed):
        stage, code, words = rest
        assert (found.stage, found.code) == (stage, code)
        assert words in found.message
    elif isinstance(found, Unsupported | NotRun):
        (words,) = rest
        assert words in found.reason


@pytest.mark.parametrize("mode", ONE_CELL)
def test_a_fault_costs_its_own_cell(report: Report, mode: str) -> None:
    check(outcome(report, mode, "trigger"), ONE_CELL[mode])


@pytest.mark.parametrize("mode", ONE_CELL)
def test_the_cells_around_a_fault_pass(report: Report, mode: str) -> None:
    for case in ("before", "after"):
        assert isinstance(found := outcome(report, mode, case), Passed), (case, found)


def test_a_call_that_pages_do_not_make_is_noted(report: Report) -> None:
    notes = {c: report.results[Cell("fake", "fake-other-call", "serve", c)].notes for c in CASES}
    assert notes["trigger"] == ("ran with executeAsync: the plain predict throws",)
    assert notes["before"] == ()


@pytest.mark.parametrize("mode", EVERY_CELL)
def test_a_fault_before_the_first_case_costs_every_cell_of_its_runtime(report: Report, mode: str) -> None:
    for case in CASES:
        check(outcome(report, mode, case), EVERY_CELL[mode])


def test_every_fake_is_expected_and_every_planned_cell_has_one_outcome(report: Report) -> None:
    modes = {n.removeprefix("fake-") for n in runtimes() if n.startswith("fake-")}
    assert modes == set(ONE_CELL) | set(EVERY_CELL)
    assert set(report.planned) == set(report.results)
    assert len(report.planned) == len(modes) * len(CASES)


def test_the_verdict_is_red_and_the_json_says_why(report: Report, root: Path) -> None:
    assert report.exit_status == 1
    written = json.loads((root / "report.json").read_text(), parse_constant=pytest.fail)
    jsonschema.validate(
        written, json.loads((Path(exporter.__file__).parent / "parity/report.v1.schema.json").read_text())
    )
    assert written["summary"]["verdict"] == "failed"
    assert len(written["cells"]) == len(report.planned)
    row = next(c for c in written["cells"] if (c["runtime"], c["case"]) == ("fake-segfault", "trigger"))
    assert (row["outcome"], row["stage"], row["code"]) == ("failed", "crash", "signal-SIGSEGV")
    broken = written["environment"]["runtimes"]
    assert broken["fake-never-starts"]["status"] == "broken"
    assert broken["fake-missing"]["status"] == "missing"


def test_the_end_of_the_log_is_kept_with_a_crash(report: Report) -> None:
    found = outcome(report, "never-starts", "before")
    assert isinstance(found, Failed)
    assert "libfrobnicate.so.1: cannot open" in found.tail


def test_noise_goes_to_the_log(report: Report, root: Path) -> None:
    log = (root / "logs" / "fake-noise.log").read_bytes()
    assert b"\x00\x1e not a record" in log
    assert b"no newline at the end" in log


def test_no_process_is_left_behind(report: Report, root: Path, alive_in_group: Callable[[int], list[int]]) -> None:
    started = [int(n) for log in (root / "logs").glob("*.log") for n in re.findall(r"pid (\d+)", log.read_text("l1"))]
    assert len(set(started)) >= len(ONE_CELL) + len(EVERY_CELL) - 1  # all but the missing one
    assert {group: alive for group in started if (alive := alive_in_group(group))} == {}
    (grandchild,) = re.findall(r"child (\d+)", (root / "logs" / "fake-hang.log").read_text())[:1]
    state = Path(f"/proc/{grandchild}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_worker_that_dies_is_replaced_once_and_a_healthy_one_is_kept(report: Report, root: Path) -> None:
    def starts(mode: str) -> int:
        return len(set(re.findall(r"pid (\d+)", (root / "logs" / f"fake-{mode}.log").read_text())))

    assert starts("correct") == 1
    assert starts("error-reply") == 1
    assert starts("segfault") == 2
    assert starts("twice") == 2


def test_the_bundle_is_intact_after_all_that(report: Report, root: Path) -> None:
    api.Bundle.load(root)
