"""The models of the grid: each row of `gridrows` as a callable that builds it, by the row's id.

The source worker opens this file as a user's module, so each model goes the way of any `module.py:callable`.
All weights are random, biases and statistics too, so that a swapped, transposed or forgotten tensor shows.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping

import keras
import numpy as np
from gridrows import (
    Feed,
    Row,
    activation,
    attention,
    convolution,
    core,
    image,
    merging,
    normalization,
    ops,
    pooling,
    recurrent,
    reshaping,
    text,
)
from gridrows.left_out import BROKEN, LEFT_OUT  # noqa: F401  (for the tests)

from exporter import tensors
from exporter.tensors import Array, Tensors

_MODULES = (core, convolution, pooling, recurrent, normalization, merging, attention, reshaping, activation, image)
ROWS: Mapping[str, Row] = {row.id: row for module in (*_MODULES, text, ops) for row in module.ROWS}
UNKNOWN = 6  # what a dimension of no fixed size is fed as
BATCHES = (3, 1)


def build(row: Row) -> keras.Model:
    """The model of a row, with the same names and weights in every process."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    inputs = [
        keras.Input(feed.shape, batch_size=feed.batch, dtype=feed.dtype, name=_name(row, i))
        for i, feed in enumerate(row.feeds)
    ]
    model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, row.build(*inputs))
    rng = np.random.default_rng(5)
    for variable in model.variables:
        if "float" in variable.dtype and "seed_generator" not in variable.path:
            variable.assign(_weight(variable, rng))
    return model


def _name(row: Row, index: int) -> str:
    # reverse alphabetical: a format that sorts its inputs has them in another order
    return "zyxw"[index]


def _weight(variable: keras.Variable, rng: np.random.Generator) -> Array:
    shape, name = variable.shape, variable.path.rsplit("/", 1)[-1]
    if "variance" in name:
        return rng.uniform(0.5, 1.5, shape)
    scale = 1 / np.sqrt(max(1, np.prod(shape[:-1]))) if len(shape) > 1 else 0.3
    return rng.normal(0, scale, shape) + (name in ("gamma", "scale"))


globals().update({name: functools.partial(build, row) for name, row in ROWS.items()})


def cases(row: Row) -> dict[str, Tensors]:
    """Inputs by case name and input name, of two batch sizes; of one where the batch is fixed."""
    batches = [feed.batch for feed in row.feeds if feed.batch is not None] or BATCHES
    return {f"batch-{batch}": _case(row, batch) for batch in batches}


def _case(row: Row, batch: int) -> Tensors:
    rng = np.random.default_rng([batch, zlib.crc32(row.id.encode())])
    return {_name(row, i): _values(feed, batch, rng) for i, feed in enumerate(row.feeds)}


def _values(feed: Feed, batch: int, rng: np.random.Generator) -> Array:
    shape = (batch, *(UNKNOWN if d is None else d for d in feed.shape))
    made = _VALUES[feed.values](feed, shape, rng)
    return made if feed.dtype == "string" else np.asarray(made, order="C").astype(feed.dtype)


def _steps(feed: Feed, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Steps of which some are all zero, and some all 1.5: what Masking masks. The first of a row never is."""
    values = rng.normal(0, 1, shape)
    values[:, -1] = 0
    values[::2, 1] = 0
    values[::2, 2] = 1.5
    return values


def _padded(feed: Feed, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    tokens = rng.integers(1, feed.below, shape)
    tokens[:, -2:] = 0
    tokens[::2, 2] = 0
    return tokens


def _words(*words: str) -> Callable[[Feed, tuple[int, ...], np.random.Generator], Array]:
    return lambda feed, shape, rng: tensors.as_strings(rng.choice(np.array(words), shape))


_VALUES: Mapping[str, Callable[[Feed, tuple[int, ...], np.random.Generator], Array]] = {
    "normal": lambda feed, shape, rng: rng.normal(0, 1, shape),
    "wide": lambda feed, shape, rng: rng.normal(0, 4, shape),
    "ties": lambda feed, shape, rng: np.round(rng.normal(0, 1, shape) * 2) / 2,
    "positive": lambda feed, shape, rng: rng.uniform(0.1, 3, shape),
    "unit": lambda feed, shape, rng: rng.uniform(-1, 1, shape),
    "image": lambda feed, shape, rng: rng.uniform(0, 256, shape).astype(np.uint8),
    "boolean": lambda feed, shape, rng: rng.random(shape) < 0.6,
    "tokens": lambda feed, shape, rng: rng.integers(0, feed.below, shape),
    "signed": lambda feed, shape, rng: rng.integers(-9, 10, shape),
    "divisor": lambda feed, shape, rng: rng.integers(1, 5, shape) * rng.choice([-1, 1], shape),
    "padded": _padded,
    "steps": _steps,
    "words": _words("a", "b", "ü", "zz", ""),
    "sentences": _words("a b", "B, a ü", "zz a zz b a", "", "ü"),
}
