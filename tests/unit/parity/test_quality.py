"""The gates of quantized artifacts: noise against the source, arithmetic against the artifact's own weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from exporter.formats.registry import parse_recipe, quantized_recipes
from exporter.model import Signature, TensorSpec
from exporter.outcome import Comparison
from exporter.parity.compare import scales
from exporter.parity.quality import Measured, divergence, follows, judge, noise_db, quality_of, rows

RNG = np.random.default_rng(1)
EXPECTED = {"y": RNG.normal(size=(64, 10)).astype(np.float32)}
SIGNATURE = Signature("s", (), (TensorSpec("y", "float32", (None, 10)),))
SCALE = scales({"case": EXPECTED})
DATA = Measured(of_data=True, signal=SCALE)


def with_noise(db: float) -> dict[str, np.ndarray]:
    noise = RNG.normal(size=EXPECTED["y"].shape)
    noise *= SCALE["y"] * 10 ** (-db / 20) / np.sqrt(np.mean(noise**2))
    return {"y": (EXPECTED["y"] + noise).astype(np.float32)}


@pytest.mark.parametrize("recipe", ["tflite-float16", "tflite-dynamic", "tflite-int8", "tflite-int16x8", "tflite-int4"])
def test_noise_just_below_the_gate_passes_and_just_above_does_not(recipe: str) -> None:
    quality = quality_of(recipe)
    assert quality is not None
    passing = judge(SIGNATURE, with_noise(quality.sqnr_db + 0.5), EXPECTED, SCALE, quality, DATA)
    assert passing.code == ""
    assert 0.9 < passing.outputs[0].needed <= 1
    assert passing.outputs[0].noise_db == pytest.approx(quality.sqnr_db + 0.5, abs=0.05)
    failing = judge(SIGNATURE, with_noise(quality.sqnr_db - 0.5), EXPECTED, SCALE, quality, DATA)
    assert failing.code == "quality"
    assert f"expected at least {quality.sqnr_db:g}" in failing.problem


def test_options_do_not_change_the_row_of_a_recipe() -> None:
    assert quality_of("tflite-int8:io=int8") == quality_of("tflite-int8")
    assert quality_of("tfjs-graph:quantize=uint8,quantize-only=*/kernel") == quality_of("tfjs-layers:quantize=uint8")
    # the coarsest of several dtypes decides
    mixed = "tfjs-graph:quantize=float16:conv*+uint8:dense*,shard-size=1MiB"
    assert quality_of(mixed) == quality_of("tfjs-graph:quantize=uint8")
    assert quality_of("tfjs-graph:quantize=uint16:conv*+float16") == quality_of("tfjs-graph:quantize=float16")
    assert quality_of("tfjs-graph:shard-names=hashed") is None
    assert quality_of("tflite") is None
    assert quality_of("onnx:opset=17") is None


def test_made_up_inputs_are_not_gated_but_measured() -> None:
    quality = quality_of("tflite-int8")
    assert quality is not None
    found = judge(SIGNATURE, with_noise(3), EXPECTED, SCALE, quality, Measured(of_data=False, signal=SCALE))
    assert found.code == ""
    assert found.outputs[0].noise_db == pytest.approx(3, abs=0.05)
    assert "not gated" in found.outputs[0].allowed


def test_a_runtime_that_computes_something_else_is_told_from_the_price() -> None:
    quality = quality_of("tflite-dynamic")
    assert quality is not None
    bad = with_noise(10)
    price = judge(SIGNATURE, bad, EXPECTED, SCALE, quality, replace(DATA, own=bad))
    assert price.code == "quality"
    wrong = judge(SIGNATURE, bad, EXPECTED, SCALE, quality, replace(DATA, own=EXPECTED))
    assert wrong.code == "conversion"
    assert "own weights" in wrong.problem


def test_storage_only_precisions_compute_in_float() -> None:
    quality = quality_of("tflite-float16")
    assert quality is not None
    got = with_noise(70)
    assert judge(SIGNATURE, got, EXPECTED, SCALE, quality, replace(DATA, own=got)).code == ""
    assert judge(SIGNATURE, got, EXPECTED, SCALE, quality, replace(DATA, own=EXPECTED)).code == "conversion"


def test_static_precisions_are_near_the_reference_kernels() -> None:
    quality = quality_of("tflite-int8")
    assert quality is not None
    step = 0.05
    kernels = {"y": (np.round(EXPECTED["y"] / step) * step).astype(np.float32)}
    measured = Measured(of_data=False, signal=SCALE, kernels=kernels, steps={"y": step})
    near = {"y": kernels["y"] + np.float32(2 * step)}
    far = {"y": kernels["y"] + np.float32(8 * step)}
    # rounding by one step in each layer of a deep network ends in a few elements that are farther away
    few = {"y": kernels["y"].copy()}
    few["y"][3, 4] += np.float32(3 * step)
    passed = judge(SIGNATURE, near, EXPECTED, SCALE, quality, measured)
    assert passed.code == ""
    assert passed.outputs[0].steps == pytest.approx(2, abs=1e-3)
    failed = judge(SIGNATURE, far, EXPECTED, SCALE, quality, measured)
    assert failed.code == "conversion"
    assert "8 steps" in failed.problem
    assert judge(SIGNATURE, few, EXPECTED, SCALE, quality, measured).code == ""


def test_names_dtypes_and_nan_are_compared_first() -> None:
    quality = quality_of("tflite-int8")
    assert quality is not None
    nan = {"y": np.where(np.arange(10) == 3, np.nan, EXPECTED["y"]).astype(np.float32)}
    for got, code in (
        ({"z": EXPECTED["y"]}, "names"),
        ({"y": EXPECTED["y"].astype(np.float64)}, "dtype"),
        (nan, "non-finite"),
    ):
        assert judge(SIGNATURE, got, EXPECTED, SCALE, quality, DATA).code == code


def test_divergence_is_of_probabilities_only() -> None:
    logits = RNG.normal(size=(5, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert divergence(p, p) == pytest.approx(0, abs=1e-12)
    assert divergence(p[:, ::-1], p) == pytest.approx(np.mean(np.sum(p * np.log(p / p[:, ::-1]), axis=1)))
    assert divergence(logits, logits) is None
    assert divergence(p[:, :1], p[:, :1]) is None


def test_noise_of_nothing_is_infinite() -> None:
    assert noise_db(EXPECTED["y"], EXPECTED["y"], 1.0) == math.inf


def test_every_row_belongs_to_a_quantized_format_and_every_such_format_has_a_row() -> None:
    quantized = [recipe.id for recipe in (*quantized_recipes(), parse_recipe("onnx-float16:compute=float16"))]
    assert {recipe.partition("-")[0] for recipe in quantized} == {"tflite", "onnx", "tfjs"}
    assert all(quality_of(name) for name in quantized)
    assert {quality_of(name) for name in quantized} == set(rows())


def test_what_is_no_number_passes_no_gate() -> None:
    expected = np.array([[1.0, np.nan, 2.0, np.inf]], np.float32)
    assert noise_db(expected, expected, 1.0) == math.inf
    assert noise_db(np.where(np.isnan(expected), 0, expected), expected, 1.0) == -math.inf
    same = np.array([[1.5, np.nan, 2.5, np.inf]], np.float32)
    assert noise_db(same, expected, 1.0) == pytest.approx(20 * math.log10(2))
    quality = quality_of("tflite-int8")
    assert quality is not None
    holed = {"y": EXPECTED["y"].copy()}
    holed["y"][0, 0] = np.nan
    far = {"y": holed["y"] + np.float32(5)}
    assert judge(SIGNATURE, far, holed, SCALE, quality, replace(DATA, kernels=holed)).code != ""
    # a reference that is one number everywhere has no steps, and is not agreed with for that
    flat = {"y": np.zeros_like(EXPECTED["y"])}
    assert judge(SIGNATURE, EXPECTED, EXPECTED, SCALE, quality, replace(DATA, kernels=flat)).code == "conversion"


def judged(got: np.ndarray, expected: np.ndarray, recipe: str = "tflite-int8") -> Comparison:
    quality = quality_of(recipe)
    assert quality is not None
    references = {"case": {"y": expected}}
    measured = Measured(of_data=True, signal=scales(references, floor=0.0))
    return judge(SIGNATURE, {"y": got}, {"y": expected}, scales(references), quality, measured)


def test_one_constant_for_all_rows_is_red_whatever_its_offset() -> None:
    """40.8 +- 0.6 that became 40.8: 36 dB."""
    expected = RNG.normal(40.8, 0.6, (64, 10)).astype(np.float32)
    constant = np.broadcast_to(expected.mean(axis=0), expected.shape).astype(np.float32)
    found = judged(constant, expected)
    assert found.outputs[0].noise_db is not None
    assert found.outputs[0].noise_db > 30
    assert found.code == "quality"
    assert "the output is one constant for all rows" in found.problem
    assert found.outputs[0].follows == 0
    shuffled = judged(expected[::-1].copy(), expected)
    assert "no longer follows the input" in shuffled.problem
    noisy = (expected + RNG.normal(0, 0.6, expected.shape)).astype(np.float32)
    assert judged(noisy, expected).code == ""
    assert judged(noisy, expected).outputs[0].follows == pytest.approx(0.71, abs=0.05)


def test_rows_that_are_alike_or_few_have_nothing_to_follow() -> None:
    alike = np.full((64, 10), 3.0, np.float32)
    assert follows(alike, alike) is None
    assert follows(EXPECTED["y"][:3], EXPECTED["y"][:3]) is None
    assert follows(np.zeros_like(EXPECTED["y"]), EXPECTED["y"]) == 0
    assert follows(EXPECTED["y"] * 2 + 1, EXPECTED["y"]) == pytest.approx(1)


@pytest.mark.parametrize("size", [1e-12, 1e-30, 1e30])
def test_noise_is_judged_by_the_outputs_own_size(size: float) -> None:
    expected = (EXPECTED["y"] * size).astype(np.float32)
    wrong = (expected + RNG.normal(0, size / 2, expected.shape)).astype(np.float32)
    found = judged(wrong, expected)
    assert found.code == "quality"
    assert found.outputs[0].noise_db == pytest.approx(6, abs=1)
    assert judged(expected, expected).code == ""


def test_an_output_that_is_zero_everywhere() -> None:
    zero = np.zeros((64, 10), np.float32)
    assert judged(zero, zero).code == ""
    assert judged(zero + np.float32(1e-9), zero).code == "quality"
