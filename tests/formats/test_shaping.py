"""Shapes that the user fixes are those of the converted signatures, for every kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from keras import Input, Model, layers

from exporter.errors import InputsError
from exporter.source.loaders import from_callable, from_keras, from_saved_model
from exporter.source.shaping import fix_shapes
from exporter.source.source import Source


def module() -> tf.Module:
    made = tf.Module()
    specs = [tf.TensorSpec([None, None, 3], tf.float32, name="x")]
    made.f = tf.function(lambda x: {"y": tf.reduce_sum(x, -1)}, input_signature=specs)
    return made


def from_module(path: Path) -> Source:
    made = module()
    return from_callable(made, path / "staging", {"serving_default": made.f})


def from_file(path: Path) -> Source:
    made = module()
    tf.saved_model.save(made, str(path / "saved"), signatures={"serving_default": made.f})
    return from_saved_model(path / "saved", path / "staging", None)


def from_model(path: Path) -> Source:
    x = Input((None, 3), name="x")
    return from_keras(Model(x, layers.LSTM(2, name="y")(x)), path / "staging")


@pytest.mark.parametrize("make", [from_module, from_file, from_model])
def test_every_source_takes_the_shape(make: Any, tmp_path: Path) -> None:
    source = make(tmp_path)
    fix_shapes(source, {"x": [1, 7, 3]})
    ((name, signature),) = source.signatures.items()
    assert signature.inputs[0].shape == (1, 7, 3)
    assert signature.outputs[0].shape is not None
    assert signature.outputs[0].shape[0] == 1
    assert not signature.batched
    (output,) = source.reference(name, {"x": np.ones((1, 7, 3), np.float32)}).values()
    assert output.shape == tuple(signature.outputs[0].shape)
    saved = tf.saved_model.load(str(source.saved_model)).signatures[name].structured_input_signature[1]["x"]
    assert saved.shape == (1, 7, 3)


def test_a_size_may_stay_open(tmp_path: Path) -> None:
    source = from_model(tmp_path)
    fix_shapes(source, {"x": [None, 7, 3]})
    assert source.signatures["serving_default"].inputs[0].shape == (None, 7, 3)
    assert source.signatures["serving_default"].batched


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": [1]}, "--shape names 'y'"),
        ({"x": [1, 7]}, r"--shape x:1,7 contradicts the source, which takes x:\?,\?,3"),
        ({"x": [1, 7, 4]}, r"--shape x:1,7,4 contradicts the source, which takes x:\?,\?,3"),
    ],
)
def test_what_does_not_fit_is_an_error(shapes: dict[str, list[int]], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputsError, match=message):
        fix_shapes(from_model(tmp_path), shapes)
