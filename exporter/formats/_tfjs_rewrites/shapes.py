"""Pooling, padding, cropping and repeating that TF.js has in two dimensions only, by way of Reshape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from exporter.formats._tfjs_parts import (
    INPUT,
    SECOND,
    Part,
    Rewrite,
    Shape,
    Step,
    elementwise,
    rescale,
    reshape,
    static,
)

_GLOBAL = tuple(f"Global{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3))
# class -> (class in two dimensions, the argument that has one entry per dimension, what leaves a dimension alone)
_FLAT = {
    "ZeroPadding1D": ("ZeroPadding2D", "padding", [0, 0]),
    "Cropping1D": ("Cropping2D", "cropping", [0, 0]),
    "UpSampling1D": ("UpSampling2D", "size", 1),
}
_SOLID = {
    "ZeroPadding3D": ("ZeroPadding2D", "padding", [0, 0]),
    "Cropping3D": ("Cropping2D", "cropping", [0, 0]),
    "UpSampling3D": ("UpSampling2D", "size", 1),
}


def _keep_dimensions(part: Part) -> Sequence[Step] | None:
    if not part.config.get("keepdims"):
        return None
    first = part.config.get("data_format") == "channels_first"
    pooled = (part.output[0], part.inputs[0][1 if first else -1])
    return [Step(part.kind, {**part.config, "keepdims": False}, pooled), reshape(part.output)]


def _flatten_volume(part: Part) -> Sequence[Step] | None:
    """Pooling over three dimensions is pooling over one that holds them all."""
    batch, *space, channels = part.inputs[0]
    length = None if None in space else math.prod(d or 1 for d in space)
    return [reshape((batch, length, channels)), Step(part.kind.replace("3D", "1D"), dict(part.config), part.output)]


def _as_a_plane(part: Part) -> Sequence[Step] | None:
    """(batch, length, channels) as an image one wide."""
    kind, argument, neutral = _FLAT[part.kind]
    value = part.config[argument]
    value = value[0] if isinstance(value, list) and kind == "UpSampling2D" else value
    batch, length, channels = part.inputs[0]
    plane = (part.output[0], part.output[1], 1, channels)
    config = {argument: [_pair(value) if neutral != 1 else value, neutral]}
    return [reshape((batch, length, 1, channels)), Step(kind, config, plane), reshape(part.output)]


def _pair(value: Any) -> list[int]:
    return list(value) if isinstance(value, list) else [value, value]


def _in_two_planes(part: Part) -> Sequence[Step] | None:
    """First depth and height with the rest as channels, then the width with all before it as height."""
    kind, argument, neutral = _SOLID[part.kind]
    why = "TF.js has it for two dimensions only, and this input has dynamic ones"
    value = part.config[argument]
    depth, height, width = value if isinstance(value, list) else [value] * 3
    batch = part.inputs[0][0]
    d, h, w, channels = static(part.inputs[0][1:], why)
    d_out, h_out, w_out, _ = static(part.output[1:], why)
    first: Shape = (batch, d_out, h_out, w * channels)
    second: Shape = (batch, d_out * h_out, w_out, channels)
    return [
        reshape((batch, d, h, first[3])),
        Step(kind, {argument: [depth, height]}, first),
        reshape((batch, second[1], w, channels)),
        Step(kind, {argument: [neutral, width]}, second),
        reshape(part.output),
    ]


def _flatten_flat(part: Part) -> Sequence[Step] | None:
    return [elementwise("Activation", activation="linear")] if part.rank == 2 else None


def _subtract(part: Part) -> Sequence[Step] | None:
    return [rescale(-1.0, 0.0, SECOND), Step("Add", {}, part.output, takes=(INPUT, 0))]


REWRITES = (
    Rewrite(_GLOBAL, _keep_dimensions, "the dimensions it keeps are put back by a Reshape"),
    Rewrite(("GlobalMaxPooling3D", "GlobalAveragePooling3D"), _flatten_volume, "TF.js pools one dimension at a time"),
    Rewrite(tuple(_FLAT), _as_a_plane, "TF.js has it for images only"),
    Rewrite(tuple(_SOLID), _in_two_planes, "TF.js has it for images only"),
    Rewrite(("Flatten",), _flatten_flat, "its input is flat already"),
    Rewrite(("Subtract",), _subtract, "the second input is negated and added"),
)
