"""What was measured of each layer becomes rows, the best first."""

from __future__ import annotations

import json
import math

import pytest

from exporter.errors import UsageError
from exporter.formats.registry import parse_recipe
from exporter.layerwise import LayerSensitivity, Sensitivity, check_recipe, decibels, rows_of
from exporter.parity.html import render_sensitivity

MEASURED = {
    "noise": 1e-3,
    "bytes": 10_000,
    "float_bytes": 40_000,
    "layers": [
        {"layers": ["large"], "noise": 1e-4, "bytes": 30_000},
        {"layers": ["block/small"], "noise": 5e-4, "bytes": 10_500},
        {"layers": ["worse"], "noise": 2e-3, "bytes": 11_000},
        {"layers": ["smaller"], "noise": 9e-4, "bytes": 9_900},
        {"layers": ["join", "block/small"], "noise": 1e-5, "bytes": 10_100},
        {"layers": ["same"], "noise": 1e-3, "bytes": 10_400},
    ],
}
NAMES = ["join", "large", "block", "block/small", "worse", "smaller", "same"]


def test_rows_are_sorted_by_gain_for_each_byte() -> None:
    rows = rows_of(MEASURED, NAMES)
    assert [row.layer for row in rows] == ["smaller", "join, block/small", "block/small", "large", "same", "worse"]
    by_name = {row.layer: row for row in rows}
    assert by_name["large"].gain_db == pytest.approx(10)
    assert by_name["large"].bytes == 20_000
    assert by_name["large"].db_per_kb == pytest.approx(0.5)
    assert by_name["block/small"].globs == ("small",)
    assert by_name["join, block/small"].globs == ("join", "small")
    assert by_name["smaller"].bytes == -100
    assert by_name["worse"].gain_db < 0


def test_no_noise_and_no_number_have_decibels_too() -> None:
    assert decibels(0.0) == math.inf
    assert decibels(None) == -math.inf
    assert decibels(0.01) == pytest.approx(20)
    rows = rows_of({**MEASURED, "noise": 0.0, "layers": [{"layers": ["a"], "noise": 0.0, "bytes": 1}]}, ["a"])
    assert rows[0].gain_db == 0
    found = Sensitivity("tflite-int8", math.inf, 1, 2, rows, "").to_json()
    assert json.loads(json.dumps(found, allow_nan=False))["layers"][0]["sqnr_db"] == "Infinity"


@pytest.mark.parametrize("recipe", ["onnx-int8", "tflite", "tflite-int8:maker=tensorflow"])
def test_other_recipes_are_refused_with_the_reason(recipe: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_recipe(parse_recipe(recipe))
    assert caught.value.code == "no-sensitivity"


def test_recipes_by_ai_edge_can_be_measured() -> None:
    for recipe in ("tflite-int8", "tflite-int16x8", "tflite-dynamic", "tflite-int4:mode=dynamic", "tflite-float16"):
        check_recipe(parse_recipe(recipe))


def test_the_page_has_every_layer_and_the_command() -> None:
    rows = (
        LayerSensitivity("a<b", "a<b", 45.0, 3.0, 500),
        LayerSensitivity("free", "free", float("inf"), float("inf"), 0),
        LayerSensitivity("worse", "worse", 41.0, -1.0, 20),
    )
    found = Sensitivity("tflite-int8", 42.0, 1000, 4000, rows, "exporter convert m --keep-float 'a<b'")
    page = render_sensitivity(found, "m")
    assert page.count('class="gain"') == 2
    assert page.count('class="gain loss"') == 1
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert "exporter convert m --keep-float &#x27;a&lt;b&#x27;" in page
