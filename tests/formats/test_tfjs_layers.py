"""TF.js layers: names, topology, and one refusal per construct TF.js would compute differently."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from keras import Input, Model, Sequential
from keras import layers as L

from exporter.formats import Refused
from exporter.formats.tfjs_layers import FORMAT, write
from exporter.reference import load_module
from exporter.source.loaders import from_callable, from_keras

CASES = load_module(Path(__file__).parents[1] / "parity" / "tfjs_refused.py")
SERIES = (5, 3)


def seq(shape, *layers, dtype="float32"):
    return Sequential([Input(shape, dtype=dtype), *layers])


def masked(*layers):
    return seq((5,), L.Embedding(9, 4, mask_zero=True), *layers, dtype="int32")


def written(model, tmp_path, shard_size="4MiB"):
    directory = tmp_path / "artifact"
    directory.mkdir()
    result = write(from_keras(model, tmp_path / "staging"), directory, {"shard-size": shard_size})
    return result, json.loads((directory / "model.json").read_text())


@pytest.mark.parametrize("name", CASES.REFUSED)
def test_what_tfjs_computes_differently_is_refused(name, tmp_path):
    build, reason = CASES.REFUSED[name]
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


def test_names_that_tfjs_does_not_take_are_changed(tmp_path):
    """The artifact says which, and still maps the signature's names to those in the file."""
    a, b = Input((5, 3), name="a b"), Input((5, 3), name="_c")
    both = L.Bidirectional(L.LSTM(2, name=">x"), name="both>ways")
    steps = L.TimeDistributed(L.Dense(2, name="x"), name=">>")
    made, document = written(Model([a, b], [both(a), steps(b)]), tmp_path)
    names = made.entries["serving_default"].names
    assert dict(names.inputs) == {"a_b": "a_b", "c": "layer_c"}
    assert list(names.outputs.values()) == ["both_ways", "layer__"]
    assert any("layer 'a b' is called 'a_b'" in rewrite for rewrite in made.rewrites)
    stored = {w["name"] for group in document["weightsManifest"] for w in group["weights"]}
    assert "both_ways/forward_layer_x/kernel" in stored


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


def layer_config(document, index=1):
    return document["modelTopology"]["model_config"]["config"]["layers"][index]["config"]


def test_training_configuration_is_kept_where_tfjs_has_the_same(tmp_path):
    layer = L.Dense(
        2,
        kernel_initializer="he_uniform",
        bias_initializer="he_normal",
        kernel_regularizer="l2",
        bias_regularizer=keras.regularizers.OrthogonalRegularizer(),
        kernel_constraint=keras.constraints.MaxNorm(1.5, axis=0),
        bias_constraint=keras.constraints.MaxNorm(axis=[0]),
        activity_regularizer="l1",
    )
    result, document = written(seq((3,), layer), tmp_path)
    config = layer_config(document)
    assert config["kernel_initializer"] == {"class_name": "HeUniform", "config": {"seed": None}}
    assert config["bias_initializer"]["class_name"] == "Zeros"  # TF.js draws normal ones with another deviation
    assert config["kernel_regularizer"] == {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}
    assert config["kernel_constraint"] == {"class_name": "MaxNorm", "config": {"max_value": 1.5, "axis": 0}}
    assert config["bias_regularizer"] is None
    assert config["bias_constraint"] is None
    left_out = [r for r in result.rewrites if "left out" in r]
    assert [r.split(": ")[1].split(" ")[0] for r in left_out] == [
        *("activity_regularizer", "bias_regularizer", "bias_constraint")
    ]


def test_recurrent_layers_start_from_zeros_rather_than_a_slow_orthogonal_matrix(tmp_path):
    _, document = written(seq(SERIES, L.LSTM(2)), tmp_path)
    config = layer_config(document)
    assert config["recurrent_initializer"]["class_name"] == "Zeros"
    assert config["kernel_initializer"]["class_name"] == "GlorotUniform"


def test_a_rewrite_is_recorded_with_what_it_became(tmp_path):
    result, document = written(seq((7, 2), L.Conv1D(3, 2, padding="causal", activation="celu", name="c")), tmp_path)
    (rewrite,) = result.rewrites
    assert "layer 'c' (Conv1D)" in rewrite
    assert "causal" in rewrite
    assert rewrite.endswith("it is now Reshape, ZeroPadding2D, Reshape, Conv1D, Activation")
    layers = document["modelTopology"]["model_config"]["config"]["layers"]
    assert [layer["class_name"] for layer in layers[1:]] == rewrite.split("it is now ")[1].split(", ")
    assert layers[-1]["name"] == "c"  # the end of the chain is what others refer to
    assert len({layer["name"] for layer in layers}) == len(layers)


def test_layers_padded_with_zeros_are_frozen(tmp_path):
    _, document = written(seq((7, 4), L.Conv1D(4, 2, groups=2), L.Conv1D(4, 2)), tmp_path)
    grouped, plain = (layer_config(document, i) for i in (1, 2))
    assert not grouped["trainable"]
    assert plain["trainable"]


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
