"""`linear-spark` with the tutorial's own weights: every number its Spark chapter prints comes out again.

The chapter prints results, not weights; these weights are the least-squares solution of its six printed rows and
reproduce them to 3e-7. That makes the model a fixed point: any runtime can be checked against figures on paper.
"""

from __future__ import annotations

import keras
import numpy as np

from exporter.reference import Data, Split

TITLE = "linear-spark with fixed weights: reproduces the printed numbers of the Spark tutorial"
QUALITY = {"max_deviation": ("<=", 1e-5)}

KERNEL = np.array([[1.99785912], [-1.02962597]], np.float32)
BIAS = np.array([3.08098894], np.float32)
PRINTED = {  # features -> prediction, as printed for the driver, the RDD and the SQL example
    (1.0, 2.0): 3.019596,
    (2.0, 3.0): 3.9878292,
    (3.0, 5.0): 3.9264367,
    (6.0, 7.0): 7.8607616,
    (8.0, 3.0): 15.974984,
    (7.0, 8.0): 8.828995,
}


def build(seed: int = 7) -> keras.Model:
    """The finished network, the same for every seed: `inputs` (N, 2) -> `outputs` (N, 1)."""
    inputs = keras.Input((2,), name="inputs")
    dense = keras.layers.Dense(1, name="outputs")
    model = keras.Model(inputs, dense(inputs), name="linear_spark_fixed")
    dense.set_weights([KERNEL, BIAS])
    return model


def data(seed: int = 7) -> Data:
    """Train: 256 generated rows, so that there is something to calibrate with. Test: the six printed rows."""
    generated = np.random.default_rng(seed).uniform(-10, 10, (256, 2)).astype(np.float32)
    printed = np.array(list(PRINTED), np.float32)
    return Data(
        train=Split({"inputs": generated}, {"outputs": generated @ KERNEL + BIAS}),
        test=Split({"inputs": printed}, {"outputs": np.array([list(PRINTED.values())], np.float32).T}),
    )


def cases(data: Data) -> dict[str, dict[str, np.ndarray]]:
    """The printed rows first, then generated ones: six points alone would probe a narrow, positive corner."""
    printed, generated = data.test.inputs["inputs"], data.train.inputs["inputs"]
    return {"serving_default": {"inputs": np.concatenate([printed, generated[:26]])}}


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Train nothing; returns the largest deviation from a printed number."""
    predicted = model.predict(data.test.inputs["inputs"], verbose=0)
    return {"max_deviation": float(np.abs(predicted - data.test.targets["outputs"]).max())}
