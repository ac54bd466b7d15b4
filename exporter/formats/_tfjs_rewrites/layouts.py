"""Layers along another axis, or with the channels first: a Permute in front, and one behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from exporter.formats._tfjs_parts import Part, Rewrite, Shape, Step, permute, reshape, static

# TF.js is right with the channels first in most others. Conv1D, Conv2D and SeparableConv stay refused: with the
# channels first and a bias, Keras 3.15 itself computes something else eagerly than traced, on the CPU.
_LAST_ONLY = (
    *("DepthwiseConv1D", "Conv1DTranspose"),
    *("MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D"),
    *("GlobalMaxPooling3D", "GlobalAveragePooling3D", "ZeroPadding1D", "ZeroPadding3D", "Cropping3D", "UpSampling3D"),
    *("Resizing", "CenterCrop"),
)


def _last(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1])


def _channels_last(part: Part) -> Sequence[Step] | None:
    interpolated = part.config.get("interpolation", "nearest") != "nearest"
    if part.config.get("data_format") != "channels_first" or (part.kind == "UpSampling2D" and not interpolated):
        return None
    rank = part.rank
    forth, back = [*range(2, rank), 1], [rank - 1, *range(1, rank - 1)]
    config = {**part.config, "data_format": "channels_last"}
    front = permute(part.inputs[0], forth)
    flat = len(part.output) == 2
    output = part.output if flat else _last(part.output)
    steps = [front, Step(part.kind, config, output, part.variables)]
    return steps if flat else [*steps, permute(output, back)]


def _along_the_last(part: Part) -> Sequence[Step] | None:
    """BatchNormalization and Softmax along one axis other than the last."""
    axes = part.config["axis"] if isinstance(part.config["axis"], list) else [part.config["axis"]]
    axis = axes[0] % part.rank
    if len(axes) != 1 or axis in (0, part.rank - 1):
        return None
    dims = [*(i for i in range(1, part.rank) if i != axis), axis]
    back = [dims.index(i) + 1 for i in range(1, part.rank)]
    front = permute(part.inputs[0], dims)
    inner = Step(part.kind, {**part.config, "axis": -1}, variables=part.variables)
    assert front.output is not None
    return [front, inner, replace(permute(front.output, back), output=part.output)]


def _flat_volume(part: Part) -> Sequence[Step] | None:
    """BatchNormalization of volumes along the last axis, which TF.js implements up to rank 4."""
    axes = part.config["axis"] if isinstance(part.config["axis"], list) else [part.config["axis"]]
    if part.rank <= 4 or [axis % part.rank for axis in axes] != [part.rank - 1]:
        return None
    shape = part.inputs[0]
    front = static(shape[1:-1], "TF.js normalizes up to rank 4, and its input is dynamic")
    inner = Step(part.kind, {**part.config, "axis": -1}, variables=part.variables)
    return [reshape((shape[0], math.prod(front), shape[-1])), inner, reshape(part.output)]


def _axes_from_the_front(part: Part) -> Sequence[Step] | None:
    axes = part.config["axes"]
    if not isinstance(axes, list) or min(axes) >= 0:
        return None
    counted = [axis % len(shape) for axis, shape in zip(axes, part.inputs, strict=True)]
    return [Step("Dot", {**part.config, "axes": counted}, part.output)]


REWRITES = (
    Rewrite((*_LAST_ONLY, "UpSampling2D"), _channels_last, "the channels are moved to the end"),
    Rewrite(("BatchNormalization", "Softmax"), _along_the_last, "its axis is moved to the end"),
    Rewrite(("BatchNormalization",), _flat_volume, "TF.js normalizes up to rank 4, so its input is flattened"),
    Rewrite(("Dot",), _axes_from_the_front, "its axes are counted from the front, as TF.js checks them"),
)
