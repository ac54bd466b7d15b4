"""`.ci/run` is red when any of its parts is, and its parts are all the tests there are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
APART = {"upstream"}  # needs an environment of its own, and says so in CONTRIBUTING.md


@pytest.mark.parametrize(("failing", "status"), [("", 0), ("test", 2), ("test-long", 2)])
def test_a_part_that_fails_fails_it(tmp_path: Path, failing: str, status: int) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy2(TOP / ".ci" / "run", tmp_path / ".ci" / "run")
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    # the table of durations cannot be shown here, and must not change the status
    make.write_text(f'#!/bin/sh\necho "make $*"\nmkdir -p build/junit\n[ "$*" != "{failing}" ] || exit 2\n')
    make.chmod(0o755)
    path = os.pathsep.join([str(make.parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(tmp_path / ".ci" / "run")], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("make ")] == (
        ["make test"] if failing == "test" else ["make test", "make test-long"]
    )
    assert f"ci: exit status {status} after" in done.stdout


def test_every_directory_of_tests_is_in_a_part() -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", "-n", "test", "test-long"], cwd=TOP, env=clean, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    run = {
        path for line in done.stdout.splitlines() if " -m pytest " in line for path in re.findall(r"tests/\S+", line)
    }
    there = {path.relative_to(TOP) for path in (TOP / "tests").rglob("test_*.py")}
    # tests/spark has files for tools/spark.py as well
    run |= set(re.findall(r'"(tests/[\w/.]+)"', (TOP / "tools" / "spark.py").read_text()))
    left = [p for p in there if p.parts[1] not in APART and not any(p.is_relative_to(r) for r in run)]
    assert left == []
    assert "tools/npm.py test" in done.stdout
    assert "tools/teeth.py" in done.stdout
