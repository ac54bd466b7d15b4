"""The vocabulary of the TF.js layers table: what may be said of one configuration key, and of one layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.formats import _tfjs_training as training


def _anything(value: Any, rank: int | None) -> bool:
    return True


def _as_it_is(value: Any, rank: int | None) -> Any:
    return value


@dataclass(frozen=True)
class Argument:
    """One configuration key of a layer.

    `accepts(value, rank)` says whether TF.js computes the same for it, given the rank of the layer's input; `why`
    completes "TF.js …" where it does not. `key` is the name TF.js reads, or None for what it must not be told;
    `write(value, rank)` is what it is told. `training` marks what inference does not depend on, and what therefore may
    be left out where `write` gives None.
    """

    accepts: Callable[[Any, int | None], bool] = _anything
    why: str = ""
    key: str | None = ""
    write: Callable[[Any, int | None], Any] = _as_it_is
    training: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer class: its arguments, the variables it may own, and what it does with masks and integers.

    `masks`: TF.js and Keras both let a mask through (or use it alike). `integers`: the inputs need not be float32;
    `mixed`: nor of one dtype. `ranks` are those TF.js implements, where it does not implement all. `stands_for` is
    the class written where TF.js has none but an equivalent.
    """

    arguments: Mapping[str, Argument] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    masks: bool = False
    integers: bool = False
    mixed: bool = False
    ranks: tuple[int, ...] = ()
    stands_for: str = ""


KEEP = Argument()
DROP = Argument(key=None)  # what inference does not depend on
LOST = Argument(key=None, training=True)
INITIALIZER = Argument(write=training.initializer)
VECTOR_INITIALIZER = Argument(write=training.vector_initializer)
CELL_INITIALIZER = Argument(write=training.cell_initializer)
REGULARIZER = Argument(write=training.regularizer, training=True)
CONSTRAINT = Argument(write=training.constraint, training=True)


def only(*values: Any, why: str, write: bool = True) -> Argument:
    return Argument(lambda v, rank: any(v == x and type(v) is type(x) for x in values), why, "" if write else None)


def renamed(key: str) -> Argument:
    return Argument(key=key)


# Keras name -> TF.js name; all others are unknown to TF.js or, as hard_sigmoid, another function
ACTIVATIONS: Mapping[str, str] = {
    name: name
    for name in [
        "linear",
        "relu",
        "relu6",
        "elu",
        "selu",
        "softplus",
        "softsign",
        "tanh",
        "sigmoid",
        "softmax",
        "log_softmax",
        "gelu",
        "mish",
    ]
} | {"silu": "swish", "swish": "swish"}
# functions of models that were read from Keras 2 files, by their registered names: TF.js' own
KERAS_2_ACTIVATIONS: Mapping[str, str] = {"exporter>keras_2_hard_sigmoid": "hard_sigmoid"}
KNOWN_ACTIVATIONS: Mapping[str, str] = {**ACTIVATIONS, **KERAS_2_ACTIVATIONS}


def _is_activation(value: Any, rank: int | None) -> bool:
    return isinstance(value, str) and value in KNOWN_ACTIVATIONS


def _is_last_axis(value: Any, rank: int | None) -> bool:
    axes = value if isinstance(value, list) else [value]
    return len(axes) == 1 and (axes[0] == -1 or (rank is not None and axes[0] == rank - 1))


def _is_last_axis_or_several(value: Any, rank: int | None) -> bool:
    return (isinstance(value, list) and len(value) > 1) or _is_last_axis(value, rank)


def _is_ones(value: Any, rank: int | None) -> bool:
    return all(i == 1 for i in (value if isinstance(value, list) else [value]))


def _activation(value: Any, rank: int | None) -> Any:
    return KNOWN_ACTIVATIONS.get(value, value) if isinstance(value, str) else value


ACTIVATION = Argument(_is_activation, "has no such activation, or another function of that name", write=_activation)
# TF.js takes every negative axis for the last
FROM_FRONT = Argument(write=lambda axis, rank: axis if axis == -1 or rank is None else axis % rank)
SOFTMAX_AXIS = Argument(_is_last_axis_or_several, "computes it along the last axis, or along several")
LAST_AXIS = Argument(_is_last_axis, "normalizes the last axis only", write=lambda value, rank: -1)
CHANNELS = only(None, "channels_last", why="is only right with the channels last here")
UNUSED = only(None, False, why="does not know it", write=False)
PADDING = only("valid", "same", why="implements valid and same only")
STRAIGHT = only(False, why="ignores it, and drops the dimension", write=False)
GROUPS = only(1, why="ignores it and builds an ungrouped kernel", write=False)
STATELESS = only(False, why="keeps state between calls in another way")
NO_DILATION = Argument(_is_ones, "ignores it", key=None)
NO_SLOPE = only(0.0, 0, why="ignores it", write=False)
