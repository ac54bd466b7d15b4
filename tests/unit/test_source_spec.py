"""What a SOURCE argument means, and the sentence for each that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import reference
from exporter.errors import ExporterError, SourceError, UsageError
from exporter.source_spec import parse_source


def error(text: str | Path) -> ExporterError:
    with pytest.raises(ExporterError) as caught:
        parse_source(str(text))
    return caught.value


def test_a_reference_model() -> None:
    spec = parse_source("digits-cnn")
    assert (spec.kind, spec.name, spec.path) == ("reference", "digits-cnn", reference.path_of("digits-cnn"))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
def test_a_keras_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"my.model{suffix}").touch()
    monkeypatch.chdir(tmp_path)
    spec = parse_source(f"my.model{suffix}")
    assert (spec.kind, spec.name) == ("keras", "my.model")
    assert spec.path == tmp_path / f"my.model{suffix}"


def test_a_directory_is_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    found = error(tmp_path)
    assert found.code == "not-a-saved-model"
    (tmp_path / "export" / "saved_model.pb").touch()
    assert f"{tmp_path / 'export'} has one" in error(tmp_path).hint
    spec = parse_source(str(tmp_path / "export") + "/")
    assert (spec.kind, spec.name) == ("saved-model", "export")


def test_the_current_directory_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert parse_source(".").name == tmp_path.name


def test_a_callable(tmp_path: Path) -> None:
    assert error(f"{tmp_path}/with:colon/m.py:build").code == "missing-file"
    (tmp_path / "with:colon").mkdir()
    (tmp_path / "with:colon" / "m.py").touch()
    spec = parse_source(f"{tmp_path}/with:colon/m.py:build")
    assert (spec.kind, spec.name, spec.callable) == ("callable", "build", "build")
    assert spec.path == tmp_path / "with:colon" / "m.py"


def test_paths_win_over_reference_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits-cnn").mkdir()
    (tmp_path / "digits-cnn" / "saved_model.pb").touch()
    assert parse_source("digits-cnn").kind == "saved-model"


def test_an_unknown_name_suggests_the_nearest() -> None:
    found = error("digit-cnn")
    assert isinstance(found, UsageError)
    assert found.code == "unknown-source"
    assert "did you mean 'digits-cnn'" in found.message


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    assert error(tmp_path / "absent.keras").code == "missing-file"
    (tmp_path / "m.pt").touch()
    found = error(tmp_path / "m.pt")
    assert isinstance(found, SourceError)
    assert found.code == "unknown-kind"


def test_a_module_without_its_callable(tmp_path: Path) -> None:
    (tmp_path / "m.py").touch()
    assert error(tmp_path / "m.py").code == "bad-source"
    assert "m.py:build" in error(tmp_path / "m.py").hint
    assert error(f"{tmp_path}/m.py:not a name").code == "bad-source"
    assert error(f"{tmp_path}/m.py:").code == "bad-source"


def test_a_bundle_is_not_a_source(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").touch()
    found = error(tmp_path)
    assert found.code == "bad-source"
    assert f"exporter verify {tmp_path}" in found.hint
    (tmp_path / "saved_model.pb").touch()
    assert parse_source(str(tmp_path)).kind == "saved-model"
