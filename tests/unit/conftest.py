"""The hand-made bundle of `tests/fakes/tiny.py` for every unit test that needs one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from exporter.bundle import Bundle
from exporter.reference import load_module

# the same examples on every run; `--hypothesis-profile explore` looks for new ones
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", database=None, deadline=None, max_examples=1000)
settings.load_profile("repeatable")


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
