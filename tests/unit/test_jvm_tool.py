"""`tools/jvm.py verify` runs Maven's tests once for the same sources, and again when a source or a test changed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.reference import load_module
from exporter.runtimes import _jvm

jvm = load_module(Path(__file__).parents[2] / "tools" / "jvm.py")


def test_maven_verifies_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pom.xml", "worker/pom.xml", "worker/src/main/A.java", "worker/src/test/ATest.java"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "worker" / "target").mkdir()
    status = 0
    calls: list[list[str]] = []

    def maven(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(jvm.subprocess, "run", maven)

    def runs(*, tests: bool) -> int:
        calls.clear()
        (tmp_path / _jvm._MARKER).write_text(_jvm.digest(tmp_path))
        assert jvm.verify(tmp_path, tests=tests) == status
        assert all(("-DskipTests" in call) != tests for call in calls)
        return len(calls)

    assert runs(tests=False) == 1
    assert runs(tests=True) == 1, "what was only packaged is not verified"
    assert (runs(tests=True), runs(tests=False)) == (0, 0)
    for changed in ("worker/src/test/ATest.java", "worker/src/main/A.java"):
        (tmp_path / changed).write_text("changed")
        assert (runs(tests=True), runs(tests=True)) == (1, 0)
    status = 1
    (tmp_path / "pom.xml").write_text("broken")
    assert (runs(tests=True), runs(tests=True)) == (1, 1), "tests that failed are run again"
