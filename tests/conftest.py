"""Shared fixtures: reference models converted once per session, and the two ways to the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# rows of own data where the default of 16 would keep the runtimes without native code busy for half a minute
FEWER_ROWS = {"imdb-bilstm": ["--samples", "4"], "mobilenet-v2": ["--samples", "4"]}
COMMAND = [sys.executable, "-m", "exporter"]


def run_exporter(*arguments: str, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own; stdout and stderr as text."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


class Converted:
    """A bundle made by `exporter convert NAME`, with what the command said."""

    def __init__(self, root: Path, process: subprocess.CompletedProcess[str]) -> None:
        self.root = root
        self.process = process
        self.report: dict[str, Any] = json.loads((root / "report.json").read_text()) if process.returncode < 2 else {}


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Converted]:
    """`converted(name)` trains and converts a reference model to every format and runs it everywhere, once."""
    made: dict[str, Converted] = {}
    top = tmp_path_factory.mktemp("bundles")

    def convert(name: str) -> Converted:
        if name not in made:
            fewer = FEWER_ROWS.get(name, [])
            process = run_exporter("convert", name, "-o", str(top / name), "--require", "all", *fewer)
            made[name] = Converted(top / name, process)
        return made[name]

    return convert
