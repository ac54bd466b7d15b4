"""Small models of every kind of source, as `models.py:callable`, and the files made of them.

`python models.py DIRECTORY` writes the files, so that TensorFlow is imported once for all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers


class Scale(layers.Layer):
    """A layer nobody registered: its class must come from this file."""

    def build(self, shape: tuple) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x * self.factor


class Subclassed(keras.Model):
    """A subclassed model, built by calling it once."""

    def __init__(self, **config: object) -> None:
        super().__init__(**config)
        self.dense = layers.Dense(3, name="dense")

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return self.dense(features)


class Module(tf.Module):
    """No Keras at all: one signature, found by its input_signature."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = tf.Variable([1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="features")])
    def shifted(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"result": features + self.offset}


def functional() -> keras.Model:
    keras.utils.set_random_seed(3)
    features = keras.Input((4,), name="features")
    hidden = layers.Dense(32, activation="tanh", bias_initializer="random_uniform", name="hidden")(features)
    return keras.Model(
        features,
        layers.Dense(3, activation="softmax", bias_initializer="random_uniform", name="scores")(hidden),
        name="functional",
    )


def subclassed() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = Subclassed()
    model(np.zeros((1, 4), np.float32))
    return model


def unbuilt() -> keras.Model:
    return Subclassed()


def with_specs() -> tuple[keras.Model, dict[str, tf.TensorSpec]]:
    keras.utils.set_random_seed(3)
    return Subclassed(), {"features": tf.TensorSpec([None, 4], tf.float32)}


def custom_layer() -> keras.Model:
    keras.utils.set_random_seed(3)
    features = keras.Input((4,), name="features")
    return keras.Model(features, Scale(name="scores")(layers.Dense(3, name="hidden")(features)), name="scaled")


def tf_module() -> tf.Module:
    return Module()


def integers() -> keras.Model:
    """int32 input that no Embedding explains."""
    codes = keras.Input((2,), dtype="int32", name="codes")
    return keras.Model(codes, layers.Rescaling(0.5, name="half")(codes), name="integers")


def two_inputs() -> keras.Model:
    keras.utils.set_random_seed(3)
    left, right = keras.Input((2,), name="left"), keras.Input((1,), dtype="int32", name="right")
    both = layers.Concatenate(name="both")([left, layers.Rescaling(1.0, name="float")(right)])
    return keras.Model([left, right], layers.Dense(1, name="total")(both), name="two_inputs")


def raises() -> keras.Model:
    raise RuntimeError("the weights are elsewhere")


def number() -> int:
    return 7


def inputs() -> dict[str, np.ndarray]:
    """For --inputs models.py:inputs."""
    return {"features": np.arange(12, dtype=np.float32).reshape(3, 4)}


def keras_2() -> object:
    """A model of tf_keras with the numbers that Keras 3 reads otherwise: hard_sigmoid."""
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    features = tf_keras.Input((4,), name="features")
    hidden = tf_keras.layers.Dense(32, activation="hard_sigmoid", bias_initializer="random_uniform", name="hidden")(
        features
    )
    return tf_keras.Model(features, tf_keras.layers.Dense(3, activation="softmax", name="scores")(hidden), name="old")


def keras_2_files(directory: Path) -> None:
    """What tf_keras writes: old.h5, old.keras, the SavedModel old, and code in lambda.h5."""
    import tf_keras

    model = keras_2()
    model.save(directory / "old.h5")
    model.save(directory / "old.keras")
    model.save(directory / "old")
    tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Lambda(lambda x: x * 2)]).save(directory / "lambda.h5")


def main(directory: Path) -> None:
    keras_2_files(directory)
    model = functional()
    model.save(directory / "functional.keras")
    model.save(directory / "functional.h5")
    model.export(directory / "functional", verbose=False)
    custom_layer().save(directory / "custom.keras")
    module = Module()
    tf.saved_model.save(module, directory / "two", signatures={"one": module.shifted, "other": module.shifted})
    tf.saved_model.save(tf.Module(), directory / "unsigned")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
