"""Layers along another axis, or with the channels first: a Permute in front, and one behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exporter.formats._tfjs_parts import Part, Rewrite, Shape, Step, permute

_SPATIAL = tuple(f"{kind}{n}D" for kind in ("Conv", "MaxPooling", "AveragePooling") for n in (1, 2, 3))
_SPATIAL += ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D", "SeparableConv2D")
_SPATIAL += ("DepthwiseConv1D", "DepthwiseConv2D", "Cropping2D", "Cropping3D", "ZeroPadding2D", "ZeroPadding3D")
_SPATIAL += ("ZeroPadding1D", "UpSampling2D", "UpSampling3D", "Resizing", "CenterCrop")
_GLOBAL = tuple(f"Global{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3))


def _last(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1])


def _channels_last(part: Part) -> Sequence[Step] | None:
    if part.config.get("data_format") != "channels_first":
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


REWRITES = (
    Rewrite((*_SPATIAL, *_GLOBAL, "Flatten"), _channels_last, "the channels are moved to the end"),
    Rewrite(("BatchNormalization", "Softmax"), _along_the_last, "its axis is moved to the end"),
)
