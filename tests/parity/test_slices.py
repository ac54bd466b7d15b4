"""A detector whose head joins boxes in pixels with scores: int8 takes the scores, which is red whoever made it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from exporter import api
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.outcome import Mismatched, Passed
from exporter.parity.quantized import blame
from exporter.parity.report import summary_line
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew

RECIPES = ("tflite-int8", "tflite-int8:maker=tensorflow", "onnx-int8")
RUNTIMES = ("litert", "onnxruntime")
MODEL = """
import keras
import numpy as np
from keras import layers

def build():
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, strides=4, padding="same", activation="relu", name="stem")(image)
    box = layers.Rescaling(640.0, name="pixels")(layers.Conv2D(4, 1, activation="sigmoid", name="box")(x))
    score = layers.Conv2D(5, 1, activation="sigmoid", kernel_initializer=keras.initializers.RandomNormal(stddev=1.5),
                          name="score")(x)
    joined = layers.Concatenate(name="head")([box, score])
    return keras.Model(image, layers.Reshape((16, 9), name="pred")(joined))

def rows(seed, count):
    r = np.random.default_rng(seed)
    return {"image": (r.uniform(size=(count, 1, 1, 3)) + 0.3 * r.normal(size=(count, 16, 16, 3))).astype("float32")}

def own():
    return rows(1, 16)

def calibration():
    return rows(2, 64)
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slices") / "model.py"
    path.write_text(textwrap.dedent(MODEL))
    return path


def convert(module: Path, name: str, to: tuple[str, ...], crew: Crew, keep_float: tuple[str, ...] = ()) -> Bundle:
    options = ConvertOptions(inputs=f"{module}:own", calibration=f"{module}:calibration", keep_float=keep_float)
    return api.convert(
        f"{module}:build",
        module.parent / name,
        to=list(to),
        options=options,
        runtime=list(RUNTIMES),
        run_options=RunOptions(crew=crew),
    )


def test_scores_that_share_a_step_with_boxes_are_red_and_the_way_out_works(module: Path, crew: Crew) -> None:
    bundle = convert(module, "joined", RECIPES, crew)
    report = bundle.report
    assert report is not None
    for recipe in RECIPES:
        own = [r for c, r in report.results.items() if c.recipe == recipe and c.case == "data"]
        assert own
        for result in own:
            assert isinstance(result.outcome, Mismatched), recipe
            assert result.outcome.comparison.code == "quality"
            (output,) = result.outcome.comparison.outputs
            assert output.slice.startswith("pred[..., 4")
            assert output.top1 is None
            # the boxes hide them: as one cloud of numbers this is a good file
            assert output.sqnr_db > 30
        (words,) = [line for line in blame(report) if line.startswith(f"{recipe}: ")]
        assert words.endswith("in head, pred: try --keep-float head --keep-float pred")

    mended = convert(module, "mended", ("tflite-int8", "onnx-int8"), crew, ("head", "pred"))
    assert mended.report is not None
    for result in mended.report.results.values():
        assert isinstance(result.outcome, Passed), summary_line(result)


def test_sensitivity_sees_what_the_boxes_hide(module: Path) -> None:
    options = ConvertOptions(inputs=f"{module}:own", calibration=f"{module}:calibration")
    found = api.sensitivity(f"{module}:build", "tflite-int8", options=options)
    assert found.sqnr_db < 5
    assert found.layers[0].globs == ("head", "pred")
    assert found.layers[0].gain_db > 20
    assert found.command.endswith("--keep-float 'head' --keep-float 'pred'")
