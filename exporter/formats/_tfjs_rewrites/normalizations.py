"""Normalization with known statistics, and over groups of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from exporter.formats._tfjs_parts import Part, Rewrite, Shape, Step, Unfit, permute, rescale, reshape, static
from exporter.tensors import Array


def _normalization(part: Part) -> Sequence[Step] | None:
    """(x - mean) / max(sqrt(variance), epsilon), or back."""
    import keras

    mean = np.asarray(part.layer.mean, np.float64)
    deviation = np.maximum(np.sqrt(np.asarray(part.layer.variance, np.float64)), keras.config.epsilon())
    # a batch is always in front, and statistics differ along the batch in no model
    return _affine(part, mean, deviation, invert=part.config["invert"])


def _as_floats(part: Part) -> list[Step]:
    """TF.js' Rescaling is its only layer that takes integers and gives floats."""
    return [] if part.dtypes == ("float32",) else [rescale()]


def _affine(part: Part, mean: Array, deviation: Array, *, invert: bool) -> Sequence[Step]:
    if mean.size == 1:
        # in two steps, as Keras does: in one, a large mean would cancel
        m, d = mean.item(), deviation.item()
        return [rescale(d), rescale(1.0, m)] if invert else [rescale(1.0, -m), rescale(1 / d)]
    shape = part.inputs[0]
    if mean.shape[-1] == mean.size == shape[-1]:
        steps: list[Step] = []
        flat: Shape = shape
    else:
        rest = static(shape[1:], "its statistics differ along other axes than the last, and its input is dynamic")
        flat = (shape[0], math.prod(rest))
        mean, deviation = (np.broadcast_to(a, (1, *rest)) for a in (mean, deviation))
        steps = [reshape(flat)]
    m, d = mean.reshape(-1), deviation.reshape(-1)
    ones, zeros = np.ones_like(m), np.zeros_like(m)
    step = batch_normalization(zeros, ones, d, m) if invert else batch_normalization(m, d**2)
    behind = [reshape(shape)] if steps else []
    return [*_as_floats(part), *steps, step, *behind]


def batch_normalization(mean: Array, variance: Array, gamma: Array | None = None, beta: Array | None = None) -> Step:
    """BatchNormalization with these numbers, an epsilon of zero and nothing to train."""
    arrays = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    config = {"axis": -1, "epsilon": 0.0, "scale": gamma is not None, "center": beta is not None, "trainable": False}
    return Step(
        "BatchNormalization", config, variables={k: v.astype(np.float32) for k, v in arrays.items() if v is not None}
    )


def _group_normalization(part: Part) -> Sequence[Step] | None:
    """Each group of channels is brought to the end and normalized as a layer; scale and offset follow."""
    why = "TF.js has none, and building it needs static dimensions and the channels last"
    batch, (*rest, channels) = part.inputs[0][0], static(part.inputs[0][1:], why)
    if part.config["axis"] not in (-1, part.rank - 1):
        raise Unfit(why)
    groups = channels if part.config["groups"] == -1 else part.config["groups"]
    space = math.prod(rest)
    size = channels // groups
    split, together = (batch, space, groups, size), (batch, groups, space, size)
    normal = {"axis": -1, "epsilon": part.config["epsilon"], "scale": False, "center": False, "trainable": False}
    gamma, beta = part.variables.get("gamma"), part.variables.get("beta")
    steps = [
        reshape(split),
        permute(split, (2, 1, 3)),
        reshape((batch, groups, space * size)),
        Step("LayerNormalization", normal),
        reshape(together),
        permute(together, (2, 1, 3)),
        reshape(part.output),
    ]
    if gamma is None and beta is None:
        return steps
    return [*steps, batch_normalization(np.zeros(channels), np.ones(channels), gamma, beta)]


REWRITES = (
    Rewrite(("Normalization",), _normalization, "its statistics are constants (frozen)"),
    Rewrite(("GroupNormalization",), _group_normalization, "groups became an axis that a layer normalizes (frozen)"),
)
