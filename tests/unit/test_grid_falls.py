"""Regenerating the grid's expectations accepts no fall from exact to refused that nobody named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.reference import load_module

TOP = Path(__file__).parents[2]
expectations = load_module(TOP / "tests" / "parity" / "grid" / "expected.py")
EXACT, REWRITTEN, REFUSED = ("exact", ""), ("rewritten", "became two layers"), ("refused", "'dense' (Dense); use onnx")
UNSUPPORTED, WRONG = ("unsupported", "no int64"), ("wrong", "data: y[0] is 1")


@pytest.mark.parametrize("was", [EXACT, REWRITTEN])
@pytest.mark.parametrize("now", [REFUSED, UNSUPPORTED])
def test_a_fall_is_only_accepted_by_name(was: tuple[str, str], now: tuple[str, str]) -> None:
    before, found = {"Dense-default": {"tflite": was, "onnx": was}}, {"Dense-default": {"tflite": now, "onnx": was}}
    kept, fallen = expectations.accepted(found, before, [])
    assert kept == before
    assert fallen == [f"Dense-default tflite: was {was[0]}, and is {now[0]}: {now[1]}"]
    for rows, format_name, named in (("Dense-*", "tflite", True), ("Dense-*", "onnx", False), ("Conv*", "*", False)):
        kept, fallen = expectations.accepted(found, before, [expectations.Fall(rows, format_name, "why")])
        assert (kept == found, fallen == []) == (named, named)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (EXACT, REWRITTEN),
        (REWRITTEN, EXACT),
        (REFUSED, EXACT),
        (REFUSED, ("refused", "other words")),
        (UNSUPPORTED, REFUSED),
        (EXACT, WRONG),  # which known.toml has to explain
    ],
)
def test_what_is_no_fall_is_taken_as_it_is(was: tuple[str, str], now: tuple[str, str]) -> None:
    kept, fallen = expectations.accepted({"row": {"tflite": now}}, {"row": {"tflite": was}}, [])
    assert (kept, fallen) == ({"row": {"tflite": now}}, [])


def test_a_new_row_may_be_refused_from_the_start() -> None:
    assert expectations.accepted({"new": {"tflite": REFUSED}}, {}, []) == ({"new": {"tflite": REFUSED}}, [])


def test_the_tool_leaves_a_fall_unwritten_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python tools/support.py ROW`, with the measuring left out."""
    support = load_module(TOP / "tools" / "support.py")
    file, falls, page = (tmp_path / name for name in ("expected.json", "falls.toml", "page.md"))
    page.write_text("page")
    monkeypatch.setattr(expectations, "EXPECTED", file)
    monkeypatch.setattr(expectations, "FALLS", falls)
    monkeypatch.setattr(support, "PAGE", page)
    monkeypatch.setattr(support, "page", lambda text: text)
    monkeypatch.setattr(support, "_load", lambda name: expectations)
    monkeypatch.setattr(support, "cells", lambda: {"Dense-default": {"tflite": EXACT, "onnx": EXACT}})
    monkeypatch.setattr(support, "run", lambda rows, kept: {"Dense-default": {"tflite": REFUSED, "onnx": EXACT}})
    monkeypatch.setattr("sys.argv", ["support.py", "Dense-default"])
    for text, status, written in (
        ("", 1, set()),
        ('[[fall]]\nrows = "Dense-*"\nformat = "tflite"\nwhy = "it never computed the same"\n', 0, {"refused"}),
    ):
        falls.write_text(text)
        assert support.main() == status
        assert set(json.loads(file.read_text()).get("tflite", {})) == written
        assert ("Dense-default tflite: was exact" in capsys.readouterr().out) == bool(status)


def test_the_file_of_falls_can_be_read() -> None:
    for fall in expectations.falls():
        assert len(fall.why.split()) >= 5, fall
