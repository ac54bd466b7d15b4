"""Recipes that crash, raise or refuse cost their own row; the others are written and confirmed all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")


@pytest.fixture(scope="module")
def troubled(session_cli: Any, plugins: str, hanging: Any) -> Any:
    """`hanging` is only started here: while these tests run, it waits."""
    recipes = ("keras", "crashes", "raises", "refuses", "onnx")
    to = [word for recipe in recipes for word in ("--to", recipe)]
    return session_cli(
        "convert", f"{MODELS}:custom_layer", "-o", "troubled", *to, "--json", status=1, EXPORTER_PLUGINS=plugins
    )


def cells(report: dict[str, Any], recipe: str) -> list[dict[str, Any]]:
    return [c for c in report["cells"] if c["recipe"] == recipe]


def test_the_others_are_written_and_confirmed(troubled: Any, session_cli: Any) -> None:
    report = troubled.json
    status = {a["recipe"]: a["status"] for a in report["artifacts"]}
    assert status == {
        "keras": "written",
        "crashes": "failed",
        "raises": "failed",
        "refuses": "refused",
        "onnx": "written",
    }
    for recipe in ("keras", "onnx"):
        assert {c["outcome"] for c in cells(report, recipe)} == {"passed"}
    assert report["summary"]["verdict"] == "failed"
    artifacts = session_cli.directory / "troubled" / "artifacts"
    assert {p.name for p in artifacts.iterdir()} == {"keras", "onnx"}, "half an artifact is left"


def test_a_crash_names_its_signal_and_place(troubled: Any) -> None:
    rows = cells(troubled.json, "crashes")
    assert rows
    assert {(c["outcome"], c["stage"], c["code"]) for c in rows} == {("failed", "convert", "signal-SIGSEGV")}
    assert "killed by SIGSEGV" in rows[0]["reason"]
    assert "troubled.py" in rows[0]["reason"]
    assert "_crashes" in rows[0]["reason"]


def test_an_exception_is_a_failed_conversion(troubled: Any) -> None:
    rows = cells(troubled.json, "raises")
    assert {(c["outcome"], c["stage"]) for c in rows} == {("failed", "convert")}
    assert "ValueError: the scale of layer 'dense' is negative" in rows[0]["reason"]


def test_a_refusal_is_unsupported(troubled: Any) -> None:
    rows = cells(troubled.json, "refuses")
    assert {c["outcome"] for c in rows} == {"unsupported"}
    assert rows[0]["reason"] == "layer 'scores' has a softmax, which this format lacks; use onnx"


def test_the_crash_is_told_while_it_happens(troubled: Any) -> None:
    said = [line for line in troubled.err.splitlines() if line.startswith(("failed: ", "refused: "))]
    assert [line.split(": ")[1] for line in said] == ["crashes", "raises", "refuses"]
