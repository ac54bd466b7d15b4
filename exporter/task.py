"""Task metrics: how good an artifact is at what the model is for, beside the source itself, on labelled rows.

Numbers that differ by the noise of a quantization say little to someone who ships a classifier: what counts is
whether it still tells the classes apart. Outputs and labels are compared in float64; the metrics are pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exporter.model import Evaluation, Task
from exporter.outcome import Comparison, OutputComparison, Score
from exporter.tensors import Array, Tensors, dtype_name

_TOP = 5
_ROUNDING = 1e-12  # of the source's value: 0.97 - 0.96 is more than 0.01 in floating point


# -- metrics


def accuracy(outputs: Array, labels: Array) -> float:
    """Share of labels that are hit: mean of (predicted class == label), from 0 to 1.

    Args:
        outputs: scores (…, C), whose largest is the predicted class, the first of equal ones; or probabilities of
            class 1, which is predicted above 0.5; or, if integers, the predicted classes themselves.
        labels: class indices (…) for scores, else of the outputs' shape.
    """
    if outputs.ndim > labels.ndim:
        predicted = _comparable(outputs).argmax(axis=-1)
    else:
        predicted = outputs if outputs.dtype.kind in "iub" else outputs.astype(np.float64) > 0.5
    return float(np.mean(predicted == labels))


def top5(outputs: Array, labels: Array) -> float:
    """Share of labels whose class is among the five largest scores, from 0 to 1; of equal scores the first count.

    Args:
        outputs: scores (…, C), C > 5.
        labels: class indices (…).
    """
    best = np.argsort(-_comparable(outputs), axis=-1, kind="stable")[..., :_TOP]
    return float(np.mean((best == labels[..., np.newaxis]).any(axis=-1)))


def auc(outputs: Array, labels: Array) -> float:
    """Area under the ROC curve: the chance that a row of class 1 has a higher score than one of class 0, ties half.

    Mann and Whitney's statistic: with R the sum of the ranks (from 1, ties averaged) of the n1 rows of class 1 and n0
    other rows, (R - n1 (n1 + 1) / 2) / (n1 n0).

    Args:
        outputs: scores of class 1, (N) or (N, 1); of (N, 2) the second column.
        labels: 0 or 1, (N), both present.
    """
    scores = _comparable(outputs).reshape(len(outputs), -1)[:, -1]
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places.reshape(-1)]
    positive = labels == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def mae(outputs: Array, labels: Array) -> float:
    """Mean of |output - label| over all elements, in the labels' unit; both of one shape."""
    return float(np.mean(np.abs(outputs.astype(np.float64) - labels)))


def rmse(outputs: Array, labels: Array) -> float:
    """Root of the mean of (output - label)^2 over all elements, in the labels' unit; both of one shape."""
    return float(np.sqrt(np.mean((outputs.astype(np.float64) - labels) ** 2)))


def _comparable(scores: Array) -> Array:
    """Scores in float64, NaN below everything: a NaN wins no comparison."""
    wide = scores.astype(np.float64)
    return np.where(np.isnan(wide), -np.inf, wide)


# -- labels in the form that a metric takes


class MisfitError(ValueError):
    """Why labels or outputs do not fit a metric; `index` is the label that shows it."""

    def __init__(self, message: str, hint: str, index: Sequence[int] | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.index = index


def _first(wrong: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _numbers(labels: Array) -> Array:
    """Finite labels in float64."""
    if labels.dtype.kind not in "iuf" and dtype_name(labels) not in ("bool", "bfloat16"):
        raise MisfitError(f"they are of dtype {dtype_name(labels)}, expected numbers", "give numbers")
    wide = labels.astype(np.float64)
    if not np.isfinite(wide).all():
        index = _first(~np.isfinite(wide))
        raise MisfitError(f"one is {wide[index]}, expected finite numbers", "leave such rows out", index)
    return wide


def _shaped(labels: Array, outputs: Array, *shapes: tuple[int, ...]) -> Array:
    """Labels in the first of `shapes`; a last dimension of 1 more or less is the same."""
    wanted = shapes[0]
    if labels.shape in (wanted, (*wanted, 1)) or (*labels.shape, 1) == wanted:
        return labels.reshape(wanted)
    expected = " or ".join(str(list(shape)) for shape in shapes)
    raise MisfitError(
        f"they have the shape {list(labels.shape)}, expected {expected} for outputs of {list(outputs.shape)}",
        "reshape the labels, or choose another metric",
    )


def _indices(labels: Array, classes: int) -> Array:
    """Class indices in int64, each in [0, classes)."""
    wrong = labels != np.round(labels)
    if wrong.any():
        index = _first(wrong)
        raise MisfitError(f"one is {labels[index]:g}, expected whole class indices", "give class indices", index)
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        index = _first(wrong)
        raise MisfitError(
            f"one is {labels[index]:g}, expected class indices from 0 to {classes - 1}", "count classes from 0", index
        )
    return labels.astype(np.int64)


def _of_one_hot(labels: Array) -> Array:
    wrong = ~(((labels == 0) | (labels == 1)).all(axis=-1) & (labels.sum(axis=-1) == 1))
    if wrong.any():
        raise MisfitError(
            "one row is not one-hot",
            "give class indices, or rows of zeros and a one",
            _first(wrong),
        )
    indices: Array = labels.argmax(axis=-1)
    return indices


def _fit_scores(outputs: Array, labels: Array) -> Array:
    values = _numbers(labels)
    if outputs.ndim < 2 or outputs.shape[-1] < 2:
        raise MisfitError(
            f"outputs of {list(outputs.shape)} are not scores of several classes", "choose another metric"
        )
    if values.shape == outputs.shape:
        return _of_one_hot(values)
    return _indices(_shaped(values, outputs, outputs.shape[:-1], outputs.shape), outputs.shape[-1])


def _fit_classes(outputs: Array, labels: Array) -> Array:
    values = _numbers(labels)
    if (
        outputs.ndim > 1
        and outputs.shape[-1] > 1
        and not (outputs.dtype.kind in "iub" and values.shape == outputs.shape)
    ):
        return _fit_scores(outputs, values)
    values = _shaped(values, outputs, outputs.shape)
    if outputs.dtype.kind in "iub":
        return _indices(values, 2**53)
    low, high = float(np.nanmin(outputs)), float(np.nanmax(outputs))
    if not (low >= 0 and high <= 1):
        raise MisfitError(
            f"outputs of {list(outputs.shape)} from {low:.4g} to {high:.4g} are not probabilities",
            "end the model in a sigmoid, or choose auc, which takes any scores",
        )
    return _indices(values, 2)


def _fit_top5(outputs: Array, labels: Array) -> Array:
    fitting = _fit_scores(outputs, labels)
    if outputs.shape[-1] <= _TOP:
        raise MisfitError(f"{outputs.shape[-1]} classes are all among the five best", "choose accuracy")
    return fitting


def _fit_binary(outputs: Array, labels: Array) -> Array:
    values = _numbers(labels)
    if outputs.ndim > 2 or (outputs.ndim == 2 and outputs.shape[1] > 2):
        raise MisfitError(f"outputs of {list(outputs.shape)} are not scores of two classes", "choose accuracy")
    if values.shape == outputs.shape and values.ndim == 2 and values.shape[1] == 2:
        values = _of_one_hot(values).astype(np.float64)
    fitting = _indices(_shaped(values, outputs, outputs.shape[:1]), 2)
    if len(np.unique(fitting)) < 2:
        raise MisfitError(f"all of them are {fitting[0]}, expected 0 and 1", "give rows of both classes")
    return fitting


def _fit_targets(outputs: Array, labels: Array) -> Array:
    return _shaped(_numbers(labels), outputs, outputs.shape)


@dataclass(frozen=True)
class Metric:
    """`value(outputs, labels)` takes labels as `fit(outputs, labels)` returns them."""

    value: Callable[[Array, Array], float]
    fit: Callable[[Array, Array], Array]
    smaller_is_better: bool = False

    def drop(self, value: float, source: float) -> float:
        """By how much `value` is worse than `source`; negative where it is better."""
        return value - source if self.smaller_is_better else source - value


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(accuracy, _fit_classes),
    "top5": Metric(top5, _fit_top5),
    "mae": Metric(mae, _fit_targets, smaller_is_better=True),
    "rmse": Metric(rmse, _fit_targets, smaller_is_better=True),
    "auc": Metric(auc, _fit_binary),
}


# -- judging


def score(compared: Comparison, got: Tensors, labels: Tensors, evaluation: Evaluation) -> Comparison:
    """`compared` with the score of each output that has labels, and a problem where one dropped too far.

    Outputs whose names, dtypes or shapes are wrong have no score; that they are wrong is the problem then.
    """
    tasks = {task.output: task for task in evaluation.tasks}
    outputs = tuple(
        replace(o, task=_score(tasks[o.name], got[o.name], labels[o.name])) if o.name in tasks else o
        for o in compared.outputs
    )
    sentences = [s for o in outputs if (s := too_far(o))]
    if not sentences:
        return replace(compared, outputs=outputs)
    problem = "; ".join(filter(None, [compared.problem, *sentences]))
    return Comparison(outputs, problem, compared.code or "task")


def _score(task: Task, got: Array, labels: Array) -> Score:
    metric = METRICS[task.metric]
    value = metric.value(got, labels)
    return Score(task.metric, value, task.source, metric.drop(value, task.source), task.max_drop)


def too_far(output: OutputComparison) -> str:
    """One sentence about a metric that is worse than allowed; empty if it is not."""
    found = output.task
    if found is None or found.max_drop is None:
        return ""
    if found.drop <= found.max_drop + _ROUNDING * abs(found.source):
        return ""
    return (
        f"{output.name}: {found.metric} {found.value:.4g}, the source's is {found.source:.4g}: a drop of "
        f"{found.drop:.4g}, expected at most {found.max_drop:g}"
    )
