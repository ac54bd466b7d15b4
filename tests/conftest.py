"""Shared fixtures: reference models converted once per session, and the two ways to the command line."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# cases where the default ones would keep the runtimes without native code busy for half a minute
FEWER: dict[str, dict[str, Any]] = {
    "imdb-bilstm": {"samples": 4},
    "mobilenet-v2": {"samples": 2, "batch_sizes": (1, 2, 3)},
}
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
    """A bundle of a reference model, and its report as the file has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.report: dict[str, Any] = json.loads((root / "report.json").read_text())


@pytest.fixture(scope="session")
def crew() -> Iterator[Any]:
    """Workers of the runtimes that stay for all tests: starting them takes longer than most of what they are for."""
    import exporter

    with exporter.standing_crew() as made:
        yield made


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, crew: Any) -> Callable[[str], Converted]:
    """`converted(name)` trains and converts a reference model to every format and runs it everywhere, once."""
    import exporter

    top = tmp_path_factory.mktemp("bundles")

    @functools.cache
    def convert(name: str) -> Converted:
        options = exporter.ConvertOptions(cases=exporter.CaseOptions(**FEWER.get(name, {})))
        run = exporter.RunOptions(crew=crew)
        exporter.convert(name, top / name, options=options, require=["all"], run_options=run)
        return Converted(top / name)

    return convert
