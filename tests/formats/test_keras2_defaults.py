"""What an old file means that leaves an argument out: Keras 2's default, where Keras 3 has another one or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from exporter.formats.tfjs_layers import write
from exporter.source import keras2_weights
from exporter.source.keras2 import rebuild
from exporter.source.keras2_layers import translate
from exporter.source.loaders import from_keras
from exporter.source.tfjs_layers import load_tfjs

# class -> shape of one input, what has to be given, and what is left out, with its meaning
LEFT_OUT: Mapping[str, tuple[tuple[int, ...], Mapping[str, Any], Mapping[str, Any]]] = {
    "GRU": ((4, 3), {"units": 2}, {"reset_after": False, "recurrent_activation": "hard_sigmoid"}),
    "LSTM": ((4, 3), {"units": 2}, {"recurrent_activation": "hard_sigmoid"}),
    **{f"{kind}Pooling{n}D": ((4,) * n + (3,), {}, {"pool_size": 2}) for kind in ("Max", "Average") for n in (1, 2, 3)},
    "ThresholdedReLU": ((5,), {}, {"theta": 1.0}),
    "LeakyReLU": ((5,), {}, {"alpha": 0.3}),
    "ConvLSTM2D": ((2, 4, 4, 1), {"filters": 2, "kernel_size": 2}, {"recurrent_activation": "hard_sigmoid"}),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_an_argument_that_is_left_out_has_the_old_default(kind: str) -> None:
    """Sources of Keras 2 and of TF.js are rebuilt from such a configuration, and computed by tf_keras here."""
    shape, given, left_out = LEFT_OUT[kind]
    layer = getattr(tf_keras.layers, kind)(**given, **left_out)
    reference = tf_keras.Sequential([tf_keras.Input(shape), layer])
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    old = {"name": layer.name, "batch_input_shape": [None, *shape], **given}
    model = rebuild(
        {"class_name": "Sequential", "config": {"name": "m", "layers": [{"class_name": kind, "config": old}]}}
    )
    values = {key: variable.numpy() for key, variable in keras2_weights.named(reference)}
    keras2_weights.assign(model.model, values, "m")
    x = rng.normal(0, 2, size=(3, *shape)).astype(np.float32)
    expected = reference(x).numpy()
    np.testing.assert_allclose(model.model(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert expected.std() > 0.1


def test_the_gates_of_an_old_gru_are_reset_before() -> None:
    (layer,) = translate("GRU", {"units": 2}, "g")
    assert layer.reset_after is False
    (pooling,) = translate("MaxPooling2D", {}, "p")
    assert tuple(pooling.pool_size) == (2, 2)


def test_a_tfjs_file_that_leaves_them_out_means_the_same(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 6)),
            layers.GRU(3, reset_after=False, recurrent_activation="sigmoid", return_sequences=True),
            layers.Reshape((8, 3, 1)),
            layers.AveragePooling2D((2, 2)),
        ]
    )
    directory = tmp_path / "model"
    directory.mkdir()
    write(from_keras(model, tmp_path), directory, {"shard-size": "1MiB"})
    text = (directory / "model.json").read_text()
    document = json.loads(text)
    left_out = ("reset_after", "pool_size", "strides")
    for layer in document["modelTopology"]["model_config"]["config"]["layers"]:
        layer["config"] = {key: value for key, value in layer["config"].items() if key not in left_out}
    assert all(key in text and key not in json.dumps(document) for key in left_out[:2])
    (directory / "model.json").write_text(json.dumps(document))
    translation, _ = load_tfjs(directory / "model.json")
    x = np.random.default_rng(0).normal(size=(2, 8, 6)).astype(np.float32)
    np.testing.assert_allclose(translation.model(x), model(x), rtol=1e-5, atol=1e-6)
