"""Discovery: the directory is the registry, and a module that is broken is a visible reason, never a smaller matrix."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import exporter
from exporter.discovery import discover
from exporter.errors import UsageError
from exporter.formats import Format
from exporter.formats.registry import format_named, formats
from exporter.runtimes import Runtime
from exporter.runtimes.registry import runtime_named, runtimes

PACKAGE = Path(exporter.__file__).parent


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A function that adds `runtimes/<stem>.py` to a plugin directory."""
    monkeypatch.setenv("EXPORTER_PLUGINS", str(tmp_path))

    def add(stem: str, body: str) -> None:
        (tmp_path / "runtimes").mkdir(exist_ok=True)
        (tmp_path / "runtimes" / f"{stem}.py").write_text(textwrap.dedent(body))

    return add


GOOD = """
    from exporter.runtimes import Runtime
    RUNTIME = Runtime("{0}", "title", ("onnx",), "cpu", lambda: [])
"""


def test_every_module_of_the_package_offers_something_that_works() -> None:
    for kind, offered in (("formats", Format), ("runtimes", Runtime)):
        found = discover(kind, offered)
        assert {n: v for n, v in found.items() if isinstance(v, str)} == {}
        stems = {p.stem for p in (PACKAGE / kind).glob("*.py") if not p.stem.startswith("_")} - {"registry"}
        assert len(found) >= len(stems) > 0


def test_names_are_keys() -> None:
    for kind, offered in (("formats", Format), ("runtimes", Runtime)):
        assert all(isinstance(v, str) or v.name == n for n, v in discover(kind, offered).items())


def test_every_format_has_a_runtime_and_every_runtime_a_format() -> None:
    known = {f.family for f in formats().values() if isinstance(f, Format)}
    run = {f for r in runtimes().values() if isinstance(r, Runtime) for f in r.formats}
    assert known == run


def test_a_plugin_adds_a_runtime(plugin: Callable[[str, str], None]) -> None:
    plugin("mine", GOOD.format("mine"))
    found = discover("runtimes", Runtime)["mine"]
    assert isinstance(found, Runtime)
    assert found.formats == ("onnx",)


BROKEN = {
    "syntax": ("RUNTIME = (", "SyntaxError"),
    "import": ("import a_module_that_is_not_installed", "ModuleNotFoundError: No module named 'a_module"),
    "raises": ("raise RuntimeError('no GPU here')", "RuntimeError: no GPU here"),
    "offers_nothing": ("x = 1", "AttributeError"),
    "wrong_type": ("RUNTIME = 'x'", "TypeError: RUNTIME is a str, expected a Runtime"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
}


@pytest.mark.parametrize("stem", BROKEN)
def test_a_broken_plugin_is_a_visible_reason(plugin: Callable[[str, str], None], stem: str) -> None:
    body, reason = BROKEN[stem]
    plugin(stem, body)
    plugin("zz_fine", GOOD.format("fine"))
    found = discover("runtimes", Runtime)
    assert str(found[stem.replace("_", "-")]).startswith(reason)
    assert isinstance(found["fine"], Runtime)
    assert isinstance(found["onnxruntime"], Runtime)


def test_a_name_that_is_taken_is_a_reason_and_the_first_stays(plugin: Callable[[str, str], None]) -> None:
    plugin("copycat", GOOD.format("onnxruntime"))
    found = discover("runtimes", Runtime)
    assert isinstance(found["onnxruntime"], Runtime)
    assert found["onnxruntime"].title != "title"
    assert found["copycat"] == "ValueError: the name 'onnxruntime' is already taken"


def test_a_broken_plugin_named_like_a_runtime_does_not_replace_it(plugin: Callable[[str, str], None]) -> None:
    """The reason is filed under the module's name, which may be the name of something that works."""
    plugin("onnxruntime", "raise RuntimeError('mine is broken')")
    found = discover("runtimes", Runtime)
    assert isinstance(found["onnxruntime"], Runtime)
    assert [v for v in found.values() if isinstance(v, str)] == ["RuntimeError: mine is broken"]


def test_helpers_and_other_files_are_no_plugins(plugin: Callable[[str, str], None], tmp_path: Path) -> None:
    plugin("_helper", "raise RuntimeError")
    (tmp_path / "runtimes" / "notes.txt").write_text("x")
    assert "helper" not in str(discover("runtimes", Runtime).keys())


def test_several_plugin_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "runtimes").mkdir(parents=True)
        (tmp_path / name / "runtimes" / f"{name}.py").write_text(textwrap.dedent(GOOD.format(f"{name}-runtime")))
    directories = [str(tmp_path / "a"), "", str(tmp_path / "b"), str(tmp_path / "absent")]
    monkeypatch.setenv("EXPORTER_PLUGINS", os.pathsep.join(directories))
    assert {"a-runtime", "b-runtime"} <= set(discover("runtimes", Runtime))


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        runtime_named("onnxruntim")
    with pytest.raises(UsageError, match="did you mean 'tflite'"):
        format_named("tflit")
