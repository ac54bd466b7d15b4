"""Operations of `keras.ops` that are layers in disguise: `x * 2`, `x + y`, `ops.concatenate` …

An operation's arguments are in `config["args"]`, with `Tensor(k)` for its inputs; what it was constructed with is in
the rest of the configuration. Numbers are written into layers only if they are plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from exporter.formats._tfjs_parts import (
    INPUT,
    SECOND,
    Part,
    Rewrite,
    Step,
    Tensor,
    elementwise,
    permute,
    rescale,
    reshape,
)

_MERGES = {
    "ops.Add": "Add",
    "ops.Subtract": "Subtract",
    "ops.Multiply": "Multiply",
    "ops.Maximum": "Maximum",
    "ops.Minimum": "Minimum",
}
_ACTIVATIONS = {
    f"ops.{name}": activation
    for name, activation in {
        "Relu": "relu",
        "Relu6": "relu6",
        "Sigmoid": "sigmoid",
        "Silu": "silu",
        "Softplus": "softplus",
        "Softsign": "softsign",
        "SoftSign": "softsign",
        "Tanh": "tanh",
        "Selu": "selu",
        "Mish": "mish",
        "HardSigmoid": "hard_sigmoid",
        "HardSilu": "hard_silu",
        "HardTanh": "hard_tanh",
        "TanhShrink": "tanh_shrink",
        "LogSigmoid": "log_sigmoid",
        "SparseSigmoid": "sparse_sigmoid",
    }.items()
}


def _tensors(part: Part) -> list[int]:
    """The inputs among the arguments, in their order."""
    return [a.index for a in part.config["args"] if isinstance(a, Tensor)]


def _number(part: Part, position: int) -> float | None:
    value = part.config["args"][position]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _merge(part: Part) -> Sequence[Step] | None:
    """Two tensors of equal rank; each may broadcast, as in the layer."""
    takes = _tensors(part)
    floats = part.dtypes == ("float32",) * len(part.inputs)
    if len(part.config["args"]) != 2 or len(takes) != 2 or not floats or len({len(s) for s in part.inputs}) != 1:
        return None
    return [Step(_MERGES[part.kind], {}, part.output, takes=tuple(-1 - i for i in takes))]


def _with_number(part: Part) -> Sequence[Step] | None:
    """x + c, c - x, x * c, x / c and so on."""
    args = part.config["args"]
    if len(args) != 2 or len(part.inputs) != 1 or part.dtypes != ("float32",):
        return None
    first = isinstance(args[0], Tensor)
    number = _number(part, 1 if first else 0)
    if number is None or not math.isfinite(number):
        return None
    kind = part.kind.removeprefix("ops.")
    if kind in ("Divide", "TrueDivide"):
        return [rescale(1 / number)] if first and number else None
    signs = {"Add": (1, 1), "Subtract": (1, -1) if first else (-1, 1)}
    if kind in signs:
        scale, sign = signs[kind]
        return [rescale(float(scale), float(sign * number))]
    return [rescale(float(number))] if kind == "Multiply" else None


def _activation(part: Part) -> Sequence[Step] | None:
    if len(part.config["args"]) != 1 or part.dtypes != ("float32",):
        return None
    return [elementwise("Activation", activation=_ACTIVATIONS[part.kind])]


def _same(kind: str, *keys: str, **fixed: Any) -> Callable[[Part], Sequence[Step] | None]:
    """An operation that is the layer `kind` with the same arguments."""

    def steps(part: Part) -> Sequence[Step] | None:
        if part.dtypes != ("float32",) or len(part.config["args"]) != 1:
            return None
        return [Step(kind, {k: part.config[k] for k in keys} | fixed, part.output)]

    return steps


def _gelu(part: Part) -> Sequence[Step] | None:
    """The approximation is x/2 * (1 + tanh(c * x * (1 + 0.044715 x^2))) with c = sqrt(2/pi)."""
    if not part.config["approximate"]:
        return [elementwise("Activation", activation="gelu")]
    c = math.sqrt(2 / math.pi)
    inner = [elementwise("Multiply", INPUT, INPUT), rescale(0.044715 * c, c), elementwise("Multiply", INPUT, 1)]
    return [*inner, elementwise("Activation", activation="tanh"), rescale(0.5, 0.5), elementwise("Multiply", INPUT, 4)]


def _negative(part: Part) -> Sequence[Step] | None:
    return [rescale(-1.0)] if part.dtypes == ("float32",) else None


def _square(part: Part) -> Sequence[Step] | None:
    if part.dtypes != ("float32",) or (part.kind == "ops.Power" and _number(part, 1) != 2):
        return None
    return [Step("Multiply", {}, part.output, takes=(INPUT, INPUT))]


def _absolute(part: Part) -> Sequence[Step] | None:
    """relu(x) + relu(-x)"""
    if part.dtypes != ("float32",):
        return None
    relu = elementwise("ReLU")
    return [elementwise("ReLU", INPUT), rescale(-1.0, 0.0, INPUT), relu, elementwise("Add", 0, 2)]


def _concatenate(part: Part) -> Sequence[Step] | None:
    axis = part.config["axis"] % part.rank
    takes = tuple(-1 - i for i in range(len(part.inputs)))
    if axis == 0 or len(takes) < 2:
        return None
    return [Step("Concatenate", {"axis": axis}, part.output, takes=takes)]


def _reshape(part: Part) -> Sequence[Step] | None:
    """Reshape, ExpandDims and Squeeze, as long as the batch stays what it is."""
    source, target = part.inputs[0], part.output
    if len(part.inputs) != 1 or not target or target[0] is not None or source[0] is not None:
        return None
    if math.prod(d or 1 for d in source[1:]) != math.prod(d or 1 for d in target[1:]) or None in source[1:]:
        return None
    return [reshape(target)]


def _transpose(part: Part) -> Sequence[Step] | None:
    axes = part.config["axes"]
    return [permute(part.inputs[0], axes[1:])] if axes and axes[0] == 0 else None


def _pool(part: Part) -> Sequence[Step] | None:
    """The mean or maximum over all dimensions between the batch and the channels."""
    axis, rank = part.config["axis"], part.rank
    axes = sorted(a % rank for a in (axis if isinstance(axis, list) else [axis]) if a is not None)
    if axes != list(range(1, rank - 1)) or part.dtypes != ("float32",) or part.config.get("initial") is not None:
        return None
    kind = {"ops.Mean": "GlobalAveragePooling", "ops.Max": "GlobalMaxPooling"}[part.kind]
    if rank - 2 not in (1, 2, 3):
        return None
    return [Step(f"{kind}{rank - 2}D", {"keepdims": part.config["keepdims"]}, part.output)]


def _matmul(part: Part) -> Sequence[Step] | None:
    if [len(s) for s in part.inputs] != [3, 3] or part.dtypes != ("float32", "float32"):
        return None
    return [Step("Dot", {"axes": [2, 1], "normalize": False}, part.output, takes=(INPUT, SECOND))]


def _softmax(part: Part) -> Sequence[Step] | None:
    if part.dtypes != ("float32",) or not isinstance(part.config["axis"], int):
        return None
    return [elementwise("Softmax", axis=part.config["axis"])]


_IN_DISGUISE = "the operation is a layer in disguise"
REWRITES = (
    Rewrite(tuple(_MERGES), _merge, _IN_DISGUISE),
    Rewrite((*_MERGES, "ops.TrueDivide", "ops.Divide"), _with_number, _IN_DISGUISE),
    Rewrite(tuple(_ACTIVATIONS), _activation, _IN_DISGUISE),
    Rewrite(("ops.LeakyRelu",), _same("LeakyReLU", "negative_slope"), _IN_DISGUISE),
    Rewrite(("ops.ReLU",), _same("ReLU", "negative_slope", "max_value", "threshold"), _IN_DISGUISE),
    Rewrite(("ops.Elu",), _same("ELU", "alpha"), _IN_DISGUISE),
    Rewrite(("ops.Gelu",), _gelu, _IN_DISGUISE),
    Rewrite(("ops.Negative",), _negative, _IN_DISGUISE),
    Rewrite(("ops.Square", "ops.Power"), _square, _IN_DISGUISE),
    Rewrite(("ops.Absolute", "ops.Abs"), _absolute, _IN_DISGUISE),
    Rewrite(("ops.Softmax",), _softmax, _IN_DISGUISE),
    Rewrite(("ops.Concatenate",), _concatenate, _IN_DISGUISE),
    Rewrite(("ops.Reshape", "ops.ExpandDims", "ops.Squeeze"), _reshape, _IN_DISGUISE),
    Rewrite(("ops.Transpose",), _transpose, _IN_DISGUISE),
    Rewrite(("ops.Mean", "ops.Max"), _pool, _IN_DISGUISE),
    Rewrite(("ops.Matmul",), _matmul, _IN_DISGUISE),
)
