"""Ctrl-C and SIGTERM at every stage: one message, the old bundle as it was, no files and no processes left."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")


def digest(directory: Path) -> dict[str, str]:
    return {
        str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(directory.rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def old(cli: Any, small: Any) -> Path:
    """A good bundle in the place that the interrupted command writes to."""
    bundle = cli.directory / "bundle"
    shutil.copytree(small.root, bundle)
    return bundle


def check(result: Any, status: int, word: str, old: Path, before: dict[str, str]) -> None:
    result.check_clean()
    assert result.status == status
    assert result.out == ""
    said = result.err.splitlines()
    assert sum(line.startswith(word) for line in said) == 1, result.err
    assert not any(line.startswith("error") for line in said), result.err
    assert said[-1].strip() == "run the same command again to start over"
    assert digest(old) == before, "the old bundle was changed"
    beside = [p.name for p in old.parent.iterdir() if p.name != "bundle" and not p.name.startswith("tmp-")]
    assert beside == [], f"left beside the bundle: {beside}"


def test_while_a_recipe_is_written(cli: Any, old: Path, plugins: str) -> None:
    before = digest(old)
    running = cli.start(
        "convert", f"{MODELS}:functional", "-o", old, "--to", "keras", "--to", "hangs", EXPORTER_PLUGINS=plugins
    )
    running.wait_for("writing hangs")
    assert running.workers
    for _ in range(2):  # the impatient second one must not cut the cleaning up short
        running.send(signal.SIGINT, group=True)  # as a terminal does: to the foreground process group
    check(running.finish(60), 130, "interrupted", old, before)


def test_while_the_source_is_opened(cli: Any, old: Path) -> None:
    before = digest(old)
    running = cli.start("convert", f"{MODELS}:functional", "-o", old)
    running.wait_for("opening")
    running.send(signal.SIGINT)
    check(running.finish(60), 130, "interrupted", old, before)


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "terminated"),
    ],
)
def test_while_a_bundle_is_verified(
    cli: Any, old: Path, plugins: str, number: signal.Signals, status: int, word: str
) -> None:
    """One runtime has answered and one never will."""
    before = digest(old)
    arguments = ["--runtime", "onnxruntime", "--runtime", "stuck", "--jobs", "2"]
    running = cli.start("verify", old, *arguments, EXPORTER_PLUGINS=plugins)
    running.wait_for("running 10 cells in 2 runtimes")
    running.wait_for_worker()
    running.send(number)
    check(running.finish(60), status, word, old, before)


def test_a_conversion_that_verifies(cli: Any, old: Path, plugins: str) -> None:
    before = digest(old)
    running = cli.start(
        "convert", f"{MODELS}:functional", "-o", old, "--to", "onnx", "--runtime", "stuck", EXPORTER_PLUGINS=plugins
    )
    running.wait_for("running 5 cells in 1 runtimes")
    running.wait_for_worker()
    running.send(signal.SIGTERM)
    check(running.finish(60), 143, "terminated", old, before)


def test_a_single_run(cli: Any, small: Any, plugins: str) -> None:
    (cli.directory / "in.json").write_text(json.dumps([[0, 0, 0, 0]]))
    running = cli.start(
        "run", small.root / "artifacts" / "onnx", "--inputs", "in.json", "--outputs", "out.json", "--runtime", "stuck",
        EXPORTER_PLUGINS=plugins,
    )  # fmt: skip
    running.wait_for_worker()
    running.send(signal.SIGINT)
    result = running.finish(5)  # at once, without waiting for an answer
    result.check_clean()
    assert result.status == 130
    assert not (cli.directory / "out.json").exists()


def test_while_runtimes_are_started(cli: Any) -> None:
    running = cli.start("runtimes")
    running.wait_for("starting")
    running.wait_for_worker()
    running.send(signal.SIGINT)
    result = running.finish(5)
    result.check_clean()
    assert (result.status, result.out) == (130, "")
