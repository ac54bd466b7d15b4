"""Activations that TF.js does not have, split off into layers that it has.

Each is the formula of keras.src.activations (Keras 3.15) in Rescaling, ReLU, LeakyReLU, ELU, ThresholdedReLU, Add and
Multiply. No formula cancels where Keras' own does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.formats._tfjs_arguments import KNOWN_ACTIVATIONS
from exporter.formats._tfjs_parts import INPUT, Part, Rewrite, Step, elementwise, rescale

_LAYERS = (
    *("Dense", "Activation", "EinsumDense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose"),
    *("Conv3DTranspose", "SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D"),
)


def _hard_sigmoid(of: int) -> list[Step]:
    """clip(x/6 + 1/2, 0, 1)"""
    return [rescale(1 / 6, 0.5, of), elementwise("ReLU", max_value=1.0)]


def _odd(of: int, **relu: Any) -> list[Step]:
    """f(x) - f(-x) for a ReLU-like f, which is exact where adding and subtracting a constant would not be."""
    return [
        Step(**relu, takes=(of,)),
        rescale(-1.0, 0.0, of),
        Step(**relu),
        rescale(-1.0),
        elementwise("Add", of + 1, of + 4),
    ]


def _soft_shrink(of: int) -> list[Step]:
    """relu(x - 1/2) - relu(-x - 1/2)"""
    relu = elementwise("ReLU")
    first = [rescale(1.0, -0.5, of), relu]
    second = [rescale(-1.0, -0.5, of), relu, rescale(-1.0)]
    return [*first, *second, elementwise("Add", of + 2, of + 5)]


def _minus(of: int, kind: str, **config: Any) -> list[Step]:
    """x - f(x)"""
    return [elementwise(kind, of, **config), rescale(-1.0), elementwise("Add", of, of + 2)]


# name -> the steps behind step number `of`; INPUT + 1 == 0, so they follow each other for the input itself as well
_STEPS: Mapping[str, Callable[[int], list[Step]]] = {
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda of: [*_hard_sigmoid(of), elementwise("Multiply", of, of + 2)],
    "hard_tanh": lambda of: _odd(of, kind="ReLU", config={"max_value": 1.0}),
    "hard_shrink": lambda of: _odd(of, kind="ThresholdedReLU", config={"theta": 0.5}),
    "soft_shrink": _soft_shrink,
    "tanh_shrink": lambda of: _minus(of, "Activation", activation="tanh"),
    "leaky_relu": lambda of: [elementwise("LeakyReLU", of, negative_slope=0.2)],
    "celu": lambda of: [elementwise("Activation", of, activation="elu")],
    "log_sigmoid": lambda of: [rescale(-1.0, 0.0, of), elementwise("Activation", activation="softplus"), rescale(-1.0)],
    "sparse_sigmoid": lambda of: [rescale(0.5, 0.5, of), elementwise("ReLU", max_value=1.0)],
}
_STEPS = {**_STEPS, "hard_swish": _STEPS["hard_silu"]}


def _split(part: Part) -> Sequence[Step] | None:
    activation = part.config.get("activation")
    name = activation if isinstance(activation, str) else None
    if name in KNOWN_ACTIVATIONS or activation is None:
        return None
    behind = _STEPS.get(name) if name else _layer(activation)
    if behind is None:
        return None
    if part.kind == "Activation":
        return behind(INPUT)
    config = {**part.config, "activation": "linear"}
    return [Step(part.kind, config, part.output, part.variables, part.takes), *behind(0)]


def _layer(activation: Any) -> Callable[[int], list[Step]] | None:
    """An activation layer given as an activation: `Dense(3, activation=keras.layers.LeakyReLU(0.1))`."""
    known = ("LeakyReLU", "ReLU", "ELU", "Softmax")
    if not isinstance(activation, Mapping) or activation.get("class_name") not in known:
        return None
    if activation.get("registered_name") is not None:
        return None
    config = {k: v for k, v in activation["config"].items() if k not in ("name", "dtype")}
    return lambda of: [Step(activation["class_name"], config, takes=(of,))]


def _relu(part: Part) -> Sequence[Step] | None:
    """Slope and threshold: x where x > threshold, else slope * (x - threshold), and at most max_value."""
    slope, threshold = part.config.get("negative_slope"), part.config.get("threshold")
    limit = part.config.get("max_value")
    if not slope and not threshold:
        return None
    if not threshold and limit is None:
        return [elementwise("LeakyReLU", negative_slope=slope)]
    if threshold:
        steps = [elementwise("ThresholdedReLU", INPUT, theta=threshold)]
        steps += [] if limit is None else [elementwise("ReLU", max_value=limit)]
    else:
        steps = [elementwise("ReLU", INPUT, max_value=limit)]
    if slope:
        above = len(steps) - 1
        below = [rescale(-1.0, threshold or 0.0, INPUT), elementwise("ReLU"), rescale(-slope)]
        steps += [*below, elementwise("Add", above, above + 3)]
    return steps


def _elu(part: Part) -> Sequence[Step] | None:
    """relu(x) + alpha * elu(-relu(-x))"""
    alpha = part.config["alpha"]
    if alpha == 1:
        return None
    below = [rescale(-1.0, 0.0, INPUT), elementwise("ReLU"), rescale(-1.0), elementwise("ELU", alpha=1.0)]
    return [*below, rescale(alpha), elementwise("ReLU", INPUT), elementwise("Add", 4, 5)]


REWRITES = (
    Rewrite(_LAYERS, _split, "its activation follows in layers of its own"),
    Rewrite(("ReLU",), _relu, "TF.js' ReLU has neither slope nor threshold"),
    Rewrite(("ELU",), _elu, "TF.js' ELU has alpha=1 only"),
)
