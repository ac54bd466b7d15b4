"""TF.js graph: signatures, determinism, rewrites, and what is refused with the node and the way out."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from keras import Input, Model, Sequential
from keras import layers as L

from exporter import resources
from exporter.formats import Refused
from exporter.formats._tfjs_check import check
from exporter.formats._tfjs_graphdef import narrow
from exporter.formats._tfjs_ops import FUSABLE_ACTIVATIONS, KNOWN, LIMITS
from exporter.formats.registry import resolved_options
from exporter.formats.tfjs_graph import folders, write
from exporter.model import recipe_of_id
from exporter.runtimes._node import node
from exporter.source.loaders import from_callable, from_keras

SIZE = {"shard-size": "4MiB"}


def traced(function, *specs):
    """A one-signature tf.Module source over inputs `a`, `b` …"""
    named = [tf.TensorSpec(s.shape, s.dtype, name=n) for n, s in zip("abc", specs, strict=False)]
    return {"serve": tf.function(lambda *xs: {"y": function(*xs)}, input_signature=named)}


def source_of(function, tmp_path, *specs):
    return from_callable(tf.Module(), tmp_path / "staging", traced(function, *specs))


def written(source, tmp_path):
    directory = tmp_path / "artifact"
    directory.mkdir()
    result = write(source, directory, SIZE)
    (entry,) = result.entries.values()
    return result, json.loads((directory / entry.path).read_text())


def ops(document):
    return {n["op"] for n in document["modelTopology"]["node"]}


FLOATS = tf.TensorSpec((None, 4, 5))
IMAGES = tf.TensorSpec((2, 4, 4, 3))
INTEGERS = tf.TensorSpec((None, 4), tf.int32)
# name -> (function, its input, what the refusal must say)
REFUSED = {
    "unknown op": (lambda x: tf.roll(x, 1, 1), FLOATS, "no op Roll"),
    "float64": (lambda x: tf.cast(tf.cast(x, tf.float64) * 2, tf.float32), FLOATS, "float64"),
    "float16": (lambda x: tf.cast(tf.cast(x, tf.float16) * 2, tf.float32), FLOATS, "float16"),
    "byte arithmetic": (lambda x: x + x, tf.TensorSpec((None,), tf.uint8), "uint8"),
    "large integers": (lambda x: x + (2**31 + 5), tf.TensorSpec((None,), tf.int64), "outside the int32"),
    "truncated division": (lambda x: tf.raw_ops.Div(x=x, y=3), INTEGERS, "truncates"),
    "truncated modulo": (lambda x: tf.raw_ops.Mod(x=x, y=3), INTEGERS, "dividend"),
    "integer mean": (lambda x: tf.reduce_mean(x, 1), INTEGERS, "float32"),
    "band of dynamic size": (lambda x: tf.linalg.band_part(x, -1, 0), tf.TensorSpec((None, None)), "MatrixBandPart"),
    "clip by tensor": (
        lambda x: tf.raw_ops.ClipByValue(t=x, clip_value_min=-tf.abs(x), clip_value_max=tf.abs(x) / 2),
        FLOATS,
        "single number",
    ),
    "explicit pooling padding": (
        lambda x: tf.nn.max_pool2d(x, 2, 1, [[0, 0], [1, 0], [0, 1], [0, 0]]),
        IMAGES,
        "explicit padding",
    ),
    "pooling over channels": (lambda x: tf.nn.max_pool(x, (1, 1, 1, 3), (1, 1, 1, 3), "VALID"), IMAGES, "over space"),
    "random strings": (lambda x: tf.strings.lower(x), tf.TensorSpec((None,), tf.string), "no op StringLower"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_tfjs_computes_differently_is_refused(name, tmp_path):
    function, spec, reason = REFUSED[name]
    directory = tmp_path / "artifact"
    directory.mkdir()
    with pytest.raises(Refused) as refusal:
        write(source_of(function, tmp_path, spec), directory, SIZE)
    assert reason in str(refusal.value)
    assert "use saved-model or onnx" in str(refusal.value)
    assert not list(directory.iterdir())


@pytest.mark.parametrize(
    ("layer", "reason"),
    [(L.Conv2D(4, 3, groups=2), "grouped"), (L.UpSampling2D(interpolation="bicubic"), "bicubic")],
)
def test_layers_tfjs_has_no_kernel_for_are_refused_by_name(layer, reason, tmp_path):
    model = Sequential([Input((6, 6, 4)), layer])
    with pytest.raises(Refused, match=reason) as refusal:
        write(from_keras(model, tmp_path), tmp_path, SIZE)
    assert layer.name in str(refusal.value)


@pytest.mark.parametrize(
    ("op", "attribute", "value", "reason"),
    [
        ("Conv2D", "data_format", b"NCHW", "channels last"),
        ("FusedBatchNormV3", "is_training", True, "stored statistics"),
        ("Conv2DBackpropInput", "dilations", [1, 2, 2, 1], "dilation"),
    ],
)
def test_attributes_the_executors_ignore(op, attribute, value, reason):
    graph = tf.compat.v1.GraphDef()
    node = graph.node.add(name="n", op=op)
    if isinstance(value, bytes):
        node.attr[attribute].s = value
    elif isinstance(value, bool):
        node.attr[attribute].b = value
    else:
        node.attr[attribute].list.i.extend(value)
    with pytest.raises(Refused, match=reason):
        check(graph)


def test_every_limit_is_of_a_known_op():
    assert set(LIMITS) <= KNOWN
    assert FUSABLE_ACTIVATIONS <= KNOWN


def test_constants_narrow_only_exactly():
    assert narrow(np.array([-(2**31), 2**31 - 1]), "n").dtype == np.int32
    assert narrow(np.array([0.5, np.nan, np.inf]), "n").dtype == np.float32
    assert narrow(np.array(7, np.uint8), "n").shape == ()
    for values in (np.array([2**31]), np.array([0.1]), np.array([1e300])):
        with pytest.raises(Refused, match="'n'"):
            narrow(values, "n")


def test_signature_is_keyed_by_our_names(tmp_path):
    b, a = Input((4,), name="b_in"), Input((3,), name="a_in")
    model = Model([b, a], {"z": L.Dense(2)(b), "y": L.Dense(2)(a)})
    result, document = written(from_keras(model, tmp_path / "staging"), tmp_path)
    ((key, entry),) = result.entries.items()
    assert entry.path == f"{key}/model.json"
    assert set(entry.names.inputs) == set(document["signature"]["inputs"]) == {"a_in", "b_in"}
    assert set(entry.names.outputs) == set(document["signature"]["outputs"]) == {"y", "z"}
    assert document["signature"]["inputs"]["a_in"] == {
        "name": "a_in:0",
        "dtype": "DT_FLOAT",
        "tensorShape": {"dim": [{"size": "-1"}, {"size": "3"}]},
    }
    assert document["format"] == "graph-model"


def test_outputs_that_share_a_tensor_keep_a_node_each(tmp_path):
    x = Input((4,), name="x")
    y = L.Dense(4)(x)
    _, document = written(from_keras(Model(x, {"p": y, "q": y, "r": x}), tmp_path / "staging"), tmp_path)
    tensors = [o["name"] for o in document["signature"]["outputs"].values()]
    assert len(set(tensors)) == 3


def test_an_input_nothing_reads_is_kept(tmp_path):
    a, b = Input((4,), name="a"), Input((4,), name="b")
    _, document = written(from_keras(Model([a, b], L.Dense(2)(a)), tmp_path / "staging"), tmp_path)
    assert {"a", "b"} <= {n["name"] for n in document["modelTopology"]["node"] if n["op"] == "Placeholder"}


def test_no_control_edges_and_no_values_in_the_topology(tmp_path):
    model = Sequential([Input((7, 4)), L.LSTM(3, return_sequences=True), L.GRU(2)])
    _, document = written(from_keras(model, tmp_path / "staging"), tmp_path)
    nodes = document["modelTopology"]["node"]
    assert not [i for n in nodes for i in n.get("input", []) if i.startswith("^")]
    assert "NoOp" not in ops(document)
    constants = [n for n in nodes if n["op"] == "Const"]
    assert all(set(n["attr"]["value"]["tensor"]) <= {"dtype", "tensorShape"} for n in constants)
    assert [n["name"] for n in constants] == [w["name"] for w in document["weightsManifest"][0]["weights"]]


def test_bias_and_activation_are_fused_only_where_kernels_know_them(tmp_path):
    # zero biases would be optimised away
    layers = [L.Dense(4, a, bias_initializer="ones") for a in ("relu", "tanh", "leaky_relu", "linear")]
    _, document = written(from_keras(Sequential([Input((4,)), *layers]), tmp_path / "staging"), tmp_path)
    fused = [
        n["attr"]["fused_ops"]["list"]["s"] for n in document["modelTopology"]["node"] if n["op"] == "_FusedMatMul"
    ]
    decoded = sorted([base64.b64decode(s).decode() for s in f] for f in fused)
    assert decoded == [["BiasAdd"], ["BiasAdd"], ["BiasAdd", "LeakyRelu"], ["BiasAdd", "Relu"]]
    assert "Tanh" in ops(document)


def test_batch_normalization_goes_into_the_weights(tmp_path):
    def block(x, layer, axis, activation):
        norm = L.BatchNormalization(axis=axis, moving_mean_initializer="ones")
        return activation(norm(layer(x)))

    x = Input((12, 12, 3))
    y = block(x, L.Conv2D(4, 3, use_bias=False), -1, L.ReLU())
    y = block(y, L.Conv2D(4, 3, bias_initializer="ones"), 3, L.ReLU(6.0))
    y = block(y, L.DepthwiseConv2D(3, use_bias=False), -1, L.ReLU())
    y = block(y, L.DepthwiseConv2D(3, use_bias=False), -1, L.LeakyReLU())
    _, document = written(from_keras(Model(x, y), tmp_path / "staging"), tmp_path)
    found = sorted(
        n["op"] for n in document["modelTopology"]["node"] if n["op"] not in ("Const", "Placeholder", "Identity")
    )
    # LeakyRelu stays: the executor of the fused depthwise op does not read its slope
    assert found == ["FusedDepthwiseConv2dNative"] * 2 + ["LeakyRelu"] + ["_FusedConv2D"] * 2


def test_rewrites_are_reported(tmp_path):
    result, document = written(source_of(lambda x: tf.cumsum(x, -1), tmp_path, FLOATS), tmp_path)
    assert any("Cumsum" in r for r in result.rewrites)
    assert "Cumsum" in ops(document)


def test_a_table_becomes_an_initializer(tmp_path):
    words = Input((3,), dtype="string", name="words")
    model = Model(words, L.StringLookup(vocabulary=["b", "a"])(words))
    _, document = written(from_keras(model, tmp_path / "staging"), tmp_path)
    initializer = {n["op"]: n for n in document["modelInitializer"]["node"]}
    (table,) = [n for n in document["modelTopology"]["node"] if n["op"] == "HashTableV2"]
    assert table["name"] == initializer["HashTableV2"]["name"] == initializer["LookupTableImportV2"]["input"][0]
    names = {w["name"] for w in document["weightsManifest"][0]["weights"]}
    assert set(initializer["LookupTableImportV2"]["input"][1:]) <= names


def test_a_signature_that_cannot_be_written_leaves_the_others(tmp_path):
    functions = {
        "good/one": traced(lambda x: x * 2, FLOATS)["serve"],
        "bad": traced(REFUSED["unknown op"][0], FLOATS)["serve"],
    }
    directory = tmp_path / "artifact"
    directory.mkdir()
    frozen = {k: from_callable(tf.Module(), tmp_path, {"serve": f}) for k, f in functions.items()}
    both = SimpleNamespace(
        keras_model=None,
        signatures={k: s.signatures["serve"] for k, s in frozen.items()},
        frozen=lambda name: frozen[name].frozen("serve"),
        concrete=lambda name: frozen[name].concrete("serve"),
        derived={},
        keep_float=(),
        metadata={},
    )
    result = write(both, directory, SIZE)
    assert [e.path for e in result.entries.values()] == ["good_one/model.json"]
    assert set(result.unavailable) == {"bad"}
    assert "Roll" in result.unavailable["bad"]
    assert [p.name for p in directory.iterdir()] == ["good_one"]


def test_folders_are_distinct_and_plain():
    found = folders(["a/b", "a:b", "A_b", "..", ""])
    assert found == {"a/b": "a_b", "a:b": "a_b-2", "A_b": "A_b-3", "..": "_", "": "_-2"}


WRITER = """
import sys; from pathlib import Path
import keras, numpy as np
from keras import layers as L
from exporter.source.loaders import from_keras
from exporter.formats import tfjs_graph, tfjs_layers

def cnn():
    x = keras.Input((8, 8, 3), name="x")
    y = L.BatchNormalization()(L.Conv2D(4, 3, activation="gelu")(x))
    return keras.Model(x, [L.Dense(3, "tanh", name="p")(L.Flatten()(y)), L.GlobalMaxPooling2D(name="q")(y)])

def loops():
    x = keras.Input((7, 5), name="x")
    y = L.LSTM(4, return_sequences=True)(x)
    y = L.Bidirectional(L.LSTM(4, return_sequences=True))(y)
    return keras.Model(x, L.Dense(3)(L.GRU(6, reset_after=False)(y)))

def masked():
    x = keras.Input((None,), dtype="int32", name="tokens")
    y = L.Embedding(20, 5, mask_zero=True)(x)
    return keras.Model(x, L.Dense(3)(L.GRU(6)(L.MultiHeadAttention(2, 4)(y, y))))

keras.utils.set_random_seed(3)
for build, modules in ((cnn, (tfjs_graph, tfjs_layers)), (loops, (tfjs_graph, tfjs_layers)), (masked, (tfjs_graph,))):
    source = from_keras(build(), Path(sys.argv[1]) / "staging")
    source.metadata = {"labels": ["a", "b"]}
    for module in modules:
        for dtype in ("none", "uint8"):
            directory = Path(sys.argv[1]) / build.__name__ / module.FORMAT.name / dtype
            directory.mkdir(parents=True)
            names = "plain" if dtype == "none" else "hashed"
            module.write(source, directory, {"shard-size": "1kB", "quantize": dtype, "shard-names": names})
"""


@pytest.mark.matrix
def test_two_processes_write_the_same_bytes(tmp_path):
    """Models with loops too: an optimiser's default passes call their nodes and order them anew in each process."""
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", WRITER, str(tmp_path / seed)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    files = [{p.relative_to(tmp_path / s): p.read_bytes() for p in (tmp_path / s).rglob("*.*")} for s in ("1", "2")]
    assert sum(p.name == "model.json" for p in files[0]) == 10
    assert len(files[0]) > 30
    assert files[0] == files[1]


PREDICT = """
const tf = require('@tensorflow/tfjs');
const { readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const [path] = process.argv.slice(1);
const { weightsManifest, ...json } = JSON.parse(readFileSync(path, 'utf8'));
const files = weightsManifest.flatMap((group) => group.paths.map((p) => readFileSync(join(dirname(path), p))));
const bytes = Buffer.concat(files);
const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const weightSpecs = weightsManifest.flatMap((group) => group.weights);
const handler = tf.io.fromMemory({ ...json, weightSpecs, weightData });
tf.loadGraphModel(handler).then((model) => {
  const found = model.predict({ x: tf.ones([2, 3]) });
  const shapes = found.shape ?? Object.entries(found).map(([name, { shape }]) => [name, shape]);
  console.log(JSON.stringify(shapes));
});
"""


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [("named", [["wide", [2, 5]], ["narrow", [2, 1]]]), ("tensors", [["0", [2, 1]], ["1", [2, 5]]])],
)
def test_predict_gives_outputs_by_name_if_asked(outputs, expected, tmp_path) -> None:
    x = Input((3,), name="x")
    source = from_keras(Model(x, {"wide": L.Dense(5)(x), "narrow": L.Dense(1)(x)}), tmp_path)
    (tmp_path / "artifact").mkdir()
    recipe = recipe_of_id(f"tfjs-graph:outputs={outputs}")
    ((_, entry),) = write(source, tmp_path / "artifact", resolved_options(recipe)).entries.items()
    command = [node(), "-e", PREDICT, str(tmp_path / "artifact" / entry.path)]
    done = subprocess.run(command, cwd=resources.js_sources(), capture_output=True, text=True, check=True)
    assert sorted(json.loads(done.stdout.splitlines()[-1])) == sorted(expected)
