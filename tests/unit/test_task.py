"""Task metrics against scikit-learn, the labels that they take, and when a drop is too much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from exporter.model import Evaluation, Task
from exporter.outcome import Comparison, OutputComparison
from exporter.task import METRICS, MisfitError, accuracy, auc, mae, rmse, score, too_far, top5


def scores(rows: int, classes: int, seed: int = 0) -> np.ndarray:
    """Few different values, so that there are many ties."""
    return np.random.default_rng(seed).integers(0, 12, (rows, classes)).astype(np.float32) / 12


def labels(rows: int, classes: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, rows)


def measured(metric: str, outputs: Any, given: Any) -> float:
    outputs, given = np.asarray(outputs), np.asarray(given)
    return METRICS[metric].value(outputs, METRICS[metric].fit(outputs, given))


# -- values


def test_accuracy_of_classes() -> None:
    outputs, truth = scores(500, 10), labels(500, 10)
    assert accuracy(outputs, truth) == pytest.approx(metrics.accuracy_score(truth, outputs.argmax(axis=1)), abs=1e-15)


def test_accuracy_of_probabilities_is_above_one_half() -> None:
    outputs, truth = scores(500, 1), labels(500, 2)
    expected = metrics.accuracy_score(truth, outputs[:, 0] > 0.5)
    assert measured("accuracy", outputs, truth) == expected
    assert measured("accuracy", outputs[:, 0], truth[:, np.newaxis]) == expected


def test_accuracy_of_predicted_classes() -> None:
    assert measured("accuracy", np.array([3, 1, 2]), [3, 1, 1]) == pytest.approx(2 / 3)
    assert measured("accuracy", np.array([[3, 1], [2, 2]]), [[3, 1], [2, 0]]) == 0.75


def test_accuracy_of_every_step_of_a_sequence() -> None:
    outputs = np.random.default_rng(0).normal(size=(7, 5, 4))
    truth = np.random.default_rng(1).integers(0, 4, (7, 5))
    assert measured("accuracy", outputs, truth) == np.mean(outputs.argmax(axis=2) == truth)


def test_top5() -> None:
    outputs = np.random.default_rng(0).normal(size=(400, 12))  # scikit-learn orders equal scores the other way round
    truth = labels(400, 12)
    assert top5(outputs, truth) == pytest.approx(metrics.top_k_accuracy_score(truth, outputs, k=5), abs=1e-15)


def test_top5_of_equal_scores_takes_the_first_as_accuracy_does() -> None:
    assert top5(np.zeros((8, 8)), np.arange(8)) == 5 / 8
    assert accuracy(np.zeros((8, 8)), np.arange(8)) == 1 / 8


@pytest.mark.parametrize("shape", [(500,), (500, 1), (500, 2)])
def test_auc_with_ties(shape: tuple[int, ...]) -> None:
    outputs, truth = scores(500, shape[1] if len(shape) > 1 else 1).reshape(shape), labels(500, 2)
    expected = metrics.roc_auc_score(truth, outputs.reshape(500, -1)[:, -1])
    assert measured("auc", outputs, truth) == pytest.approx(expected, abs=1e-12)


def test_auc_at_its_ends() -> None:
    assert auc(np.array([0.1, 0.2, 0.9]), np.array([0, 0, 1])) == 1
    assert auc(np.array([0.9, 0.8, 0.1]), np.array([0, 0, 1])) == 0
    assert auc(np.zeros(3), np.array([0, 0, 1])) == 0.5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_errors_of_targets(dtype: Any) -> None:
    outputs = (np.random.default_rng(0).normal(size=(50, 3)) * 20).astype(dtype)
    targets = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    # scikit-learn takes the root per column, and computes in the dtype that it is given
    flat = [values.astype(np.float64).reshape(-1) for values in (targets, outputs)]
    assert mae(outputs, targets) == pytest.approx(metrics.mean_absolute_error(*flat), rel=1e-12)
    assert rmse(outputs, targets) == pytest.approx(metrics.root_mean_squared_error(*flat), rel=1e-12)


def test_a_column_is_not_broadcast() -> None:
    outputs = np.arange(4.0)[:, np.newaxis]
    assert measured("mae", outputs, np.arange(4)) == 0
    assert measured("mae", outputs[:, 0], np.arange(4)[:, np.newaxis]) == 0


def test_a_nan_wins_nothing() -> None:
    outputs = np.array([[0.5, np.nan], [np.nan, 0.5], [0.4, 0.6]])
    assert accuracy(outputs, np.array([1, 0, 1])) == pytest.approx(1 / 3)
    assert math.isnan(mae(outputs, np.zeros((3, 2))))


# -- labels


def test_one_hot_rows_are_class_indices() -> None:
    outputs, truth = scores(50, 10), labels(50, 10)
    for metric in ("accuracy", "top5"):
        given = METRICS[metric].fit(outputs, np.eye(10)[truth])
        assert given.dtype == np.int64
        assert given.tolist() == truth.tolist() == METRICS[metric].fit(outputs, truth[:, np.newaxis] * 1.0).tolist()
    assert METRICS["auc"].fit(outputs[:, :2], np.eye(2)[truth % 2]).tolist() == (truth % 2).tolist()


TEN = scores(4, 10)
ONE = np.array([[0.1], [0.9], [0.4], [0.6]])
MISFITS: dict[str, tuple[str, Any, Any, str, tuple[int, ...] | None]] = {
    "range": ("accuracy", TEN, [0, 10, 3, 4], "one is 10, expected class indices from 0 to 9", (1,)),
    "negative": ("top5", TEN, [0, 1, -1, 4], "one is -1, expected class indices from 0 to 9", (2,)),
    "fraction": ("accuracy", TEN, [0, 1, 2, 0.5], "one is 0.5, expected whole class indices", (3,)),
    "nan": ("accuracy", TEN, [0, math.nan, 2, 3], "one is nan, expected finite numbers", (1,)),
    "infinite-target": ("mae", TEN, np.full((4, 10), np.inf), "one is inf, expected finite numbers", (0, 0)),
    "words": ("accuracy", TEN, ["a", "b", "c", "d"], "they are of dtype string, expected numbers", None),
    "soft": ("accuracy", TEN, np.full((4, 10), 0.1), "one row is not one-hot", (0,)),
    "shape": (
        "accuracy",
        TEN,
        np.zeros((4, 3)),
        "they have the shape [4, 3], expected [4] or [4, 10]",
        None,
    ),
    "targets": ("mae", TEN, np.zeros(4), "they have the shape [4], expected [4, 10] for outputs of [4, 10]", None),
    "two-classes": ("accuracy", ONE, [0, 1, 2, 1], "one is 2, expected class indices from 0 to 1", (2, 0)),
    "logits": ("accuracy", ONE * 5 - 1, [0, 1, 0, 1], "from -0.5 to 3.5 are not probabilities", None),
    "one-column": ("top5", ONE, [0, 1, 0, 1], "outputs of [4, 1] are not scores of several classes", None),
    "five": ("top5", TEN[:, :5], [0, 1, 0, 1], "5 classes are all among the five best", None),
    "many": ("auc", TEN, [0, 1, 0, 1], "outputs of [4, 10] are not scores of two classes", None),
    "single": ("auc", ONE, [1, 1, 1, 1], "all of them are 1, expected 0 and 1", None),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_told(name: str) -> None:
    metric, outputs, given, words, index = MISFITS[name]
    with pytest.raises(MisfitError) as caught:
        METRICS[metric].fit(outputs, np.asarray(given))
    assert words in str(caught.value)
    assert caught.value.index == index
    assert caught.value.hint


# -- judging


def compared(*names: str, problem: str = "", code: str = "") -> Comparison:
    figures = (0.1, 0.01, 40.0, 1.0, None, 0, "bit-exact", 0.5, (0,), 1.0, 1.1, 2, (1, 1))
    return Comparison(tuple(OutputComparison(name, *figures) for name in names), problem, code)


def evaluation(metric: str, source: float, max_drop: float | None) -> Evaluation:
    return Evaluation("serve", "evaluation", "labels", "arrays", 4, 4, (Task("y", metric, source, max_drop),))


def judged(metric: str, got: Any, truth: Any, source: float, max_drop: float | None, **known: str) -> Comparison:
    tensors = {"y": np.asarray(got), "other": np.zeros(4)}
    return score(
        compared("y", "other", **known), tensors, {"y": np.asarray(truth)}, evaluation(metric, source, max_drop)
    )


ROWS = np.arange(100) % 2
WRONG_3 = np.where(np.arange(100) < 3, 1 - ROWS, ROWS)


@pytest.mark.parametrize(("max_drop", "code"), [(None, ""), (0.05, ""), (0.03, ""), (0.029, "task"), (0.0, "task")])
def test_a_drop_is_judged(max_drop: float | None, code: str) -> None:
    found = judged("accuracy", WRONG_3, ROWS, 1.0, max_drop)
    assert found.code == code
    assert found.outputs[1].task is None
    task = found.outputs[0].task
    assert task is not None
    assert (task.value, task.drop) == (0.97, pytest.approx(0.03))
    if code:
        assert found.problem == (f"y: accuracy 0.97, the source's is 1: a drop of 0.03, expected at most {max_drop:g}")


def test_a_smaller_error_is_better() -> None:
    assert judged("mae", np.full(4, 1.5), np.ones(4), 0.6, 0.0).code == ""
    worse = judged("mae", np.full(4, 1.5), np.ones(4), 0.4, 0.05)
    assert worse.code == "task"
    assert "mae 0.5, the source's is 0.4: a drop of 0.1, expected at most 0.05" in worse.problem


def test_another_problem_comes_first() -> None:
    found = judged("accuracy", WRONG_3, ROWS, 1.0, 0.0, problem="y[0] is wrong", code="values")
    assert found.code == "values"
    assert found.problem.startswith("y[0] is wrong; y: accuracy 0.97")


def test_outputs_that_could_not_be_compared_have_no_score() -> None:
    found = score(Comparison((), "y: shape", "shape"), {}, {}, evaluation("mae", 0.0, 0.0))
    assert (found.outputs, found.code) == ((), "shape")


def test_a_nan_is_too_far() -> None:
    found = judged("mae", [np.nan, 1, 1, 1], np.ones(4), 0.4, 10.0)
    assert "mae nan" in too_far(found.outputs[0])
