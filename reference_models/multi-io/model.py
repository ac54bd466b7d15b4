"""Two inputs, three outputs: a converter that goes by position instead of by name gets caught here.

`value` and `spread` have the same shape and dtype, so only their numbers tell them apart.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from exporter.reference import Data, Split

TITLE = "Two inputs, three outputs, two of them of the same shape: nothing may go by position"
QUALITY = {"value_mae": ("<=", 0.3), "spread_mae": ("<=", 0.3), "label_accuracy": (">=", 0.82)}

FLIPPED = 0.1  # share of wrong labels; without them the probabilities would end at 0 and 1, and hide errors
TRAIN_ROWS, TEST_ROWS = 3200, 400


def build(seed: int = 7) -> keras.Model:
    """The untrained network: `left` (N, 8), `right` (N, 4) -> `value` (N, 1), `label` (N, 2), `spread` (N, 1)."""
    keras.utils.set_random_seed(seed)
    left, right = keras.Input((8,), name="left"), keras.Input((4,), name="right")
    both = layers.Concatenate(name="both")([left, right])
    hidden = layers.Dense(32, activation="relu", name="hidden")(both)
    value = layers.Dense(1, name="value")(hidden)
    label = layers.Dense(2, activation="softmax", name="label")(hidden)
    spread = layers.Dense(1, name="spread")(hidden)
    return keras.Model([left, right], [value, label, spread], name="multi_io")


def data(seed: int = 7) -> Data:
    """Normal features. value = left0 - right0, spread = |left1 - right1|, label = is the sum of all positive."""
    rng = np.random.default_rng(seed)

    def split(rows: int) -> Split:
        left, right = rng.normal(size=(rows, 8)), rng.normal(size=(rows, 4))
        value = left[:, :1] - right[:, :1]
        positive = left.sum(axis=1) + right.sum(axis=1) > 0
        flipped = rng.random(rows) < FLIPPED
        return Split(
            {"left": left.astype(np.float32), "right": right.astype(np.float32)},
            {
                "value": value.astype(np.float32),
                "label": (positive ^ flipped).astype(np.int32),
                "spread": np.abs(left[:, 1:2] - right[:, 1:2]).astype(np.float32),
            },
        )

    return Data(train=split(TRAIN_ROWS), test=split(TEST_ROWS))


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Fit `model` in place; returns held-out `value_mae`, `spread_mae` and `label_accuracy`."""
    keras.utils.set_random_seed(seed)
    losses = {"value": "mse", "label": "sparse_categorical_crossentropy", "spread": "mse"}
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss=losses)
    model.fit(data.train.inputs, data.train.targets, batch_size=64, epochs=12, verbose=0)
    value, label, spread = model.predict(data.test.inputs, verbose=0)
    targets = data.test.targets
    return {
        "value_mae": float(np.abs(value - targets["value"]).mean()),
        "spread_mae": float(np.abs(spread - targets["spread"]).mean()),
        "label_accuracy": float(np.mean(label.argmax(axis=1) == targets["label"])),
    }
