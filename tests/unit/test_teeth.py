"""The records of faults that tests must catch: each still fits the code, and is what its runner can judge."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from exporter.reference import load_module

TOP = Path(__file__).parents[2]
teeth = load_module(TOP / "tools" / "teeth.py")
FAULTS = teeth.faults()


def test_every_record_fits_the_code_in_one_place() -> None:
    """`make teeth` would call others stale; this is told while the code is being moved."""
    stale = [(f.area, f.file, f.find) for f in FAULTS if f.applied((TOP / f.file).read_text()) is None]
    assert not stale, "the piece is not there exactly once: move the record with the code"


def test_every_fault_is_a_change_that_can_be_run() -> None:
    for fault in FAULTS:
        assert fault.find.strip()
        assert fault.find != fault.replace
        if fault.file.endswith(".py"):
            ast.parse(fault.applied((TOP / fault.file).read_text()))


def test_every_named_test_exists() -> None:
    for file, name in {tuple(f.test.split("::")) for f in FAULTS}:
        text = (TOP / file).read_text()
        # a test of Node's may take its name from a list
        assert f"def {name.partition('[')[0]}(" in text or f"test('{name}'" in text or ("${" in text), (file, name)


def test_records_say_what_they_are_for() -> None:
    assert len(FAULTS) >= 60
    assert len({(f.file, f.find, f.replace) for f in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert fault.kind in teeth.KINDS, fault
        assert len(fault.why.split()) >= 3, fault
        assert not fault.file.startswith(("tests", "tools")), "the product is what is broken"
    count = Counter(fault.law for fault in FAULTS)
    assert set(count) == {1, 2, 3, 4, 5, 6, 7}, "the laws of CONTRIBUTING.md"
    assert min(count.values()) >= 3


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        ({"passed"}, "passed"),
        ({"passed", "failure"}, "failed"),
        ({"error", "passed"}, "error outside of the test"),
        ({"skipped"}, "not found"),
        (set(), "not found"),
    ],
)
def test_only_a_failed_test_has_caught_something(states: set[str], outcome: str) -> None:
    assert teeth._worst(states) == outcome


def _fault(find: str, replace: str, test: str) -> object:
    return teeth.Fault("exporter/text.py", find, replace, test, "blind", 7, "for the test of the runner only")


def test_a_fault_that_nothing_catches_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a copy with one module and two tests: caught, survived, stale, and a test that cannot be collected."""
    (tmp_path / "exporter").mkdir()
    (tmp_path / "exporter" / "text.py").write_text("ONE = 1\nTWO = 2\n")
    (tmp_path / "exporter" / "__init__.py").write_text("")
    (tmp_path / "test_it.py").write_text(
        "from exporter.text import ONE, TWO\n\n"
        "def test_one():\n    assert ONE == 1\n\n"
        "def test_two():\n    assert ONE\n"
    )
    found = [
        teeth.try_fault(tmp_path, _fault(find, replace, test), number).outcome
        for number, (find, replace, test) in enumerate(
            [
                ("ONE = 1", "ONE = 3", "test_it.py::test_one"),
                ("TWO = 2", "TWO = 3", "test_it.py::test_two"),
                ("THREE", "FOUR", "test_it.py::test_one"),
                ("TWO = 2", "", "test_it.py::test_one"),
            ]
        )
    ]
    assert found[:3] == ["caught", "survived", "stale"]
    assert found[3].startswith("pytest ended with"), "an import that fails is no test that failed"
    assert (tmp_path / "exporter" / "text.py").read_text() == "ONE = 1\nTWO = 2\n"
    results = [teeth.Result(_fault("a", "b", "c"), outcome) for outcome in ("caught", "survived")]
    for kept, status in ((results[:1], 0), (results, 1), ([], 1)):
        monkeypatch.setattr(teeth, "try_all", lambda chosen, kept=kept: kept)
        assert teeth.main([]) == status
