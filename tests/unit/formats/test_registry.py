"""Recipes from the command line: equal recipes get equal ids, and every mistake a sentence."""

from __future__ import annotations

import pytest

from exporter.errors import UsageError
from exporter.formats import Format, parse_size
from exporter.formats.registry import (
    check_metadata,
    default_recipes,
    formats,
    is_quantized,
    parse_recipe,
    quantized_recipes,
    resolved_options,
)
from exporter.model import Recipe


def code_of(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_recipe(text)
    return caught.value.code


def test_default_options_are_dropped() -> None:
    assert parse_recipe("onnx:opset=18") == parse_recipe("onnx") == Recipe("onnx")
    assert parse_recipe("onnx:opset=17").id == "onnx:opset=17"


def test_options_are_sorted() -> None:
    assert parse_recipe("onnx:opset=17").options == (("opset", "17"),)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("tflit", "unknown-format"),
        ("", "unknown-format"),
        ("onnx:opst=17", "unknown-option"),
        ("onnx:opset=12", "bad-option"),
        ("onnx:opset=seventeen", "bad-option"),
        ("onnx:opset", "bad-recipe"),
        ("tfjs-graph:shard-size=0", "bad-option"),
        ("tfjs-graph:shard-names=short", "bad-option"),
        ("tfjs-layers:quantize=int8", "bad-option"),
        ("tfjs-layers:quantize=uint8:", "bad-option"),
        ("tfjs-layers:quantize=uint8+uint16", "bad-option"),
        ("tfjs-layers:quantize=uint8,quantize-only=a++b", "bad-option"),
        ("tfjs-layers:quantize-only=dense*", "bad-option"),
        ("tfjs-layers:quantize=uint8:a*,quantize-only=dense*", "bad-option"),
    ],
)
def test_mistakes(text: str, code: str) -> None:
    assert code_of(text) == code


def test_default_recipes_are_every_format_and_keep_the_writing_order() -> None:
    orders = [f.order for n in default_recipes() if isinstance(f := formats()[n.format], Format)]
    assert orders == sorted(orders)
    assert all(parse_recipe(r.id) == r for r in default_recipes())


def test_a_recipe_of_a_float_format_is_quantized_by_its_option() -> None:
    assert is_quantized(parse_recipe("tfjs-graph:quantize=uint8"))
    assert is_quantized(parse_recipe("tfjs-layers:quantize=float16,quantize-only=dense*,shard-size=1MiB"))
    assert is_quantized(Recipe("tflite-int8"))
    for text in ("tfjs-graph", "tfjs-graph:quantize=none", "tfjs-layers:shard-names=hashed", "onnx"):
        assert not is_quantized(parse_recipe(text)), text


def test_all_recipes_are_the_default_ones_and_the_quantized_ones() -> None:
    everything = default_recipes(all_variants=True)
    assert set(everything) == {*default_recipes(), *quantized_recipes()}
    assert Recipe("tfjs-graph", (("quantize", "uint16"),)) in quantized_recipes()
    assert len(set(everything)) == len(everything)


METADATA = {"labels": ["a", "b"], "mean": 0.5}


@pytest.mark.parametrize(
    ("metadata", "recipes", "code"),
    [
        (METADATA, ["onnx", "tflite"], "useless-metadata"),
        ({"signature": {}}, ["tfjs-layers", "tfjs-graph:quantize=uint8"], "reserved-metadata"),
        ({"structuredOutputKeys": []}, ["tfjs-graph"], "reserved-metadata"),
        ({"mean": float("nan")}, ["tfjs-graph"], "bad-metadata"),
        ({"mean": object()}, ["tfjs-graph"], "bad-metadata"),
        ({"signature": {}}, ["tfjs-layers", "onnx"], ""),
        (METADATA, ["tfjs-graph", "onnx"], ""),
        ({}, ["onnx"], ""),
    ],
)
def test_metadata_that_would_be_lost_or_read_as_something_else(metadata, recipes, code) -> None:
    chosen = [parse_recipe(text) for text in recipes]
    if not code:
        check_metadata(metadata, chosen)
        return
    with pytest.raises(UsageError) as caught:
        check_metadata(metadata, chosen)
    assert caught.value.code == code


def test_resolved_options_are_complete() -> None:
    for name, found in formats().items():
        assert isinstance(found, Format)
        assert resolved_options(Recipe(name)).keys() == found.options.keys()
        for option in found.options.values():
            option.check(option.default)
    assert resolved_options(Recipe("onnx", (("opset", "15"),))) == {"opset": "15"}


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("4MiB", 4 << 20), ("100kB", 100_000), ("2 GB", 2 * 10**9), ("1gib", 1 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "MiB", "1.5MB", "-1", "4 parsecs", "4MiBB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)
