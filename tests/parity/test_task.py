"""Task metrics of real artifacts: every recipe beside the source, a drop goes red, and a bundle gives it again."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import exporter.parity
from exporter import api
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.errors import ExporterError
from exporter.outcome import Mismatched, Score
from exporter.parity.report import Report
from exporter.parity.scores import scores

pytestmark = pytest.mark.matrix  # many small conversions: `make test-matrix`
RUNTIMES = ["litert", "onnxruntime"]
SCHEMA = json.loads((Path(exporter.parity.__file__).parent / "report.v1.schema.json").read_text())
MODEL = """
import keras
import numpy as np
from keras import layers

def build():
    keras.utils.set_random_seed(3)
    features = keras.Input((8,), name="features")
    hidden = layers.Dense(64, activation="relu", bias_initializer="normal")(features)
    scores = layers.Dense(4, activation="softmax", name="scores")(hidden)
    return keras.Model(features, {"scores": scores, "chance": layers.Dense(1, activation="sigmoid")(hidden)})

def rows(count=256, seed=5):
    return {"features": np.random.default_rng(seed).normal(size=(count, 8)).astype("float32")}

def tiny_rows():
    return {"features": rows()["features"] / 300}

def labelled():
    given = rows(300, 0)
    found = build()(given["features"])
    labels = found["scores"].numpy().argmax(axis=1)
    labels[:30] = (labels[:30] + 1) % 4
    return given, {"scores": labels, "chance": found["chance"].numpy()[:, 0] > 0.5}

def fails():
    raise ValueError("no such file")
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("task") / "model.py"
    path.write_text(textwrap.dedent(MODEL))
    return path


def convert(module: Path, output: str, *to: str, calibration: str = "rows", **options: Any) -> Bundle:
    given = {"evaluation": f"{module}:labelled", "metric": "accuracy", **options}
    chosen = ConvertOptions(calibration=f"{module}:{calibration}", **given)
    runtimes = [name for name in RUNTIMES if any(t.startswith(name[:4].replace("lite", "tfli")) for t in to)]
    return api.convert(f"{module}:build", module.parent / output, to=to, options=chosen, runtime=runtimes)


def report_of(bundle: Bundle) -> Report:
    assert bundle.report is not None
    return bundle.report


def measured(report: Report) -> dict[tuple[str, str], Score]:
    """(recipe, output) -> score; each has one."""
    return {(c.recipe, name): s for c, r in report.results.items() for name, s in scores(r).items()}


@pytest.fixture(scope="module")
def good(module: Path) -> Bundle:
    metric = {"scores": "accuracy", "chance": "auc"}
    return convert(module, "good", "tflite", "tflite-int8", "onnx", metric=metric, max_drop={"scores": 0.05})


def test_every_recipe_is_measured_beside_the_source(good: Bundle) -> None:
    report = report_of(good)
    assert report.exit_status == 0, report.problems
    found = measured(report)
    assert set(found) == {(r, o) for r in ("tflite", "tflite-int8", "onnx") for o in ("scores", "chance")}
    for (recipe, output), score in found.items():
        assert score.source == (1.0 if output == "chance" else 0.9)
        assert score.max_drop == (0.05 if output == "scores" else None)
        assert score.drop == pytest.approx(score.source - score.value)
        assert abs(score.drop) <= (0.05 if recipe == "tflite-int8" else 1e-12)
    assert good.evaluation is not None
    assert (good.evaluation.rows, good.evaluation.given) == (300, 300)


def test_the_documents_say_it(good: Bundle) -> None:
    document = json.loads((good.root / "report.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert [t["metric"] for t in document["evaluation"]["tasks"]] == ["auc", "accuracy"]
    (cell,) = [c for c in document["cells"] if (c["recipe"], c["case"]) == ("onnx", "evaluation")]
    assert cell["outputs"]["scores"]["task"] == {
        "metric": "accuracy", "value": 0.9, "source": 0.9, "drop": 0.0, "max_drop": 0.05,
    }  # fmt: skip
    page = (good.root / "report.html").read_text()
    assert '<th class="num">scores accuracy</th>' in page
    assert "auc 1 of chance, accuracy 0.9 of scores (largest allowed drop 0.05) on 300 labelled rows" in page


def test_the_bundle_gives_it_again(good: Bundle) -> None:
    again = api.verify(good.root, runtime=RUNTIMES)
    assert again.exit_status == 0
    assert measured(again) == measured(report_of(good))


def test_a_source_that_was_better_makes_it_red(good: Bundle) -> None:
    loaded = Bundle.load(good.root)
    assert loaded.evaluation is not None
    tasks = tuple(replace(task, source=min(1.0, task.source + 0.06)) for task in loaded.evaluation.tasks)
    replace(loaded, evaluation=replace(loaded.evaluation, tasks=tasks)).save()
    try:
        report = api.verify(good.root, runtime=["onnxruntime"])
    finally:
        loaded.save()
    red = [r.outcome.comparison for r in report.results.values() if isinstance(r.outcome, Mismatched)]
    assert [(c.code, c.problem) for c in red] == [
        ("task", "scores: accuracy 0.9, the source's is 0.96: a drop of 0.06, expected at most 0.05")
    ]
    assert report.exit_status == 1


def test_wrong_calibration_costs_accuracy(module: Path) -> None:
    metric = {"scores": "accuracy"}
    bundle = convert(module, "wrong", "tflite-int8", calibration="tiny_rows", metric=metric, max_drop=0.05)
    report = report_of(bundle)
    (score,) = measured(report).values()
    assert score.drop > 0.2
    assert report.exit_status == 1
    assert any(f"a drop of {score.drop:.4g}, expected at most 0.05" in p for p in report.problems)


def test_rows_may_be_left_out_and_are_no_calibration(module: Path) -> None:
    features = np.random.default_rng(5).normal(size=(256, 8)).astype(np.float32)  # those of `rows`
    pair = ({"features": features}, {"chance": np.arange(256) % 2})
    bundle = convert(module, "arrays", "tflite-int8", evaluation=pair, metric="mae", eval_rows=200)
    assert "evaluation: 200 of 256 rows were drawn, the others left out; --eval-rows N takes more" in bundle.notes
    assert any("calibration-is-evaluation: 200 of 256 calibration rows" in note for note in bundle.notes)
    (score,) = measured(report_of(bundle)).values()
    assert score.metric == "mae"
    assert score.max_drop is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"evaluation": "fails"}, "fails() raised ValueError: no such file"),
        ({"metric": {"scores": "top5"}}, "4 classes are all among the five best"),
    ],
)
def test_what_does_not_fit_is_told_before_writing(module: Path, options: dict[str, Any], words: str) -> None:
    if "evaluation" in options:
        options = {"evaluation": f"{module}:{options['evaluation']}"}
    with pytest.raises(ExporterError) as caught:
        convert(module, "bad", "tflite", **options)
    assert words in str(caught.value)
    assert not (module.parent / "bad").exists()


def test_a_reference_model_brings_its_own_rows(tmp_path: Path) -> None:
    options = ConvertOptions(metric="accuracy", max_drop=0.01)
    bundle = api.convert("digits-cnn", tmp_path / "d", to=["tflite-int8"], options=options, runtime=["litert"])
    report = report_of(bundle)
    assert report.exit_status == 0, report.problems
    (score,) = measured(report).values()
    assert score.source == pytest.approx(bundle.source["metrics"]["accuracy"], abs=1e-9)
    assert score.drop <= 0.01
