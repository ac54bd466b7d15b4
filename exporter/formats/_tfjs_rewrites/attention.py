"""Attention, one head at a time: Dense, Dot, Softmax, Dot, and Concatenate behind them.

TF.js' Dot multiplies matrices per row of the batch and knows no further axis, hence a chain for every head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exporter.formats._tfjs_parts import INPUT, SECOND, Part, Rewrite, Shape, Step, Unfit, rescale
from exporter.tensors import Array

_THIRD = -3


def _attended(
    steps: list[Step], query: tuple[int, Shape], key: tuple[int, Shape], value: tuple[int, Shape], scale: float
) -> None:
    """Append softmax(scale * query keyT) value; each operand is a step or an input, and its shape."""
    (q, q_shape), (k, k_shape), (v, v_shape) = query, key, value
    scores = (q_shape[0], q_shape[1], k_shape[1])
    if scale != 1:
        steps.append(rescale(scale, 0.0, q))
        q = len(steps) - 1
    steps.append(Step("Dot", {"axes": [2, 2], "normalize": False}, scores, takes=(q, k)))
    steps.append(Step("Softmax", {"axis": -1}, scores))
    product = (*q_shape[:2], v_shape[2])
    steps.append(Step("Dot", {"axes": [2, 1], "normalize": False}, product, takes=(len(steps) - 1, v)))


def _multi_head(part: Part) -> Sequence[Step] | None:
    layer = part.layer
    if {len(s) for s in part.inputs} != {3} or part.config.get("attention_axes") not in (None, [1]):
        raise Unfit("TF.js has none, and only attention over one axis can be built from its layers")
    if getattr(layer, "_use_gate", False):
        raise Unfit("TF.js has none, and a gate is not known to be built alike")
    heads, key_dim, value_dim = (part.config[k] for k in ("num_heads", "key_dim", "value_dim"))
    inputs = {"query": INPUT, "value": SECOND, "key": _THIRD if len(part.inputs) == 3 else SECOND}
    config = {"use_bias": part.config["use_bias"], "activation": "linear"}
    steps: list[Step] = []
    ends = []
    for head in range(heads):
        operands = []
        for name in ("query", "key", "value"):
            dense = getattr(layer, f"_{name}_dense")
            units = value_dim if name == "value" else key_dim
            shape = (*part.inputs[-1 - inputs[name]][:2], units)
            variables = {"kernel": dense.kernel.numpy()[:, head]} | _bias(dense, head)
            steps.append(Step("Dense", {**config, "units": units}, shape, variables, (inputs[name],)))
            operands.append((len(steps) - 1, shape))
        _attended(steps, operands[0], operands[1], operands[2], key_dim**-0.5)
        ends.append(len(steps) - 1)
    if heads > 1:
        batch, length, _ = part.inputs[0]
        steps.append(Step("Concatenate", {"axis": -1}, (batch, length, heads * value_dim), takes=tuple(ends)))
    out = layer._output_dense
    if len(part.output) != 3:
        raise Unfit("TF.js has none, and its output has more than one new axis")
    kernel = out.kernel.numpy().reshape(heads * value_dim, -1)
    bias = {} if out.bias is None else {"bias": out.bias.numpy()}
    return [*steps, Step("Dense", {**config, "units": kernel.shape[1]}, part.output, {"kernel": kernel} | bias)]


def _bias(dense: Any, head: int) -> dict[str, Array]:
    return {} if dense.bias is None else {"bias": dense.bias.numpy()[head]}


def _attention(part: Part) -> Sequence[Step] | None:
    """Luong attention of [query, value, key]."""
    if {len(s) for s in part.inputs} != {3} or part.config["score_mode"] != "dot":
        raise Unfit("TF.js has none, and only the scores of a dot product can be built from its layers")
    scale = float(part.layer.scale.numpy()) if part.layer.scale is not None else 1.0
    key = _THIRD if len(part.inputs) == 3 else SECOND
    steps: list[Step] = []
    _attended(steps, (INPUT, part.inputs[0]), (key, part.inputs[-1 - key]), (SECOND, part.inputs[1]), scale)
    return steps


REWRITES = (
    Rewrite(("MultiHeadAttention",), _multi_head, "TF.js has none, so each head has layers of its own"),
    Rewrite(("Attention",), _attention, "TF.js has none, so it is two products and a softmax"),
)
