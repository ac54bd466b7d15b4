"""What an old file means that leaves an argument out: Keras 2's default, where Keras 3 has another one or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tf_keras

from exporter.source import keras2_weights
from exporter.source.keras2 import rebuild
from exporter.source.keras2_layers import translate

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
