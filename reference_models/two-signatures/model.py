"""A linear codec for images of digits: one `tf.Module`, two signatures of different shapes, shared variables.

`encode` and `decode` read the same basis, so an exporter has to keep both entry points apart and yet store the
variables once. There is no Keras model here: formats that need one must say so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from exporter.reference import Data, Split

TITLE = "tf.Module with two signatures, encode and decode, of different shapes over shared variables"
QUALITY = {"explained_variance": (">=", 0.8)}

PIXELS, CODE = 64, 16
TRAIN_ROWS = 1437  # of 1797; the other 360 are held out


class Codec(tf.Module):
    """image -> 16 coordinates in an orthonormal basis, and back."""

    def __init__(self, seed: int) -> None:
        super().__init__(name="codec")
        random = np.random.default_rng(seed).normal(size=(PIXELS, CODE))
        self.mean = tf.Variable(np.full(PIXELS, 0.5, np.float32), name="mean")
        self.basis = tf.Variable(np.linalg.qr(random)[0].astype(np.float32), name="basis")

    @tf.function(input_signature=[tf.TensorSpec([None, PIXELS], tf.float32, name="image")])
    def encode(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image` (N, 64) in [0, 1] -> `code` (N, 16)."""
        return {"code": tf.matmul(image - self.mean, self.basis)}

    @tf.function(input_signature=[tf.TensorSpec([None, CODE], tf.float32, name="code")])
    def decode(self, code: tf.Tensor) -> dict[str, tf.Tensor]:
        """`code` (N, 16) -> `image` (N, 64)."""
        return {"image": tf.matmul(code, self.basis, transpose_b=True) + self.mean}


def build(seed: int = 7) -> Codec:
    """The untrained codec: a random orthonormal basis."""
    return Codec(seed)


def signatures(model: Codec) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
    """What to export, by name."""
    return {"encode": model.encode, "decode": model.decode}


def data(seed: int = 7) -> Data:
    """scikit-learn's 1797 real digits as `image` (N, 64) in [0, 1]; the target of a codec is its input."""
    images = (load_digits().data / 16).astype(np.float32)
    images = images[np.random.default_rng(seed).permutation(len(images))]
    train, test = images[:TRAIN_ROWS], images[TRAIN_ROWS:]
    return Data(train=Split({"image": train}, {"image": train}), test=Split({"image": test}, {"image": test}))


def cases(data: Data) -> dict[str, dict[str, np.ndarray]]:
    """Held-out images to encode; to decode, codes of the size the trained codec gives them."""
    return {"encode": {"image": data.test.inputs["image"][:32]}, "decode": {"code": _codes(32, seed=0)}}


def calibration(data: Data) -> dict[str, dict[str, np.ndarray]]:
    """Training images, and other codes of the same sizes."""
    return {"encode": {"image": data.train.inputs["image"][:256]}, "decode": {"code": _codes(256, seed=1)}}


def _codes(rows: int, seed: int) -> np.ndarray:
    spread = 1 / np.sqrt(1.0 + np.arange(CODE))  # principal axes come in falling order of variance
    return np.random.default_rng(seed).normal(0, spread, (rows, CODE)).astype(np.float32)


def train(model: Codec, data: Data, seed: int = 7) -> dict[str, float]:
    """Set `model` to the principal axes of the images, the best linear codec there is; no step is random.

    Returns the `explained_variance` of the held-out images: 1 - (squared error of decode(encode(x))) / variance.
    """
    images = data.train.inputs["image"].astype(np.float64)
    mean = images.mean(axis=0)
    axes = np.linalg.svd(images - mean, full_matrices=False)[2][:CODE]
    # the sign of an axis is the solver's choice: make its largest entry positive
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[np.arange(CODE), largest])[:, np.newaxis]
    model.mean.assign(mean.astype(np.float32))
    model.basis.assign(axes.T.astype(np.float32))

    held_out = data.test.inputs["image"]
    restored = model.decode(model.encode(held_out)["code"])["image"].numpy()
    return {"explained_variance": float(1 - np.sum((restored - held_out) ** 2) / np.sum((held_out - mean) ** 2))}
