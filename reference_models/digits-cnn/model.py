"""Handwritten digits with a small convolutional network: the demo, and the first reference model to read.

A reference model is a module like this one: `build` makes the untrained network, `data` the examples, `train` fits
one to the other and returns held-out metrics, and `QUALITY` says what those must reach. `exporter/reference.py` is
the contract; nothing here knows about any export format.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

from exporter.reference import Data, Split

TITLE = "Handwritten digits: convolutions, batch normalization (twice in a row), dropout, softmax"
QUALITY = {"accuracy": (">=", 0.97)}

EPOCHS = 8
BATCH = 32
TRAIN_ROWS = 1437  # of 1797; the other 360 are held out


def build(seed: int = 7) -> keras.Model:
    """The untrained network: `image` (N, 28, 28, 1) in [0, 1] -> `probabilities` (N, 10)."""
    keras.utils.set_random_seed(seed)

    def convolution(name: str) -> layers.Conv2D:
        return layers.Conv2D(32, 3, padding="same", activation="relu", name=name)

    def normalization(name: str) -> layers.BatchNormalization:
        # Keras' default momentum of 0.99 needs about 500 steps to settle; we take 360
        return layers.BatchNormalization(momentum=0.9, name=name)

    image = keras.Input((28, 28, 1), name="image")
    x = normalization("norm_1")(convolution("conv_1")(image))
    x = normalization("norm_2")(convolution("conv_2")(x))
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = normalization("norm_3")(convolution("conv_3")(x))
    x = normalization("norm_4")(x)  # the second in a row: converters that fold one into a convolution must keep both
    x = layers.MaxPooling2D(name="pool_2")(convolution("conv_4")(x))
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.2, name="dropout")(layers.Dense(32, activation="relu", name="hidden")(x))
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="digits_cnn")


def data(seed: int = 7) -> Data:
    """scikit-learn's 1797 real digits, enlarged from 8x8 to 28x28; `probabilities` holds the digit as int32 (N,)."""
    digits = load_digits()
    large = np.kron(digits.images / 16, np.ones((1, 3, 3)))  # every pixel becomes a 3x3 block
    images = np.pad(large, [(0, 0), (2, 2), (2, 2)])[..., np.newaxis].astype(np.float32)
    labels = digits.target.astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(labels))

    def split(rows: np.ndarray) -> Split:
        return Split({"image": images[rows]}, {"probabilities": labels[rows]})

    return Data(train=split(order[:TRAIN_ROWS]), test=split(order[TRAIN_ROWS:]))


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Fit `model` in place; returns the held-out `accuracy`."""
    keras.utils.set_random_seed(seed)
    epoch = -(-TRAIN_ROWS // BATCH)  # steps, rounded up
    # warming up keeps the narrow hidden layer alive, ending at 0 settles: together the seed matters little
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=(EPOCHS - 1) * epoch, warmup_target=2e-3, warmup_steps=epoch
    )
    # smoothed labels keep the probabilities away from 0 and 1, where a wrong logit would not show
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)
    one_hot = keras.utils.to_categorical(data.train.targets["probabilities"], 10)
    model.fit(data.train.inputs["image"], one_hot, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    predicted = model.predict(data.test.inputs["image"], verbose=0).argmax(axis=1)
    return {"accuracy": float(np.mean(predicted == data.test.targets["probabilities"]))}
