"""Linear regression, 2 -> 1: the smallest network that can be served, and the one the Spark tutorial exports.

Input and output carry the tutorial's names, because its client code asks for them literally.
"""

from __future__ import annotations

import keras
import numpy as np

from exporter.reference import Data, Split

TITLE = "Linear regression, 2 -> 1: one dense layer under the names a serving or Spark client hard-codes"
QUALITY = {"mse": ("<=", 4.4), "weight_error": ("<=", 0.1), "bias_error": ("<=", 0.2)}

WEIGHTS = np.array([[2.0], [-1.0]])  # of the process that generates the data
BIAS = 3.0
NOISE = 2.0  # standard deviation; its square, 4, is the least mse any model can reach
TRAIN_ROWS, TEST_ROWS = 800, 800


def build(seed: int = 7) -> keras.Model:
    """The untrained network: `inputs` (N, 2) -> `outputs` (N, 1)."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((2,), name="inputs")
    outputs = keras.layers.Dense(1, name="outputs")(inputs)
    return keras.Model(inputs, outputs, name="linear_spark")


def data(seed: int = 7) -> Data:
    """x uniform in -10..10, (N, 2); y = x @ WEIGHTS + BIAS + noise, (N, 1)."""
    rng = np.random.default_rng(seed)

    def split(rows: int) -> Split:
        x = rng.uniform(-10, 10, (rows, 2))
        y = x @ WEIGHTS + BIAS + rng.normal(0, NOISE, (rows, 1))
        return Split({"inputs": x.astype(np.float32)}, {"outputs": y.astype(np.float32)})

    return Data(train=split(TRAIN_ROWS), test=split(TEST_ROWS))


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Fit `model` in place; returns the held-out `mse` and how far the weights are from the generating ones."""
    keras.utils.set_random_seed(seed)
    model.compile(optimizer=keras.optimizers.RMSprop(0.01), loss="mse")
    model.fit(data.train.inputs["inputs"], data.train.targets["outputs"], batch_size=32, epochs=20, verbose=0)
    kernel, bias = model.get_layer("outputs").get_weights()
    return {
        "mse": float(model.evaluate(data.test.inputs["inputs"], data.test.targets["outputs"], verbose=0)),
        "weight_error": float(np.abs(kernel - WEIGHTS).max()),
        "bias_error": float(np.abs(bias - BIAS).max()),
    }
