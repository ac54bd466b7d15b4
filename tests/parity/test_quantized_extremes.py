"""Models that make quantizers fail quietly: loops, weights out of range, NaN, constants, offsets, tiny outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exporter import api
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.errors import SourceError
from exporter.formats.registry import quantized_formats
from exporter.outcome import Mismatched, Passed
from exporter.parity.quantized import blame, prices
from exporter.parity.report import Report, summary_line

pytestmark = pytest.mark.matrix  # several conversions: `make test-matrix`
NATIVE = ["litert", "onnxruntime"]
MODELS = """
import keras
import numpy as np
from keras import layers

def mlp(name, scale=1.0, offset=0.0):
    keras.utils.set_random_seed(3)
    x = keras.Input((8,), name="x")
    y = layers.Dense(64, activation="tanh", name="first")(x)
    y = layers.Dense(64, activation="relu", name="second")(y)
    model = keras.Model(x, layers.Dense(4, bias_initializer=keras.initializers.Constant(offset), name="out")(y))
    for weight in model.get_layer("out").weights[:1]:
        weight.assign(weight * scale)
    return model

def large():
    model = mlp("large")
    kernel = model.get_layer("first").kernel
    values = kernel.numpy()
    values[0, 0] = 1e6
    kernel.assign(values)
    return model

def tiny():
    return mlp("tiny", scale=1e-12)

def shifted():
    return mlp("shifted", offset=40.0)

def constant():
    return mlp("constant", scale=0.0, offset=3.0)

def not_a_number():
    model = mlp("nan")
    kernel = model.get_layer("first").kernel
    values = kernel.numpy()
    values[3, 5] = np.nan
    kernel.assign(values)
    return model

def recurrent():
    keras.utils.set_random_seed(3)
    x = keras.Input((6, 8), name="x")
    y = layers.Bidirectional(layers.GRU(40, return_sequences=True, name="gru"), name="both")(x)
    return keras.Model(x, layers.Dense(36, name="out")(layers.GRU(32, name="last")(y)))

def rows(count=128, seed=0, scale=1.0):
    return {"x": (np.random.default_rng(seed).normal(size=(count, 8)) * scale).astype("float32")}

def own():
    return rows(16, 1)

def times_255():
    return rows(scale=255.0)

def sequences():
    return {"x": np.tanh(np.random.default_rng(0).normal(size=(128, 6, 8))).astype("float32")}

def some_sequences():
    return {"x": np.tanh(np.random.default_rng(1).normal(size=(16, 6, 8))).astype("float32")}

def of_another_signature():
    return {"foo": rows()}
"""


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bundle]:
    module = tmp_path_factory.mktemp("extremes") / "models.py"
    module.write_text(MODELS)

    def make(name: str, to: list[str], calibration: str | None = "rows", inputs: str | None = "own") -> Bundle:
        given = {"calibration": calibration, "inputs": inputs}
        options: dict[str, Any] = {key: f"{module}:{function}" for key, function in given.items() if function}
        runtimes = [r for r in NATIVE if any(recipe[:2] == {"litert": "tf", "onnxruntime": "on"}[r] for recipe in to)]
        return api.convert(
            f"{module}:{name}", module.parent / name, to=to, options=ConvertOptions(**options), runtime=runtimes
        )

    return make


def report_of(bundle: Bundle) -> Report:
    assert bundle.report is not None
    return bundle.report


def red(bundle: Bundle) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for result in report_of(bundle).results.values():
        if isinstance(result.outcome, Mismatched):
            found.setdefault(result.cell.recipe, set()).add(result.outcome.comparison.code)
    return found


def test_loops_of_a_gru_pass_in_every_recipe(convert: Callable[..., Bundle]) -> None:
    bundle = convert("recurrent", quantized_formats(), "sequences", "some_sequences")
    assert [a.recipe.id for a in bundle.artifacts if a.status != "written"] == []
    for result in report_of(bundle).results.values():
        assert isinstance(result.outcome, Passed), summary_line(result)


def test_what_float16_cannot_hold(convert: Callable[..., Bundle]) -> None:
    """TFLite's recipe refuses it, ONNX' leaves that constant in float32 and says so."""
    bundle = convert("large", ["tflite-float16", "onnx-float16"])
    artifacts = {a.recipe.id: a for a in bundle.artifacts}
    assert artifacts["tflite-float16"].status == "refused"
    assert "1 values above 65504" in artifacts["tflite-float16"].reason
    assert any("stays float32: it holds 1e+06" in words for words in artifacts["onnx-float16"].rewrites)
    assert red(bundle) == {}


def test_a_weight_that_is_no_number_is_named_by_every_recipe(convert: Callable[..., Bundle]) -> None:
    bundle = convert("not_a_number", quantized_formats())
    for artifact in bundle.artifacts:
        assert artifact.status == "refused", artifact.recipe.id
        assert "holds 1 NaN among 512 values" in artifact.reason


def test_outputs_of_any_size_are_judged(convert: Callable[..., Bundle]) -> None:
    """float16 has nothing below 6e-8: what is written gives the bias alone."""
    bundle = convert("tiny", ["tflite-float16", "onnx-float16"])
    assert red(bundle) == {"tflite-float16": {"quality"}, "onnx-float16": {"quality"}}
    assert all("this is what the precision costs" in line for line in blame(report_of(bundle)))
    assert not any("calibration" in line for line in blame(report_of(bundle)))


def test_an_offset_does_not_hide_a_constant(convert: Callable[..., Bundle]) -> None:
    good = convert("shifted", ["tflite-int8", "onnx-int8"])
    assert red(good) == {}
    wrong = convert("shifted", ["tflite-int8", "onnx-int8"], "times_255")
    assert red(wrong) == {"tflite-int8": {"quality"}, "onnx-int8": {"quality"}}
    assert all(p.noise_db is not None and p.noise_db > 17 for p in prices(report_of(wrong)))
    assert all("range-mismatch" in line for line in blame(report_of(wrong)))


def test_an_output_that_never_varies_has_a_report(convert: Callable[..., Bundle]) -> None:
    bundle = convert("constant", ["tflite-dynamic", "onnx-dynamic", "tflite-int16x8"])
    assert (bundle.root / "report.html").stat().st_size > 1000


def test_rows_for_another_signature_are_an_error(convert: Callable[..., Bundle]) -> None:
    with pytest.raises(SourceError, match=r"returned rows for 'foo'") as caught:
        convert("shifted", ["tflite-int8"], "of_another_signature")
    assert caught.value.hint == "the signatures: serving_default"


def test_layers_are_measured_on_calibration_rows_where_there_is_nothing_else(convert: Callable[..., Bundle]) -> None:
    module = convert("shifted", ["tflite-int8"]).root.parent / "models.py"
    found = api.sensitivity(f"{module}:shifted", "tflite-int8", options=ConvertOptions(calibration=f"{module}:rows"))
    assert {row.layer for row in found.layers} == {"first", "second", "out"}
