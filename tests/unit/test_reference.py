"""Finding and loading reference models and other people's modules by path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from exporter import reference


def test_every_reference_model_is_found() -> None:
    names = reference.names()
    assert names == sorted(names)
    assert "digits-cnn" in names
    assert all(reference.path_of(n).is_file() for n in names)


def test_a_module_is_loaded_once_and_may_have_helpers_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a_helper_of_its_own.py").write_text("VALUE = 3\n")
    (tmp_path / "model.py").write_text("import a_helper_of_its_own\nVALUE = a_helper_of_its_own.VALUE\n")
    path = list(sys.path)
    module = reference.load_module(tmp_path / "model.py")
    assert module.VALUE == 3
    assert reference.load_module(tmp_path / "model.py") is module
    assert sys.path == path


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(f"VALUE = {name!r}\n")
    found = [reference.load_module(tmp_path / n / "model.py").VALUE for n in ("a", "b")]
    assert found == ["a", "b"]


def test_names_that_differ_in_punctuation_only_are_two_modules(tmp_path: Path) -> None:
    for name in ("my-model", "my_model"):
        (tmp_path / f"{name}.py").write_text(f"VALUE = {name!r}\n")
    assert reference.load_module(tmp_path / "my-model.py").VALUE == "my-model"
    assert reference.load_module(tmp_path / "my_model.py").VALUE == "my_model"


def test_a_module_that_fails_can_be_repaired_and_loaded_again(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("raise RuntimeError('first')\n")
    path = list(sys.path)
    with pytest.raises(RuntimeError, match="first"):
        reference.load_module(tmp_path / "model.py")
    assert sys.path == path
    (tmp_path / "model.py").write_text("VALUE = 'a longer text than before'\n")
    assert reference.load_module(tmp_path / "model.py").VALUE.startswith("a longer")


def test_quality() -> None:
    quality = {"accuracy": (">=", 0.9), "loss": ("<=", 0.5)}
    assert reference.missed(quality, {"accuracy": 0.9, "loss": 0.5, "more": 0}) == []
    assert reference.missed(quality, {"accuracy": 0.8, "loss": 0.6}) == [
        "accuracy is 0.8, expected >= 0.9",
        "loss is 0.6, expected <= 0.5",
    ]
    assert len(reference.missed(quality, {"accuracy": float("nan")})) == 2
