"""The hand-made bundle of `tests/fakes/tiny.py` for every unit test that needs one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from exporter.bundle import Bundle
from exporter.reference import load_module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return load_module(Path(__file__).parents[1] / "fakes" / "tiny.py")


@pytest.fixture
def bundle(tiny: ModuleType, tmp_path: Path) -> Bundle:
    """A fresh saved bundle in `tmp_path / "bundle"`."""
    made: Bundle = tiny.write(tmp_path / "bundle")
    return made
