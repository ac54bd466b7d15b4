"""Convolutions that TF.js has in another form: causal, grouped, dilated, and along one dimension.

Where a kernel is filled up with zeros, its layer is frozen: training would fill them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exporter.formats._tfjs_parts import Part, Rewrite, Step, Unfit, reshape
from exporter.tensors import Array

_PLANES = {
    "SeparableConv1D": "SeparableConv2D",
    "DepthwiseConv1D": "DepthwiseConv2D",
    "Conv1DTranspose": "Conv2DTranspose",
}
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def _causal(part: Part) -> Sequence[Step] | None:
    if part.config["padding"] != "causal":
        return None
    front = _each(part.config["dilation_rate"])[0] * (_each(part.config["kernel_size"])[0] - 1)
    batch, length, channels = part.inputs[0]
    padded = (batch, None if length is None else length + front, channels)
    return [
        Step("ZeroPadding1D", {"padding": [front, 0]}, padded),
        Step(part.kind, {**part.config, "padding": "valid"}, part.output, part.variables),
    ]


def _grouped(part: Part) -> Sequence[Step] | None:
    """A kernel over all channels that is zero outside of its group: `groups` times the weights and the arithmetic."""
    groups = part.config["groups"]
    if groups == 1:
        return None
    kernel = part.variables["kernel"]
    ins, outs = kernel.shape[-2], kernel.shape[-1] // groups
    dense = np.zeros((*kernel.shape[:-2], ins * groups, outs * groups), kernel.dtype)
    for g in range(groups):
        columns = slice(g * outs, (g + 1) * outs)
        dense[..., g * ins : (g + 1) * ins, columns] = kernel[..., columns]
    config = {**part.config, "groups": 1, "trainable": False}
    return [Step(part.kind, config, part.output, {**part.variables, "kernel": dense})]


def _dilated(part: Part) -> Sequence[Step] | None:
    """The same kernel with zeros between its taps."""
    rates = _each(part.config["dilation_rate"])
    if all(r == 1 for r in rates):
        return None
    name = next(n for n in _KERNELS if n in part.variables)
    kernel = part.variables[name]
    rates = rates * (kernel.ndim - 2) if len(rates) == 1 else rates
    size = [(k - 1) * r + 1 for k, r in zip(kernel.shape[:-2], rates, strict=True)]
    wide = np.zeros((*size, *kernel.shape[-2:]), kernel.dtype)
    wide[tuple(slice(None, None, r) for r in rates)] = kernel
    config = {**part.config, "kernel_size": size, "dilation_rate": [1] * len(size), "trainable": False}
    return [Step(part.kind, config, part.output, {**part.variables, name: wide})]


def _extended(part: Part) -> Sequence[Step] | None:
    """More output behind a transposed convolution: the kernel gets taps of zero at its end."""
    extra = part.config.get("output_padding")
    if extra is None:
        return None
    kernel = part.variables["kernel"]
    extra = extra if isinstance(extra, list) else [extra] * (kernel.ndim - 2)
    strides = _each(part.config["strides"]) * (kernel.ndim - 2 if isinstance(part.config["strides"], int) else 1)
    size = [k + e for k, e in zip(kernel.shape[:-2], extra, strict=True)]
    if part.config["padding"] != "valid" or any(s < t for s, t in zip(size, strides, strict=True)):
        raise Unfit("TF.js ignores output_padding, and only a valid padding can do without")
    wide = np.pad(kernel, [*((0, e) for e in extra), (0, 0), (0, 0)])
    config = {**part.config, "kernel_size": size, "output_padding": None, "trainable": False}
    return [Step(part.kind, config, part.output, {**part.variables, "kernel": wide})]


def _as_a_plane(part: Part) -> Sequence[Step] | None:
    """(batch, length, channels) as an image one wide."""
    batch, length, channels = part.inputs[0]
    config: dict[str, Any] = dict(part.config)
    # a depthwise kernel has equal strides in TF.js; over a width of one it does not matter
    stride = _each(config["strides"])[0]
    config |= {
        "kernel_size": [_each(config["kernel_size"])[0], 1],
        "strides": [stride, 1 if part.kind == "Conv1DTranspose" else stride],
        "dilation_rate": [_each(config["dilation_rate"])[0], 1],
    }
    if config.get("output_padding") is not None:
        config["output_padding"] = [_each(config["output_padding"])[0], 0]
    variables = {k: _plane(v) if k in _KERNELS else v for k, v in part.variables.items()}
    plane = (*part.output[:2], 1, part.output[2])
    step = Step(_PLANES[part.kind], config, plane, variables)
    return [reshape((batch, length, 1, channels)), step, reshape(part.output)]


def _plane(kernel: Array) -> Array:
    return kernel[:, np.newaxis]


def _each(value: Any) -> list[int]:
    return list(value) if isinstance(value, list) else [value]


_DILATED = ("DepthwiseConv2D", "Conv2DTranspose", "Conv3DTranspose")
REWRITES = (
    Rewrite(("Conv1D", "SeparableConv1D"), _causal, "TF.js has no causal padding, so zeros go in front"),
    Rewrite(
        ("Conv1D", "Conv2D", "Conv3D"),
        _grouped,
        "TF.js has no groups, so its kernel spans all channels, with zeros between groups (frozen)",
    ),
    Rewrite(tuple(_PLANES), _as_a_plane, "TF.js has it for images only"),
    Rewrite(("Conv2DTranspose", "Conv3DTranspose"), _extended, "output_padding became zeros in its kernel (frozen)"),
    Rewrite(_DILATED, _dilated, "TF.js ignores its dilation, so its kernel has zeros between its taps (frozen)"),
)
