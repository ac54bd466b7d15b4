"""The table of durations reads what pytest and Maven write."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.reference import load_module

durations = load_module(Path(__file__).parents[2] / "tools" / "durations.py")
PYTEST = (
    '<testsuites><testsuite name="pytest" errors="0" failures="1" tests="2" time="12.5">'
    '<testcase classname="tests.cli.test_run" name="test_a[x]" time="9.25"><failure/></testcase>'
    '<testcase classname="tests.cli.test_run" name="test_b" time="0.5"/></testsuite></testsuites>'
)
MAVEN = (
    '<testsuite tests="1" errors="1" failures="0" time="30"><testcase classname="e.A" name="b" time="29"/></testsuite>'
)


def test_parts_and_their_slowest_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = tmp_path / "jvm" / "core" / "target" / "surefire-reports"
    reports.mkdir(parents=True)
    (reports / "TEST-e.A.xml").write_text(MAVEN)
    (tmp_path / "cli.xml").write_text(PYTEST)
    parts = durations.read_parts(tmp_path, tmp_path / "jvm")
    assert [(p.name, p.seconds, p.tests, p.failed) for p in parts] == [("jvm (Maven)", 30, 1, 1), ("cli", 12.5, 2, 1)]
    lines = durations.table(parts).splitlines()
    assert lines[-3:] == [
        "     29.0  jvm (Maven): A::b",
        "      9.2  cli: test_run::test_a[x]",
        "      0.5  cli: test_run::test_b",
    ]
    (tmp_path / "none").mkdir()
    assert durations.main([str(tmp_path / "none")]) in (0, 1)
