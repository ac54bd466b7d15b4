"""MobileNetV2 with random weights: a network of real depth (156 layers), for parity and for speed.

Trained weights would have to be downloaded and are not needed: what an exporter can break is arithmetic. But random
weights alone give dead outputs, so `train` calibrates the batch normalization instead.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from exporter.reference import Data, Split

TITLE = "MobileNetV2 at 96x96, random weights with calibrated batch normalization, logits"
QUALITY = {"logits_rms": (">=", 0.1), "logits_max": ("<=", 10.0)}

SIZE = 96
TRAIN_ROWS, TEST_ROWS, CALIBRATION_ROWS = 16, 4, 100


# what batch normalization adds before a ReLU6. With 0, half of each layer's values are cut off and the network is
# chaotic: a difference grows by a fifth in every layer (Yang et al., A Mean Field Theory of Batch Normalization, 2019),
# and float16 costs 35 dB. Trained networks are not like that; with 1 this one is not either, and has 61 dB
OFFSET = 1.0


def build(seed: int = 7, offset: float = OFFSET) -> keras.Model:
    """The uncalibrated network: `image` (N, 96, 96, 3) in [-1, 1] -> `logits` (N, 1000)."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    base = keras.applications.MobileNetV2(input_tensor=image, alpha=1.0, include_top=False, weights=None)
    features = layers.GlobalAveragePooling2D(name="features")(base.output)
    logits = layers.Dense(1000, name="logits")(features)
    model = keras.Model(image, logits, name="mobilenet_v2")
    # fresh scales are 1 and fresh offsets 0: a converter that lost them would go unnoticed
    rng = np.random.default_rng(seed)
    for norm in normalizations(model):
        norm.gamma.assign(rng.uniform(0.8, 1.2, norm.gamma.shape))
        linear = norm.name.endswith("project_BN")
        norm.beta.assign(rng.normal(0 if linear else offset, 0.1 if linear else 0.3, norm.beta.shape))
    model.get_layer("logits").bias.assign(rng.normal(0, 0.1, 1000))
    return model


def normalizations(model: keras.Model) -> list[layers.BatchNormalization]:
    """All batch normalization layers, in order."""
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def data(seed: int = 7) -> Data:
    """Images with structure: a colour gradient, a rectangle, a disc, a little noise. There are no targets."""
    rng = np.random.default_rng(seed)
    train, test = _images(rng, TRAIN_ROWS), _images(rng, TEST_ROWS)
    return Data(train=Split({"image": train}, {}), test=Split({"image": test}, {}))


def calibration(data: Data) -> dict[str, dict[str, np.ndarray]]:
    """More images of the same kind: those of training are too few to measure ranges on."""
    return {"serving_default": {"image": _images(np.random.default_rng(8), CALIBRATION_ROWS)}}


def _images(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, 96, 96, 3) in [-1, 1], float32."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE

    def image() -> np.ndarray:
        colours = rng.uniform(-1, 1, (4, 3))
        (left, top), (cx, cy) = rng.uniform(0.1, 0.5, 2), rng.uniform(0.3, 0.7, 2)
        picture = colours[0] + (colours[1] - colours[0]) * (x if rng.random() < 0.5 else y)[..., np.newaxis]
        picture[(x > left) & (x < left + 0.3) & (y > top) & (y < top + 0.4)] = colours[2]
        picture[(x - cx) ** 2 + (y - cy) ** 2 < 0.03] = colours[3]
        return np.clip(picture + rng.normal(0, 0.05, picture.shape), -1, 1)

    return np.stack([image() for _ in range(rows)]).astype(np.float32)


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Set all batch normalization statistics to those of the training images; returns size of the held-out logits.

    With a momentum of 0, one pass in training mode leaves exactly that pass's statistics in every layer, each
    computed on what the calibrated layers before it let through.
    """
    norms = normalizations(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(data.train.inputs["image"], training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    logits = np.asarray(model(data.test.inputs["image"], training=False))
    return {"logits_rms": float(np.sqrt(np.mean(logits**2))), "logits_max": float(np.abs(logits).max())}
