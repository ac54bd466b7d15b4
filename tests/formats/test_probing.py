"""A source that disagrees with itself is found out, whatever makes the noise, and nothing else is called random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from exporter.repeatability import ROWS  # noqa: E402
from exporter.source.loaders import from_callable, from_saved_model  # noqa: E402
from exporter.source.probing import probe  # noqa: E402
from exporter.source.source import Source  # noqa: E402

layers = keras.layers
FEATURES = tf.TensorSpec([None, 4], tf.float32, name="features")
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)


class Layer(layers.Layer):
    """A layer around a function of one tensor."""

    def __init__(self, function: Callable[..., Any], inner: Any = None, **config: Any) -> None:
        super().__init__(**config)
        self.function = function
        self.inner = inner
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x: Any) -> Any:
        return self.function(self, x)


def model(noisy: Callable[[Any], Any], shape: tuple[int, ...] = (4,)) -> Any:
    """Two heads: one by a layer, one without it."""
    features = keras.Input(shape, name="features")
    plain = layers.Dense(3, name="plain")(features)
    return keras.Model(features, {"plain": plain, "noisy": noisy(plain)}, name="two")


def layer(function: Callable[..., Any]) -> Any:
    return model(Layer(function, name="noise"))


def trained(inner: Any, shape: tuple[int, ...] = (4,)) -> Any:
    """A layer that calls another one as in training, whatever the model is asked for."""
    return model(Layer(lambda s, x: s.inner(x, training=True), inner, name="noise"), shape)


def shuffled(_: Any, x: Any) -> Any:
    return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y + tf.random.uniform(tf.shape(y))), (0, x))[1]


RANDOM: dict[str, tuple[Callable[[], Any], str, str]] = {
    "keras without a seed": (lambda: layer(lambda _, x: x + keras.random.normal((3,))), "noise", "StatelessRandom"),
    "seed generator": (
        lambda: layer(lambda s, x: x + keras.random.normal((3,), seed=s.seeds)),
        "noise",
        "StatelessRandomNormalV2",
    ),
    "dropout": (
        lambda: trained(layers.Dropout(0.5, name="drop")),
        "noise/drop",
        "StatelessRandomUniformV2",
    ),
    "gaussian": (
        lambda: trained(layers.GaussianNoise(0.5, name="gauss")),
        "noise/gauss",
        "StatelessRandomNormalV2",
    ),
    "flip": (lambda: trained(layers.RandomFlip(name="flip"), (2, 2, 4)), "noise/flip", "StatelessRandom"),
    "op": (lambda: layer(lambda _, x: x + tf.random.normal(tf.shape(x))), "noise", "RandomStandardNormal"),
    "loop": (lambda: layer(shuffled), "noise", "RandomUniform"),
    "class": (
        lambda: layer(lambda _, x: tf.argmax(x + 0.3 * tf.random.normal(tf.shape(x)), 1)),
        "noise",
        "RandomStandardNormal",
    ),
    "sampled": (lambda: layer(lambda _, x: tf.random.categorical(x, 5)), "noise", "Multinomial"),
    "numpy function": (
        lambda: layer(
            lambda _, x: x + tf.reshape(tf.numpy_function(lambda: np.float32(np.random.normal()), [], tf.float32), [])
        ),
        "noise",
        "PyFunc",
    ),
    "python": (lambda: layer(lambda _, x: x + np.float32(np.random.normal())), "", ""),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_output_is_named_with_its_layer(kind: str, tmp_path: Path) -> None:
    build, where, op = RANDOM[kind]
    keras.utils.set_random_seed(7)
    source = from_callable(build(), tmp_path)
    shape = source.signatures["serving_default"].inputs[0].shape
    assert shape is not None
    found = probe(source, "serving_default", {"features": X if len(shape) == 2 else np.resize(X, (6, 2, 2, 4))})
    assert set(found["random"]) == {"noisy"}
    assert found["random"]["noisy"]["layer"] == where
    assert op in found["random"]["noisy"]["op"]
    assert found["batch"] == []


class Noise(tf.Module):
    """No Keras: a generator with its state in a variable, a seed in a variable, and a shape that varies."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = tf.random.Generator.from_seed(3)
        self.seed = tf.Variable([1, 2])

    @tf.function(input_signature=[FEATURES])
    def __call__(self, features: Any) -> dict[str, Any]:
        with tf.name_scope("block"):
            state = self.seed.assign_add([1, 0])
            seeded = features + tf.random.stateless_normal(tf.shape(features), state)
            drawn = features + self.generator.normal(tf.shape(features))
            some = tf.boolean_mask(features, tf.random.uniform(tf.shape(features)[:1]) > 0.5)
        fixed = features * 2 + tf.random.stateless_normal([4], [1, 2])
        return {"seeded": seeded, "drawn": drawn, "some": some, "fixed": fixed, "sum": tf.reduce_sum(features, 1)}


@pytest.mark.parametrize("reopened", [False, True])
def test_modules_and_saved_models(reopened: bool, tmp_path: Path) -> None:
    module = Noise()
    source = from_callable(module, tmp_path / "staging")
    if reopened:
        source = from_saved_model(source.saved_model, tmp_path / "other", None)
    found = probe(source, "serving_default", {"features": X})["random"]
    assert set(found) == {"seeded", "drawn", "some"}
    assert {one["layer"] for one in found.values()} == {"block"}
    assert found["some"]["varies"] == "shape"
    assert source.is_stateful("serving_default")


DEPENDENT: dict[str, Callable[[], Any]] = {
    "batch normalization": lambda: trained(layers.BatchNormalization(name="norm")),
    "softmax over the batch": lambda: layer(lambda _, x: tf.nn.softmax(x, 0)),
    "distance from the mean": lambda: layer(lambda _, x: x - tf.reduce_mean(x, 0)),
    "sum so far": lambda: layer(lambda _, x: tf.cumsum(x)),
    "seed of the graph": lambda: layer(lambda _, x: x + tf.random.stateless_normal(tf.shape(x), [1, 2])),
}


@pytest.mark.parametrize("kind", DEPENDENT)
def test_what_depends_on_the_batch_is_not_random(kind: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    source = from_callable(DEPENDENT[kind](), tmp_path)
    assert probe(source, "serving_default", {"features": X}) == {"random": {}, "batch": ["noisy"]}


STEADY: dict[str, Callable[[], Any]] = {
    "dropout at rest": lambda: model(lambda x: layers.Dropout(0.5)(x, training=True)),
    "noise times nothing": lambda: layer(lambda _, x: x + 0 * tf.random.normal(tf.shape(x))),
    "half precision": lambda: model(lambda x: layers.Dense(64, dtype="float16", name="half")(x)),
    "recurrent": lambda: model(lambda x: layers.LSTM(5)(x), (7, 4)),
}


@pytest.mark.parametrize("kind", STEADY)
def test_what_agrees_with_itself_is_left_alone(kind: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    source = from_callable(STEADY[kind](), tmp_path)
    rows = X if kind != "recurrent" else np.repeat(X[:, None], 7, 1)
    assert probe(source, "serving_default", {"features": rows}) == {"random": {}, "batch": []}


def test_state_between_calls_is_no_randomness(tmp_path: Path) -> None:
    features = keras.Input(batch_shape=(2, 3, 4), name="features")
    source = from_callable(keras.Model(features, layers.LSTM(2, stateful=True, name="state")(features)), tmp_path)
    rows = {"features": np.stack([X[:3], X[3:]])}
    assert probe(source, "serving_default", rows) == {"random": {}, "batch": []}
    first, second = source.successive("serving_default", rows, 2)
    assert not np.array_equal(first["state"], second["state"])


def test_what_others_draw_from_a_shared_seed_does_not_move_the_reference(tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    source: Source = from_callable(layer(lambda _, x: x + keras.random.normal((3,))), tmp_path)
    source.rewind()
    before = source.reference("serving_default", {"features": X})
    keras.random.normal((3,))  # as every model that Keras builds does
    after = source.reference("serving_default", {"features": X})
    assert np.array_equal(before["noisy"], after["noisy"])
    keras.random.normal((3,))
    saved = tf.saved_model.load(str(source.saved_model)).signatures["serving_default"]
    assert np.allclose(saved(features=tf.constant(X))["noisy"].numpy(), before["noisy"], atol=1e-6)
