"""The hand-made bundle of `tests/fakes/tiny.py` for the protocol tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from exporter.bundle import Bundle
from exporter.reference import load_module


@pytest.fixture(scope="module", autouse=True)
def no_tensorflow(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test here loads TensorFlow into this process (what imports it at the top is found by test_no_tensorflow)."""
    before = "tensorflow" in sys.modules
    yield
    assert before or "tensorflow" not in sys.modules, f"{request.node.name} loaded TensorFlow"


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return load_module(Path(__file__).parents[1] / "fakes" / "tiny.py")


@pytest.fixture
def bundle(tiny: ModuleType, tmp_path: Path) -> Bundle:
    """A fresh saved bundle in `tmp_path / "bundle"`."""
    made: Bundle = tiny.write(tmp_path / "bundle")
    return made


@pytest.fixture(scope="session")
def alive_in_group() -> Callable[[int], list[int]]:
    """A function: process group -> ids of its processes that still run (zombies that init has yet to reap do not)."""

    def find(group: int) -> list[int]:
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                # the command, in parentheses, may hold spaces
                state, _, pgrp = status.read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(pgrp) == group and state != "Z":
                found.append(int(status.parent.name))
        return found

    return find
