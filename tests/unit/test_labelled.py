"""Labelled rows: what may be asked, and a sentence for everything that does not fit together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from exporter.errors import InputsError, UsageError
from exporter.labelled import (
    Asked,
    asked_for,
    drawn,
    label_names,
    labels_for,
    signature_for,
    split_pair,
    taken,
    tasks_for,
)
from exporter.model import Signature, TensorSpec

X = TensorSpec("x", "float32", (None, 3))
SCORES, VALUE = TensorSpec("scores", "float32", (None, 4)), TensorSpec("value", "float32", (None, 1))
ONE = Signature("serve", (X,), (SCORES,))
TWO = Signature("two", (X, TensorSpec("y", "float32", (None,))), (SCORES, VALUE))
FIXED = Signature("fixed", (TensorSpec("x", "float32", (1, 3)),), (SCORES,))
ALL = Asked({"": "accuracy"}, {})


def ask(metric: Any = None, max_drop: Any = None, *, rows: int = 10, data: bool = True, own_data: bool = False) -> Any:
    return asked_for(metric, max_drop, rows=rows, data=data, own_data=own_data)


def test_what_is_asked() -> None:
    assert ask(data=False) is None
    assert ask(data=False, own_data=True) is None
    assert ask("auc", 0.1, data=False, own_data=True) == Asked({"": "auc"}, {"": 0.1})
    found = ask({"": "mae", "scores": "accuracy"}, {"scores": 0.01, "value": 5})
    assert [found.metric(n) for n in ("scores", "value")] == ["accuracy", "mae"]
    assert [found.limit(n) for n in ("scores", "value", "more")] == [0.01, 5, None]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "metric": ({"metric": "acuracy"}, "unknown metric 'acuracy', did you mean 'accuracy'?"),
    "eval": ({}, "--eval is given without a metric"),
    "drop": ({"max_drop": 0.1, "data": False}, "--max-drop is given without a metric"),
    "drop-of": (
        {"metric": {"a": "mae"}, "max_drop": {"b": 0.1}},
        "--max-drop is given for the output 'b', which",
    ),
    "negative": ({"metric": "mae", "max_drop": -0.1}, "--max-drop -0.1: expected a finite number of at least 0"),
    "nan": ({"metric": "mae", "max_drop": {"y": math.nan}}, "--max-drop nan: expected a finite number"),
    "percent": ({"metric": "accuracy", "max_drop": 1}, "--max-drop 1: every accuracy is within that"),
    "rows": ({"metric": "mae", "rows": 0}, "--eval-rows 0: expected at least 1"),
    "no-data": ({"metric": "mae", "data": False}, "there are no labelled rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(name: str) -> None:
    given, words = WRONG[name]
    with pytest.raises(UsageError) as caught:
        ask(**given)
    assert words in caught.value.message
    assert caught.value.hint


def test_pairs() -> None:
    inputs, labels = split_pair(({"x": [[1, 2, 3]]}, [2]), "it")
    assert inputs["x"].shape == (1, 3)
    assert labels["labels"].tolist() == [2]
    for other in ({"x": 1}, ([1], [2]), ({"x": 1},), "no", None):
        with pytest.raises(InputsError, match="expected a pair"):
            split_pair(other, "it")


def test_names_of_labels() -> None:
    assert label_names(ONE) == ("scores", "labels")
    assert label_names(TWO) == ("scores", "value")
    assert label_names(Signature("same", (X,), (X,))) == ("labels",)


def test_the_signature_is_chosen_by_its_inputs() -> None:
    assert signature_for(["typo"], [ONE]) is ONE
    assert signature_for(["y", "x"], [ONE, TWO]) is TWO
    with pytest.raises(InputsError, match=r"inputs \(z\) fit 0 of the signatures serve, two"):
        signature_for(["z"], [ONE, TWO])
    with pytest.raises(InputsError, match="'fixed' has inputs or outputs without a batch dimension"):
        signature_for(["x"], [FIXED])


def test_labels_by_name() -> None:
    four = np.zeros(4)
    assert list(labels_for(ONE, {"labels": four}, ALL, 4)) == ["scores"]
    assert list(labels_for(TWO, {"scores": four, "value": four}, Asked({"value": "mae"}, {}), 4)) == ["value"]


@pytest.mark.parametrize(
    ("labels", "asked", "words"),
    [
        ({"score": np.zeros(4)}, ALL, "the evaluation names the output 'score', did you mean 'scores'?"),
        ({"labels": np.zeros(4)}, ALL, "the evaluation names the output 'labels'"),
        ({"scores": np.zeros(4)}, Asked({"valu": "mae"}, {}), "names the output 'valu', did you mean 'value'?"),
        ({"scores": np.zeros(4)}, Asked({"": "mae"}, {"valu": 0.1}), "names the output 'valu'"),
        (
            {"scores": np.zeros(4)},
            Asked({"value": "mae"}, {}),
            "names the output 'value', which has no labels",
        ),
        ({}, ALL, "has rows and no labels"),
        ({"scores": np.zeros(3)}, ALL, "4 rows of inputs and 3 labels of 'scores'"),
        ({"scores": np.array(1.0)}, ALL, "4 rows of inputs and 0 labels of 'scores'"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, asked: Asked, words: str) -> None:
    with pytest.raises(InputsError) as caught:
        labels_for(TWO, labels, asked, 4)
    assert words in caught.value.message
    assert caught.value.hint


def test_rows_are_drawn_at_random_and_stay_in_order() -> None:
    assert drawn(5, 5, 7).tolist() == [0, 1, 2, 3, 4]
    found = drawn(1000, 10, 7)
    assert len(set(found.tolist())) == 10
    assert found.tolist() == sorted(found.tolist()) == drawn(1000, 10, 7).tolist()
    assert found[-1] > 500
    rows = taken({"n": np.arange(5), "s": np.array(list("abcde"))}, np.array([1, 3]))
    assert rows["n"].tolist() == [1, 3]
    assert rows["s"].tolist() == [b"b", b"d"]


def test_metrics_of_the_source() -> None:
    outputs = {"scores": np.eye(4, dtype=np.float32), "value": np.ones((4, 1))}
    labels = {"scores": np.array([0, 1, 2, 2]), "value": np.zeros(4)}
    asked = Asked({"scores": "accuracy", "value": "rmse"}, {"scores": 0.01})
    tasks, fitting = tasks_for(outputs, labels, asked, np.arange(4))
    assert [(t.output, t.metric, t.source, t.max_drop) for t in tasks] == [
        ("scores", "accuracy", 0.75, 0.01),
        ("value", "rmse", 1.0, None),
    ]
    assert fitting["value"].shape == (4, 1)


def test_the_row_that_does_not_fit_is_named_as_given() -> None:
    with pytest.raises(InputsError, match=r"output 'scores' and its labels: one is 9, .* \(row 71\)"):
        tasks_for({"scores": np.eye(4)}, {"scores": np.array([0, 9, 2, 3])}, ALL, np.array([3, 71, 80, 90]))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (np.array([b"a"], object), "the output 'scores' is string"),
        (np.ones(1, np.complex64), "the output 'scores' is complex64"),
        (np.full(1, np.nan), "the source's own mae of output 'scores' is nan"),
    ],
)
def test_outputs_without_a_metric(output: Any, words: str) -> None:
    with pytest.raises(InputsError, match=words):
        tasks_for({"scores": output}, {"scores": np.zeros(1)}, Asked({"": "mae"}, {}), np.arange(1))
