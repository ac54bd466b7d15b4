"""Calibration data: suspicious ones are named, wrong ones refused, and none are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exporter import api
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.errors import InputsError
from exporter.outcome import Mismatched, Passed
from exporter.parity.report import Report


def report_of(bundle: Bundle) -> Report:
    assert bundle.report is not None
    return bundle.report


@pytest.mark.parametrize(
    ("function", "finding"),
    [
        ("times_255", "range-mismatch"),
        ("one", "few-samples"),
        pytest.param("same", "identical-samples", marks=pytest.mark.matrix),
        pytest.param("noise", "uniform-noise", marks=pytest.mark.matrix),
        pytest.param("evaluation", "calibration-is-evaluation", marks=pytest.mark.matrix),
    ],
)
def test_suspicious_rows_have_a_named_warning(convert: Callable[..., Bundle], function: str, finding: str) -> None:
    bundle = convert(function, ["tflite-int8"], function, runtime=["litert"])
    assert finding in [found["code"] for found in bundle.source["calibration"]["findings"]]
    assert any(note.startswith(f"calibration: {finding}: ") for note in bundle.notes)
    if function == "times_255":
        codes = [
            r.outcome.comparison.code for r in report_of(bundle).results.values() if isinstance(r.outcome, Mismatched)
        ]
        assert "quality" in codes


def test_warnings_can_be_errors(convert: Callable[..., Bundle], module: Path) -> None:
    with pytest.raises(InputsError, match=r"range-mismatch: input 'image' is calibrated on values up to"):
        convert("strict", ["tflite-int8"], "times_255", options={"strict_calibration": True})
    assert not (module.parent / "strict").exists()


def test_rows_that_are_no_numbers_are_refused(convert: Callable[..., Bundle]) -> None:
    with pytest.raises(InputsError, match=r"calibration row 7 of input 'image' of 'serving_default' holds nan"):
        convert("nan", ["tflite-int8"], "not_a_number")


def test_static_recipes_are_refused_without_rows(convert: Callable[..., Bundle]) -> None:
    bundle = convert("none", ["tflite-int8", "onnx-int8", "tflite-dynamic"], None, verify=False)
    status = {a.recipe.id: a.status for a in bundle.artifacts}
    assert status == {"tflite-int8": "refused", "onnx-int8": "refused", "tflite-dynamic": "written"}
    assert all("give --calibration FILE" in a.reason for a in bundle.artifacts if a.status == "refused")


@pytest.mark.matrix
def test_pictures_are_scaled_as_told(module: Path) -> None:
    import tensorflow as tf

    pictures = module.parent / "pictures"
    (pictures / "below").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        picture = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        name = pictures / ("below" if number % 2 else ".") / f"{number}.png"
        name.write_bytes(tf.io.encode_png(picture).numpy())
    options = ConvertOptions(inputs=f"{module}:own", calibration=str(pictures), image_range=(-1.0, 1.0))
    bundle = api.convert(
        f"{module}:build", module.parent / "from-pictures", to=["tflite-int8"], options=options, verify=False
    )
    assert bundle.source["calibration"]["samples"] == {"serving_default": 4}
    assert [f["code"] for f in bundle.source["calibration"]["findings"]] == ["few-samples"]


# -- sources


PRECISIONS = """
import keras
from keras import layers

def plain():
    keras.utils.set_random_seed(0)
    x = keras.Input((64,), name="x")
    y = layers.Dense(64, activation="relu", name="hidden")(x)
    return keras.Model(x, layers.Dense(10, name="out")(y))

def mixed():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return plain()
    finally:
        keras.config.set_dtype_policy("float32")

def int8():
    model = plain()
    model.quantize("int8")
    return model

def int4():
    model = plain()
    model.quantize("int4")
    return model

def rows():
    import numpy as np
    return {"x": np.random.default_rng(0).normal(size=(128, 64)).astype("float32")}
"""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("mixed", "layer 'hidden' computes in float16 (mixed precision)"),
        pytest.param("int8", "layer 'hidden' is quantized by Keras (int8)", marks=pytest.mark.matrix),
        pytest.param("int4", "layer 'hidden' is quantized by Keras (int4)", marks=pytest.mark.matrix),
    ],
)
def test_models_that_are_no_float32_are_refused_with_the_layer(tmp_path: Path, function: str, words: str) -> None:
    path = tmp_path / "precisions.py"
    path.write_text(PRECISIONS)
    to = ["tflite", "tflite-dynamic", "onnx-dynamic"]
    bundle = api.convert(f"{path}:{function}", tmp_path / "bundle", to=to, verify=False)
    assert [(a.status, words in a.reason) for a in bundle.artifacts] == [("refused", True)] * 3


@pytest.mark.matrix
def test_a_source_without_data_is_judged_by_its_calibration(tmp_path: Path) -> None:
    path = tmp_path / "precisions.py"
    path.write_text(PRECISIONS)
    options = ConvertOptions(calibration=f"{path}:rows")
    bundle = api.convert(f"{path}:plain", tmp_path / "bundle", to=["tflite-int8"], options=options, runtime=["litert"])
    (case,) = [c for c in bundle.cases if c.real]
    assert (case.name, case.origin) == ("calibration", "calibration")
    gates = {
        r.cell.case: r.outcome.comparison.outputs[0].allowed
        for r in report_of(bundle).results.values()
        if isinstance(r.outcome, Passed)
    }
    assert gates.pop("calibration") == "SQNR >= 17 dB"
    assert set(gates.values()) == {"SQNR not gated: made-up inputs"}
    # without calibration there are made-up inputs only, and those are gated where nothing is cut off
    bare = api.convert(f"{path}:plain", tmp_path / "bare", to=["tflite-dynamic"], runtime=["litert"])
    allowed = {
        r.outcome.comparison.outputs[0].allowed
        for r in report_of(bare).results.values()
        if isinstance(r.outcome, Passed)
    }
    assert allowed == {"SQNR >= 22 dB"}
