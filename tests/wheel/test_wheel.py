"""The built wheel, installed with pip into an empty environment, works outside the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with nothing but the wheel and its dependencies, at the locked versions."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
    locked = re.findall(r"^([\w.-]+==[^\\\n]+?) ?\\?$", (TOP / "requirements.lock").read_text(), re.M)
    constraints = home / "constraints.txt"
    constraints.write_text("\n".join(locked))
    pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel), "-c", str(constraints)], check=True, timeout=900)
    return home


def run(home: Path, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """The installed command, in an empty directory, with a cache of its own and without the checkout's PYTHONPATH."""
    work = home / "work"
    work.mkdir(exist_ok=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EXPORTER", "VIRTUAL_ENV"))}
    clean["XDG_CACHE_HOME"] = str(home / "cache")
    return subprocess.run(
        [str(home / "venv" / "bin" / "exporter"), *arguments],
        cwd=work,
        env=clean,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_the_wheel_holds_everything_and_nothing_else(wheel: Path) -> None:
    listing = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True).stdout
    names = [line.split()[0] for line in listing.splitlines()[1:]]
    for needed in (
        "exporter/protocol/v1.schema.json",
        "exporter/parity/tolerances.toml",
        "exporter/parity/report.css",
        "exporter/_bundled/reference_models/digits-cnn/model.py",
        "exporter/_bundled/runtimes/js/src/worker.mjs",
        "exporter/_bundled/runtimes/js/package-lock.json",
        "exporter/_bundled/runtimes/jvm/pom.xml",
        "exporter/_bundled/runtimes/jvm/spark/src/main/scala/exporter/spark/TfPredict.scala",
    ):
        assert needed in names
    unwanted = ("node_modules", "__pycache__", "/target/", "/test/")
    assert not [n for n in names if n.startswith("tests") or any(u in n for u in unwanted)]


def test_it_works_outside_the_checkout(environment: Path) -> None:
    before = run(environment, "doctor", "--json")
    assert before.returncode == 3
    fixes = {c["name"]: c["fix"] for c in json.loads(before.stdout) if c["status"] != "works"}
    assert set(fixes.values()) == {"exporter doctor --install node", "exporter doctor --install jvm"}, fixes
    assert run(environment, "doctor", "--install", "node", "-q").returncode == 3  # the JVM workers are still missing
    installed = run(environment, "doctor", "--install", "jvm")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    converted = run(environment, "convert", "linear-spark", "-o", "bundle", "--require", "all", "--json")
    assert converted.returncode == 0, converted.stdout[-3000:] + converted.stderr
    report = json.loads(converted.stdout)
    assert report["summary"]["verdict"] == "passed"
    assert report["summary"]["passed"] == report["summary"]["planned"]
    again = run(environment, "doctor", "--install", "jvm", "--json", "-q")
    assert again.returncode == 0
    assert "installing" not in again.stderr
