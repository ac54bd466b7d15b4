"""Wording: suggestions, sizes, durations."""

from __future__ import annotations

import pytest

from exporter.text import did_you_mean, human_bytes, human_seconds


def test_did_you_mean() -> None:
    assert did_you_mean("tflit", ["onnx", "tflite"]) == ", did you mean 'tflite'?"
    assert did_you_mean("zzz", ["onnx", "tflite"]) == ""
    assert did_you_mean("x", []) == ""


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (4100, "4.1 kB"), (13_900_000, "13.9 MB"), (5 * 10**12, "5000.0 GB")],
)
def test_human_bytes(count: int, shown: str) -> None:
    assert human_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.31, "0.3 s"), (12, "12 s"), (185, "3 min 5 s"), (3600, "60 min 0 s")]
)
def test_human_seconds(seconds: float, shown: str) -> None:
    assert human_seconds(seconds) == shown
