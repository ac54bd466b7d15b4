"""Evaluation: what was asked to be measured on labelled rows, and the rows and labels for it.

The rows become one more case of the bundle, so that every recipe and runtime runs it as it runs the others; the labels
lie beside it. The metrics themselves are in `exporter.task`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.errors import InputsError, UsageError
from exporter.model import Signature, Task
from exporter.task import METRICS, MisfitError
from exporter.tensors import Array, Tensors, as_strings, dtype_name
from exporter.text import did_you_mean

CASE = "evaluation"  # name and origin of the case that the rows become
LABELS = "labels"  # name of labels where there is one output
ROWS = 1000  # rows that are used of those given
BATCH = 64  # rows that are run at once: a thousand images at once would not fit into memory
_KNOWN = ", ".join(METRICS)
_DROP_UNITS = "0.01 is one percentage point of accuracy, top5 and auc; for mae and rmse it is in the labels' unit"


@dataclass(frozen=True)
class Asked:
    """Metric and largest allowed drop, each by output name; "" stands for every output that has labels."""

    metrics: Mapping[str, str]
    max_drop: Mapping[str, float]

    def metric(self, output: str) -> str | None:
        return self.metrics.get(output, self.metrics.get(""))

    def limit(self, output: str) -> float | None:
        return self.max_drop.get(output, self.max_drop.get(""))


def asked_for(
    metric: str | Mapping[str, str] | None,
    max_drop: float | Mapping[str, float] | None,
    *,
    rows: int,
    data: bool,
    own_data: bool,
) -> Asked | None:
    """Check what was asked for, before any work. None: nothing was.

    Args:
        rows: how many rows may be used.
        data: whether labelled rows are given.
        own_data: whether the source brings some.

    Raises:
        UsageError: the parts do not make a request together.
    """
    metrics = {"": metric} if isinstance(metric, str) else dict(metric or {})
    limits = {"": max_drop} if isinstance(max_drop, int | float) else dict(max_drop or {})
    for name in metrics.values():
        if name not in METRICS:
            near = did_you_mean(name, METRICS)
            raise UsageError("unknown-metric", f"unknown metric {name!r}{near}", f"they are: {_KNOWN}")
    if rows < 1:
        raise UsageError("bad-eval-rows", f"--eval-rows {rows}: expected at least 1", "give the number of rows to use")
    for output, limit in limits.items():
        _check_limit(output, limit, metrics)
    if not metrics and data:
        raise UsageError("no-metric", "--eval is given without a metric", f"give --metric: {_KNOWN}")
    if metrics and not data and not own_data:
        raise UsageError(
            "no-evaluation-data",
            "--metric is given, and there are no labelled rows: only reference models bring their own",
            "give --eval FILE with the inputs by name, and the labels by output name or as `labels`",
        )
    return Asked(metrics, limits) if metrics else None


def _check_limit(output: str, limit: float, metrics: Mapping[str, str]) -> None:
    """Refuse a largest drop that is no number, concerns no metric, or that no artifact could exceed."""
    if not 0 <= limit < math.inf:
        raise UsageError("bad-max-drop", f"--max-drop {limit:g}: expected a finite number of at least 0", _DROP_UNITS)
    concerned = [m for name, m in metrics.items() if not output or name == output]
    if not concerned and "" in metrics:
        concerned = [metrics[""]]
    if not concerned:
        what = f" for the output {output!r}, which has no metric" if output else " without a metric"
        raise UsageError("no-metric", f"--max-drop is given{what}", f"give --metric: {_KNOWN}")
    for name in concerned:
        if limit >= 1 and not METRICS[name].smaller_is_better:
            raise UsageError("bad-max-drop", f"--max-drop {limit:g}: every {name} is within that", _DROP_UNITS)


def split_pair(given: Any, what: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """({input: rows}, {output: labels}) of a pair of mappings; labels may be one array for a model of one output.

    Raises:
        InputsError: it is something else.
    """
    if isinstance(given, Sequence) and len(given) == 2 and isinstance(given[0], Mapping):
        inputs, labels = given
        named = labels if isinstance(labels, Mapping) else {LABELS: labels}
        return tuple({str(k): np.asarray(v) for k, v in side.items()} for side in (inputs, named))  # type: ignore[return-value]
    raise InputsError(
        "bad-evaluation",
        f"{what} is an instance of {type(given).__name__}, expected a pair of dicts",
        "give ({input: rows}, {output: labels})",
    )


def label_names(signature: Signature) -> tuple[str, ...]:
    """What labels may be called beside the inputs of a signature."""
    names = [s.name for s in signature.outputs] + ([LABELS] if len(signature.outputs) == 1 else [])
    inputs = {s.name for s in signature.inputs}
    return tuple(n for n in dict.fromkeys(names) if n not in inputs)


def signature_for(inputs: Iterable[str], signatures: Sequence[Signature]) -> Signature:
    """The signature that takes inputs of these names; the only one, whatever the names.

    Raises:
        InputsError: several could be meant, or none, or it has no rows.
    """
    given = set(inputs)
    fitting = list(signatures)
    if len(fitting) > 1:
        fitting = [s for s in signatures if {i.name for i in s.inputs} == given]
    if len(fitting) != 1:
        raise InputsError(
            "which-signature",
            f"the evaluation's inputs ({', '.join(sorted(given))}) fit {len(fitting)} of the signatures "
            f"{', '.join(s.name for s in signatures)}",
            "choose one with --signature",
        )
    (signature,) = fitting
    if not signature.batched:
        raise InputsError(
            "evaluation-rows",
            f"signature {signature.name!r} has inputs or outputs without a batch dimension, so it has no rows",
            "give a model whose first dimension is dynamic",
        )
    return signature


def labels_for(signature: Signature, labels: Tensors, asked: Asked, rows: int) -> Tensors:
    """Output name -> its labels, for the outputs that are asked for.

    Raises:
        InputsError: labels or metrics name what does not exist, or their number is not that of the rows.
    """
    outputs = [s.name for s in signature.outputs]
    named = dict(labels)
    if LABELS in named and LABELS not in outputs and len(outputs) == 1:
        named[outputs[0]] = named.pop(LABELS)
    for name in (*named, *filter(None, (*asked.metrics, *asked.max_drop))):
        if name not in outputs:
            raise InputsError(
                "unknown-output",
                f"the evaluation names the output {name!r}{did_you_mean(name, outputs)}",
                f"the outputs of {signature.name!r}: {', '.join(outputs)}",
            )
    if not named:
        raise InputsError(
            "no-labels",
            "the evaluation has rows and no labels",
            f"give labels by output name ({', '.join(outputs)}), or as `labels` for a single output; see --eval",
        )
    unlabelled = [name for name in asked.metrics if name and name not in named]
    if unlabelled:
        raise InputsError(
            "no-labels",
            f"--metric names the output {unlabelled[0]!r}, which has no labels",
            f"there are labels of: {', '.join(named)}",
        )
    for name, array in named.items():
        count = len(array) if array.ndim else 0
        if count != rows:
            raise InputsError(
                "evaluation-rows",
                f"the evaluation has {rows} rows of inputs and {count} labels of {name!r}",
                "give one label (or row of labels) for each row",
            )
    return {name: named[name] for name in outputs if name in named and asked.metric(name) is not None}


def drawn(count: int, most: int, seed: int) -> Array:
    """Numbers of the rows that are used: all, or `most` of them at random, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def taken(rows: Tensors, numbers: Array) -> Tensors:
    """Rows by number; strings stay strings."""
    return {n: (as_strings(a) if dtype_name(a) == "string" else a)[numbers] for n, a in rows.items()}


def tasks_for(outputs: Tensors, labels: Tensors, asked: Asked, numbers: Array) -> tuple[tuple[Task, ...], Tensors]:
    """The metrics of the source's own outputs, and the labels in the form that the metrics take.

    Args:
        numbers: what the rows are called in messages.

    Raises:
        InputsError: labels, outputs and metric do not fit each other.
    """
    tasks, fitting = [], {}
    for name, given in labels.items():
        metric = asked.metric(name) or ""
        fitting[name] = _fitted(metric, name, outputs[name], given, numbers)
        value = METRICS[metric].value(outputs[name], fitting[name])
        if not math.isfinite(value):
            raise InputsError(
                "source-metric",
                f"the source's own {metric} of output {name!r} is {value}",
                "leave the rows out for which the source gives NaN or infinity",
            )
        tasks.append(Task(name, metric, value, asked.limit(name)))
    return tuple(tasks), fitting


def _fitted(metric: str, output: str, outputs: Array, labels: Array, numbers: Array) -> Array:
    if outputs.dtype.kind == "c" or dtype_name(outputs) == "string":
        raise InputsError(
            "metric-output",
            f"the output {output!r} is {dtype_name(outputs)}, and {metric} is made of real numbers",
            "name another output: --metric OUTPUT:NAME",
        )
    try:
        return METRICS[metric].fit(outputs, labels)
    except MisfitError as misfit:
        where = f" (row {int(numbers[misfit.index[0]])})" if misfit.index else ""
        raise InputsError(
            "metric-labels",
            f"{metric} does not fit output {output!r} and its labels: {misfit}{where}",
            f"{misfit.hint}; --metric OUTPUT:NAME chooses per output",
        ) from None
