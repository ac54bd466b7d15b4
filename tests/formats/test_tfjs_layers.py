"""TF.js layers: names, topology, and one refusal per construct TF.js would compute differently."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import Input, Model, Sequential
from keras import layers as L

from exporter.formats import Refused
from exporter.formats.tfjs_layers import FORMAT, write
from exporter.source.loaders import from_callable, from_keras


class Custom(L.Layer):
    def call(self, x):
        return x + 1


class Dense(L.Dense):
    """A custom class under a name that TF.js knows."""


class Subclassed(keras.Model):
    def call(self, x):
        return x * 2


def seq(shape, *layers, dtype="float32"):
    return Sequential([Input(shape, dtype=dtype), *layers])


def functional(build, *shapes, dtype="float32"):
    inputs = [Input(s, dtype=dtype) for s in shapes]
    return Model(inputs, build(*inputs))


def explicit_mask():
    x, m = Input((5, 3)), Input((5,), dtype="bool")
    return Model([x, m], L.LSTM(2)(x, mask=m))


def other_mask():
    a, b = Input((5,), dtype="int32"), Input((5,), dtype="int32")
    mask = L.Embedding(9, 3, mask_zero=True).compute_mask(b)
    return Model([a, b], L.LSTM(2)(L.Embedding(9, 3, mask_zero=True)(a), mask=mask))


def masked(*layers):
    return seq((5,), L.Embedding(9, 4, mask_zero=True), *layers, dtype="int32")


def masked_nested():
    inner = masked()
    x = Input((5,), dtype="int32")
    return Model(x, L.LSTM(2)(inner(x)))


def two_directions():
    return L.Bidirectional(L.LSTM(2), backward_layer=L.LSTM(3, go_backwards=True))


IMAGE, SERIES = (6, 6, 4), (5, 3)
# name -> (model, what the refusal must say besides the layer and the way out)
REFUSED = {
    "hard_sigmoid": (lambda: seq((3,), L.Dense(2, "hard_sigmoid")), "activation='hard_sigmoid'"),
    "leaky_relu activation": (lambda: seq((3,), L.Dense(2, "leaky_relu")), "leaky_relu"),
    "exponential": (lambda: seq((3,), L.Activation("exponential")), "exponential"),
    "lambda activation": (lambda: seq((3,), L.Dense(2, lambda t: t * 2)), "activation="),
    "recurrent hard_sigmoid": (lambda: seq(SERIES, L.LSTM(2, recurrent_activation="hard_sigmoid")), "recurrent"),
    "bilinear": (lambda: seq(IMAGE, L.UpSampling2D(interpolation="bilinear")), "interpolation='bilinear'"),
    "batch norm axis": (lambda: seq(IMAGE, L.BatchNormalization(axis=1)), "axis=1"),
    "layer norm axes": (lambda: seq(IMAGE, L.LayerNormalization(axis=[1, 2])), "axis=[1, 2]"),
    "softmax axis": (lambda: seq(SERIES, L.Softmax(axis=1)), "axis=1"),
    "relu slope": (lambda: seq((3,), L.ReLU(negative_slope=0.1)), "negative_slope=0.1"),
    "relu threshold": (lambda: seq((3,), L.ReLU(threshold=1.0)), "threshold=1.0"),
    "elu alpha": (lambda: seq((3,), L.ELU(alpha=0.5)), "alpha=0.5"),
    "keepdims": (lambda: seq(IMAGE, L.GlobalAveragePooling2D(keepdims=True)), "keepdims=True"),
    "grouped conv": (lambda: seq(IMAGE, L.Conv2D(4, 3, groups=2)), "groups=2"),
    "causal": (lambda: seq(SERIES, L.Conv1D(4, 2, padding="causal")), "padding='causal'"),
    "channels first": (lambda: seq(IMAGE, L.MaxPooling2D(data_format="channels_first")), "channels_first"),
    "dilated depthwise": (lambda: seq(IMAGE, L.DepthwiseConv2D(2, dilation_rate=2)), "dilation_rate"),
    "dilated transpose": (lambda: seq(IMAGE, L.Conv2DTranspose(2, 3, dilation_rate=2)), "dilation_rate"),
    "output padding": (lambda: seq(IMAGE, L.Conv2DTranspose(2, 3, 2, output_padding=1)), "output_padding"),
    "gru": (lambda: seq(SERIES, L.GRU(2)), "reset_after=True"),
    "stateful": (lambda: Sequential([Input(batch_shape=(1, 5, 3)), L.LSTM(2, stateful=True)]), "stateful=True"),
    "states fed": (lambda: functional(lambda x, h: L.SimpleRNN(2)(x, initial_state=h), SERIES, (2,)), "initial_state"),
    "rnn cell": (lambda: seq(SERIES, L.RNN(L.LSTMCell(2))), "no such layer"),
    "bidirectional gru": (lambda: seq(SERIES, L.Bidirectional(L.GRU(2))), "reset_after"),
    "two directions": (lambda: seq(SERIES, two_directions()), "units"),
    "bidirectional states": (
        lambda: functional(lambda x: L.Bidirectional(L.LSTM(2, return_state=True))(x)[0], SERIES),
        "return_state",
    ),
    "rescaling by vector": (lambda: seq((2,), L.Rescaling([1.0, 2.0])), "scale=[1.0, 2.0]"),
    "vector flatten": (lambda: functional(lambda x: L.Flatten()(x), ()), "rank"),
    "dynamic flatten": (lambda: functional(lambda x: L.Flatten()(x), (None, 3)), "dynamic"),
    "normalization": (lambda: seq((3,), L.Normalization(mean=0.0, variance=1.0)), "no such layer"),
    "subtract": (lambda: functional(lambda a, b: L.Subtract()([a, b]), (3,), (3,)), "no such layer"),
    "resizing": (lambda: seq(IMAGE, L.Resizing(3, 3)), "no such layer"),
    "operation": (lambda: functional(lambda x: L.Dense(2)(x) * 2, (3,)), "is not a Keras layer"),
    "custom": (lambda: seq((3,), Custom()), "custom layer"),
    "custom of a known name": (lambda: seq((3,), Dense(2)), "custom layer"),
    "subclass": (lambda: _called(Subclassed()), "class of its own"),
    "nested subclass": (lambda: seq((3,), _called(Subclassed())), "class of its own"),
    "mixed precision": (lambda: seq((3,), L.Dense(2, dtype="mixed_float16")), "mixed_float16"),
    "float64": (lambda: seq((3,), L.Dense(2, dtype="float64"), dtype="float64"), "float"),
    "bytes": (lambda: seq(IMAGE, L.Rescaling(1.0), dtype="uint8"), "uint8"),
    "integers into Dense": (lambda: seq((3,), L.Dense(2), dtype="int32"), "int32"),
    "ranks": (lambda: functional(lambda a, b: L.Add()([a, b]), SERIES, (3,)), "rank"),
    "explicit mask": (explicit_mask, "mask"),
    "mask of another": (other_mask, "mask"),
    "masked pooling": (lambda: masked(L.GlobalAveragePooling1D()), "masked"),
    "masked softmax": (lambda: masked(L.Softmax()), "masked"),
    "masked flatten": (lambda: masked(L.Flatten()), "masked"),
    "masked sequences both ways": (lambda: masked(L.Bidirectional(L.LSTM(2, return_sequences=True))), "zeros"),
    "masked distributed": (lambda: masked(L.Reshape((5, 2, 2)), L.TimeDistributed(L.LSTM(2))), "masked"),
    "mask out of a nested model": (masked_nested, "mask"),
    "masked merge": (lambda: functional(_masked_sum, (5,), dtype="int32"), "masked"),
}


def _called(model):
    model(np.zeros((1, 3), np.float32))
    return model


def _masked_sum(x):
    e = L.Embedding(9, 4, mask_zero=True)
    return L.Add()([e(x), e(x)])


def written(model, tmp_path, shard_size="4MiB"):
    directory = tmp_path / "artifact"
    directory.mkdir()
    result = write(from_keras(model, tmp_path / "staging"), directory, {"shard-size": shard_size})
    return result, json.loads((directory / "model.json").read_text())


@pytest.mark.parametrize("name", REFUSED)
def test_what_tfjs_computes_differently_is_refused(name, tmp_path):
    build, reason = REFUSED[name]
    directory = tmp_path / "artifact"
    directory.mkdir()
    with pytest.raises(Refused) as refusal:
        write(from_keras(build(), tmp_path / "staging"), directory, {"shard-size": "4MiB"})
    assert reason in str(refusal.value)
    assert "use tfjs-graph" in str(refusal.value)
    assert not list(directory.iterdir())


def test_a_source_without_a_keras_model_is_refused(tmp_path):
    module = tf.Module()
    function = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec((None, 2), name="x")])
    source = from_callable(module, tmp_path, {"serve": function})
    with pytest.raises(Refused, match="not a Keras model"):
        write(source, tmp_path, {"shard-size": "4MiB"})


def test_names_are_those_tfjs_shows(tmp_path):
    x, other = Input((4,), name="image"), Input((4,), name="other")
    d = L.Dense(4, name="d")
    result, _ = written(Model([x, other], [d(x), d(other), d(x)]), tmp_path)
    (entry,) = result.entries.values()
    assert entry.path == "model.json"
    assert set(entry.names.inputs.values()) == {"image", "other"}
    assert list(entry.names.outputs.values()) == ["d", "d/1", "d/2"]


def test_one_tensor_listed_twice_gets_a_layer_of_its_own(tmp_path):
    x = Input((4,))
    y = L.Dense(4, name="d")(x)
    result, document = written(Model(x, [y, y]), tmp_path)
    assert list(result.entries.popitem()[1].names.outputs.values()) == ["d", "d_copy"]
    assert document["modelTopology"]["model_config"]["config"]["output_layers"][1] == ["d_copy", 0, 0]
    assert any("twice" in r for r in result.rewrites)


def test_weights_are_found_by_layer_at_any_depth(tmp_path):
    def encoder(name):
        i = Input((4,), name="i")
        return Model(i, L.Dense(3, name="d")(i), name=name)

    x = Input((4,), name="i")
    model = Model(x, L.Dense(2, name="d")(L.Concatenate()([encoder("a")(x), encoder("b")(x)])))
    result, document = written(model, tmp_path)
    names = [w["name"] for w in document["weightsManifest"][0]["weights"]]
    assert sorted(names) == [f"{d}/{v}" for d in ("d", "d_1", "d_2") for v in ("bias", "kernel")]
    assert len(result.rewrites) == 4


def test_bidirectional_weights(tmp_path):
    _, document = written(seq(SERIES, L.Bidirectional(L.LSTM(2, name="cell"), name="both")), tmp_path)
    names = [w["name"] for w in document["weightsManifest"][0]["weights"]]
    variables = ("kernel", "recurrent_kernel", "bias")
    assert names == [f"both/{side}_cell/{v}" for side in ("forward", "backward") for v in variables]


def test_training_only_configuration_is_left_out(tmp_path):
    layer = L.Dense(2, kernel_regularizer="l2", kernel_initializer="orthogonal", bias_constraint="non_neg", name="d")
    _, document = written(seq((3,), layer), tmp_path)
    config = document["modelTopology"]["model_config"]["config"]["layers"][1]["config"]
    assert config["kernel_initializer"]["class_name"] == "Zeros"
    assert not {"kernel_regularizer", "bias_constraint", "registered_name"} & set(config)


def test_the_batch_is_dynamic_even_if_the_model_was_built_with_one(tmp_path):
    _, document = written(Sequential([Input(batch_shape=(3, 4), name="x"), L.Dense(2)]), tmp_path)
    assert document["modelTopology"]["model_config"]["config"]["layers"][0]["config"]["batch_input_shape"] == [None, 4]


def test_a_reloaded_model_is_written_alike(tmp_path):
    model = masked(L.Dense(3), L.LSTM(4, return_sequences=True), L.Bidirectional(L.LSTM(2)))
    model.save(tmp_path / "m.keras")
    _, before = written(model, tmp_path)
    (tmp_path / "again").mkdir()
    _, after = written(keras.models.load_model(tmp_path / "m.keras"), tmp_path / "again")
    assert before == after


def test_options():
    assert FORMAT.options["shard-size"].check("1MiB") == 2**20
    with pytest.raises(ValueError, match="size"):
        FORMAT.options["shard-size"].check("big")
