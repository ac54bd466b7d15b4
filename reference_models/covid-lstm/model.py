"""Forecast of an epidemic's next day: a custom layer, a custom loss, and a time axis of any length.

The network predicts the relative change of three daily counts; its last layer applies that change to the last day.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from exporter.reference import Data, Split

TITLE = "Time series of any length: stacked LSTMs, a registered custom layer with two inputs, a custom loss"
QUALITY = {"mspe_over_persistence": ("<=", 0.8)}

DAYS, WINDOW = 46, 8
STEPS = 200
# (peak in thousands of people, day of the peak, width in days) of newly confirmed, recovered and dead
WAVES = [(3.8, 14.0, 6.0), (2.6, 32.0, 8.0), (0.11, 20.0, 7.0)]


@keras.saving.register_keras_serializable(package="reference_models")
class Block(layers.Layer):
    """Applies the predicted relative change: max((1 + change) * last day, 0)."""

    def call(self, history: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
        """`history` (N, T, 3), `change` (N, 3) -> next day (N, 3)."""
        return ops.maximum((1 + change) * history[:, -1, :], 0)

    def compute_output_shape(self, history_shape: tuple, change_shape: tuple) -> tuple:
        """Keras matches these arguments to those of `call` by name plus `_shape`."""
        return tuple(change_shape)

    def get_config(self) -> dict:
        return super().get_config()  # no options of its own; said here because a custom layer must say it


@keras.saving.register_keras_serializable(package="reference_models")
def mspe(target: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Mean squared percentage error per row: the three counts differ by a factor of 30 and weigh the same."""
    return ops.mean(ops.square(target - predicted) / ops.maximum(ops.square(target), 1e-7), axis=-1)


def build(seed: int = 7) -> keras.Model:
    """The untrained network: `history` (N, T, 3), any T, in thousands of people -> `next_day` (N, 3)."""
    keras.utils.set_random_seed(seed)
    history = keras.Input((None, 3), name="history")
    x = history
    for i in (1, 2, 3):
        x = layers.LSTM(3, return_sequences=True, name=f"lstm_{i}")(x)
    x = layers.LSTM(3, name="lstm_4")(x)
    change = layers.Dense(3, name="change")(x)
    next_day = Block(name="next_day")(history, change)
    return keras.Model(history, next_day, name="covid_lstm")


def data(seed: int = 7) -> Data:
    """One epidemic to train on, a second one with other peaks to test on: 38 windows of 8 days (38, 8, 3) each."""
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS)

    def epidemic(jitter: float) -> Split:
        counts = []
        for peak, centre, width in WAVES:
            scale, shift, stretch = 1 + jitter * rng.uniform(-1, 1, 3)
            counts.append(scale * peak * (np.exp(-0.5 * ((day - shift * centre) / (stretch * width)) ** 2) + 0.01))
        series = np.stack(counts, axis=1).astype(np.float32)
        windows = np.stack([series[start : start + WINDOW] for start in range(DAYS - WINDOW)])
        return Split({"history": windows}, {"next_day": series[WINDOW:]})

    return Data(train=epidemic(jitter=0.0), test=epidemic(jitter=0.1))


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Fit `model` in place; returns the held-out error, also relative to the forecast "tomorrow is like today"."""
    keras.utils.set_random_seed(seed)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=mspe)
    history, next_day = data.train.inputs["history"], data.train.targets["next_day"]
    # all windows make one batch; repeating it inside one epoch saves 200 epoch ends
    batch = tf.data.Dataset.from_tensors((history, next_day)).repeat(STEPS)
    model.fit(batch, epochs=1, shuffle=False, verbose=0)

    history, next_day = data.test.inputs["history"], data.test.targets["next_day"]
    error = float(np.mean(mspe(next_day, model.predict(history, verbose=0))))
    persistence = float(np.mean(mspe(next_day, history[:, -1])))
    return {"mspe": error, "mspe_over_persistence": error / persistence}
