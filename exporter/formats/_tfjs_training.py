"""Initializers, regularizers and constraints, as far as TF.js 4.22 has the same.

They do not matter to a loaded model's outputs. They matter to whoever goes on training it in TF.js (regularizers and
constraints), or builds it anew from its topology (initializers). What TF.js lacks is left out, and zeros stand in for
an initializer: classes and formulas were read in tfjs-layers 4.22 (src/initializers.ts, regularizers.ts,
constraints.ts). Not the same there, and so not carried over:

- GlorotNormal, HeNormal, LecunNormal: TF.js cuts the normal distribution off without widening it, so that what it
  draws has 0.88 of the deviation;
- RandomUniform with a bound of 0, and the normal ones with a deviation of 0: TF.js takes 0 for "not given";
- GlorotUniform, HeUniform, LecunUniform of vectors: TF.js counts the inputs of a vector in another way;
- Orthogonal in recurrent layers: TF.js draws the weights of their cells before it loads the file's, and takes minutes
  for the orthogonal matrix of an LSTM of 128 units. Other layers skip the drawing when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Config = Mapping[str, Any]
ZEROS: Config = {"class_name": "Zeros", "config": {}}


def _seeded(config: Config) -> Config:
    return {"seed": config.get("seed")}


def _uniform(config: Config) -> Config | None:
    return {**config} if config["minval"] and config["maxval"] else None


def _normal(config: Config) -> Config | None:
    return {**config} if config["stddev"] else None


def _as_it_is(config: Config) -> Config:
    return {**config}


def _one_axis(config: Config) -> Config | None:
    return {**config} if isinstance(config["axis"], int) else None


# Keras class -> (TF.js class, configuration in TF.js or None where it differs)
_Table = Mapping[str, tuple[str, Callable[[Config], Config | None]]]
_INITIALIZERS: _Table = {
    "Zeros": ("Zeros", _as_it_is),
    "Ones": ("Ones", _as_it_is),
    "Constant": ("Constant", _as_it_is),
    "RandomUniform": ("RandomUniform", _uniform),
    "RandomNormal": ("RandomNormal", _normal),
    "TruncatedNormal": ("TruncatedNormal", _normal),
    "GlorotUniform": ("GlorotUniform", _seeded),
    "HeUniform": ("HeUniform", _seeded),
    "LecunUniform": ("LeCunUniform", _seeded),
    "Orthogonal": ("Orthogonal", _as_it_is),
}
_REGULARIZERS: _Table = {
    "L1": ("L1L2", lambda c: {"l1": c["l1"], "l2": 0.0}),
    "L2": ("L1L2", lambda c: {"l1": 0.0, "l2": c["l2"]}),
    "L1L2": ("L1L2", _as_it_is),
}
_CONSTRAINTS: _Table = {
    "MaxNorm": ("MaxNorm", _one_axis),
    "UnitNorm": ("UnitNorm", _one_axis),
    "MinMaxNorm": ("MinMaxNorm", _one_axis),
    "NonNeg": ("NonNeg", _as_it_is),
}


def initializer(value: Any, rank: int | None) -> Config:
    """What TF.js is told for a serialized initializer; zeros where it has no such one."""
    return _translated(_INITIALIZERS, value) or ZEROS


def vector_initializer(value: Any, rank: int | None) -> Config:
    """The same for a bias, a scale and the like."""
    found = initializer(value, rank)
    return ZEROS if found["class_name"] in ("GlorotUniform", "HeUniform", "LeCunUniform", "Orthogonal") else found


def cell_initializer(value: Any, rank: int | None) -> Config:
    """The same inside recurrent layers, where TF.js really draws."""
    found = initializer(value, rank)
    return ZEROS if found["class_name"] == "Orthogonal" else found


def regularizer(value: Any, rank: int | None) -> Config | None:
    """What TF.js is told for a serialized regularizer, or None."""
    return _translated(_REGULARIZERS, value)


def constraint(value: Any, rank: int | None) -> Config | None:
    """What TF.js is told for a serialized constraint, or None."""
    return _translated(_CONSTRAINTS, value)


def _translated(table: _Table, value: Any) -> Config | None:
    if not isinstance(value, Mapping) or value.get("class_name") not in table:
        return None
    if value.get("registered_name") is not None:  # a user's class of that name
        return None
    name, translate = table[value["class_name"]]
    config = translate(value.get("config") or {})
    return None if config is None else {"class_name": name, "config": config}
