"""The built wheel, in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with nothing but the wheel and its dependencies, at the locked versions."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
    locks = "".join((TOP / name).read_text() for name in ("requirements.lock", "requirements-node.lock"))
    locked = re.findall(r"^([\w.-]+==[^\\\n]+?) ?\\?$", locks, re.M)
    constraints = home / "constraints.txt"
    constraints.write_text("\n".join(locked))
    pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    # the extra is for machines without Node
    package = str(wheel) if shutil.which("node") else f"{wheel}[node]"
    subprocess.run([*pip, "--no-compile", package, "-c", str(constraints)], check=True, timeout=900)
    return home


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """The installed command, in an empty directory, with a cache of its own and without the checkout's PYTHONPATH."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EXPORTER", "VIRTUAL_ENV"))}
    clean["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    program = str(environment / "venv" / "bin" / "exporter")
    work = tmp_path / "work"
    work.mkdir()

    def exporter(*arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], cwd=work, env=clean, capture_output=True, text=True, timeout=timeout
        )

    return exporter
