"""Layers that stay float: exactly their weights are float in the file, read back from what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from exporter.formats import Refused, Written
from exporter.formats import _onnx_weights as onnx_weights
from exporter.formats import _tflite_weights as tflite_weights
from exporter.formats._onnx_layers import layers_of_nodes
from exporter.formats.registry import format_named, parse_recipe, quantized_formats, resolved_options
from exporter.selection import chosen, fingerprint
from exporter.source.loaders import SERVING, from_keras, from_module, from_saved_model
from exporter.source.source import Source
from exporter.tensors import Array, Tensors

pytestmark = pytest.mark.matrix  # every recipe over four models: `make test-matrix`
RECIPES = quantized_formats()
EDGES = ["tflite-int8:io=int8", "tflite-int8:io=uint8", "tflite-int4:mode=dynamic"]


def cnn() -> keras.Model:
    """Names that are each other's beginnings, and a layer that is called twice inside of another model."""
    keras.utils.set_random_seed(3)
    image = keras.Input((12, 12, 3), name="image")
    block = keras.Sequential([layers.Conv2D(32, 3, name="conv"), layers.Conv2D(16, 1, name="conv_1")], name="block")
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv")(image)
    x = layers.Conv2D(32, 3, padding="same", name="conv_1")(x)
    x = layers.Add(name="add")([block(x), block(layers.Rescaling(0.5)(x))])
    x = layers.Dense(64, activation="relu", name="hidden")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(24, activation="softmax", name="out")(x), name="cnn")


def recurrent() -> keras.Model:
    keras.utils.set_random_seed(3)
    steps = keras.Input((4, 40), name="steps")
    x = layers.TimeDistributed(layers.Dense(44, name="inner"), name="each")(steps)
    x = layers.Bidirectional(layers.LSTM(24, return_sequences=True, name="lstm"), name="both")(x)
    x = layers.GRU(28, name="gru")(x)
    return keras.Model(steps, layers.Dense(36, name="out")(x), name="recurrent")


def opened(model: keras.Model, directory: Path) -> Source:
    source = from_keras(model, directory)
    source.stage()
    return prepared(source, tuple(model.inputs[0].shape)[1:])


def prepared(source: Source, shape: tuple[int, ...]) -> Source:
    ((name, call),) = source.calls.items()
    (key,) = call.specs
    rows = {key: np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)}
    source.calibration = {name: rows}
    source.examples = {name: {key: rows[key][:1]}}
    return source


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Source]:
    made: dict[str, Callable[[], keras.Model]] = {"cnn": cnn, "recurrent": recurrent}
    return {name: opened(build(), tmp_path_factory.mktemp(name)) for name, build in made.items()}


def write(source: Source, recipe: str, keep: list[str], directory: Path) -> Written:
    directory.mkdir(parents=True, exist_ok=True)
    source.keep_float = chosen(keep, source.layers) if keep else ()
    found = parse_recipe(recipe)
    return format_named(found.format).write(source, directory, resolved_options(found))


def stored_kernels(directory: Path) -> dict[str, Array]:
    """dtype and values of all weights with at least two dimensions, by a name of their own."""
    if (directory / "model.onnx").exists():
        import onnx

        weights = onnx_weights.weights(onnx.load(str(directory / "model.onnx")))
        return {f"{w.dtype}:{name}": w.values for name, w in weights.items() if w.values.ndim > 1}
    found = tflite_weights.weights((directory / "model.tflite").read_bytes())
    return {f"{w.dtype}:{name}": w.values for name, w in found.items() if w.values.ndim > 1}


def float_layers(model: keras.Model, directory: Path) -> tuple[set[str], set[str]]:
    """Layers whose kernels are in the file value for value as float32, and those whose kernels are not.

    Nothing here looks at a name of the file: kernels are told by their values.
    """
    stored: set[str] = set()
    for name, values in stored_kernels(directory).items():
        if name.startswith(("FLOAT:", "FLOAT32:")):
            stored |= {fingerprint(values), *(fingerprint(part) for part in values)}
    exact, rounded = set(), set()
    for layer in model._flatten_layers(include_self=False, recursive=True):
        for weight in layer.weights if not list(layer._flatten_layers(include_self=False)) else ():
            if weight.ndim > 1 and weight.path.rpartition("/")[2] in ("kernel", "recurrent_kernel"):
                (exact if fingerprint(np.asarray(weight)) in stored else rounded).add(weight.path)
    return exact, rounded


# int4 of ONNX is for matrices alone
def _quantizable(recipe: str, paths: set[str]) -> set[str]:
    return {p for p in paths if "conv" not in p} if recipe.startswith("onnx-int4") else paths


@pytest.mark.parametrize("recipe", [*RECIPES, *EDGES])
@pytest.mark.parametrize(
    ("keep", "paths"),
    [
        (["/conv", "out"], {"conv/kernel", "out/kernel"}),
        (["block/conv_1", "hidden"], {"block/conv_1/kernel", "hidden/kernel"}),
        (["block", "out"], {"block/conv/kernel", "block/conv_1/kernel", "out/kernel"}),
    ],
)
def test_exactly_the_layers_that_were_named_are_float(
    models: Mapping[str, Source], recipe: str, keep: list[str], paths: set[str], tmp_path: Path
) -> None:
    source = models["cnn"]
    written = write(source, recipe, keep, tmp_path)
    exact, rounded = float_layers(source.keras_model, tmp_path)
    assert len(exact | rounded) == 6
    assert _quantizable(recipe, exact) == _quantizable(recipe, paths)
    assert written.quantization["kept_float"] == list(source.keep_float)
    assert not rounded & exact


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_float_unless_it_is_named(models: Mapping[str, Source], recipe: str, tmp_path: Path) -> None:
    written = write(models["cnn"], recipe, [], tmp_path)
    exact, _ = float_layers(models["cnn"].keras_model, tmp_path)
    assert _quantizable(recipe, exact) == set()
    assert written.quantization["kept_float"] == []


@pytest.mark.parametrize("recipe", ["tflite-dynamic", "tflite-int8", "tflite-float16"])
def test_one_direction_of_a_recurrent_layer(models: Mapping[str, Source], recipe: str, tmp_path: Path) -> None:
    source = models["recurrent"]
    written = write(source, recipe, ["forward_lstm", "each"], tmp_path)
    exact, _ = float_layers(source.keras_model, tmp_path)
    assert {path.removesuffix("kernel").removesuffix("recurrent_") for path in exact} == {
        "each/inner/",
        "both/forward_lstm/lstm_cell/",
    }, exact
    assert written.quantization["kept_float"] == ["each", "both/forward_lstm"]


@pytest.mark.parametrize("recipe", ["onnx-dynamic", "onnx-float16"])
def test_a_node_of_both_directions_says_so(models: Mapping[str, Source], recipe: str, tmp_path: Path) -> None:
    source = models["recurrent"]
    written = write(source, recipe, ["forward_lstm", "each"], tmp_path)
    exact, rounded = float_layers(source.keras_model, tmp_path)
    both = {f"both/{way}_lstm/lstm_cell/{kind}kernel" for way in ("forward", "backward") for kind in ("", "recurrent_")}
    assert exact - {p for p in exact if p.startswith("gru")} == {"each/inner/kernel", *both}
    assert "out/kernel" in rounded
    assert written.quantization["kept_float"] == ["each", "both/forward_lstm"]
    assert any("stands for several layers: both/backward_lstm" in words for words in written.rewrites)


def test_the_file_computes_the_same_with_float_neighbours(models: Mapping[str, Source], tmp_path: Path) -> None:
    """float16 with half of the layers float: no cast is doubled, none rounds between two float layers."""
    import onnx
    import onnxruntime

    write(models["cnn"], "onnx-float16", ["/conv", "/conv_1"], tmp_path)
    model = onnx.load(str(tmp_path / "model.onnx"))
    names = [output for node in model.graph.node for output in node.output]
    assert len(names) == len(set(names))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = models["cnn"].calibration[SERVING]
    (got,) = session.run(None, rows)
    (expected,) = models["cnn"].reference(SERVING, rows).values()
    np.testing.assert_allclose(got, expected, atol=2e-3)
    owned = layers_of_nodes(model, models["cnn"].traced(SERVING))
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and owned.get(n.name) == {"conv_1"}]
    makers = {output: node for node in model.graph.node for output in node.output}
    assert convolutions
    assert all(makers[node.input[0]].op_type != "Cast" for node in convolutions)


def test_tensorflow_as_the_maker_is_refused(models: Mapping[str, Source], tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"TFLiteConverter quantizes all layers or none .* use maker=ai-edge"):
        write(models["cnn"], "tflite-int8:maker=tensorflow", ["hidden"], tmp_path)


def test_a_layer_that_is_nowhere_in_the_file_is_refused(models: Mapping[str, Source], tmp_path: Path) -> None:
    source = opened(
        keras.Sequential([keras.Input((64,)), layers.Dense(64, name="dense"), layers.Dropout(0.5, name="dropout")]),
        tmp_path,
    )
    with pytest.raises(Refused, match=r"no operation of the files carries the name of a layer .* \(dropout\)"):
        write(source, "tflite-dynamic", ["dropout"], tmp_path / "out")


def test_a_model_object_that_only_its_graph_could_be_sent_of(models: Mapping[str, Source], tmp_path: Path) -> None:
    """What continues from the staged SavedModel of a Keras model still knows its layers."""
    source = models["recurrent"]
    other = prepared(from_saved_model(source.saved_model, source.staging, None), (4, 40))
    assert other.keras_model is None
    assert other.layers == source.layers
    write(other, "onnx-dynamic", ["both"], tmp_path)
    exact, _ = float_layers(source.keras_model, tmp_path)
    assert {p for p in exact if p.startswith("both")}
    assert not any(p.startswith(("each", "out")) for p in exact)


class Scoped(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = [tf.Variable(np.random.default_rng(i).normal(size=(48, 48)).astype(np.float32)) for i in (0, 1)]

    @tf.function(input_signature=[tf.TensorSpec([None, 48], name="x")])
    def scoped(self, x: tf.Tensor) -> tf.Tensor:
        with tf.name_scope("encoder"):
            x = tf.nn.relu(tf.matmul(x, self.weights[0]))
        with tf.name_scope("decoder"):
            return tf.matmul(x, self.weights[1])

    @tf.function(input_signature=[tf.TensorSpec([None, 48], name="x")])
    def bare(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self.weights[0])


@pytest.mark.parametrize("recipe", ["tflite-dynamic", "onnx-dynamic"])
def test_a_graph_has_its_name_scopes_for_layers(recipe: str, tmp_path: Path) -> None:
    module = Scoped()
    source = prepared(from_module(module, {SERVING: module.scoped}, tmp_path), (48,))
    source.stage()
    assert set(source.layers) == {"encoder", "decoder"}
    write(source, recipe, ["decoder"], tmp_path / "out")
    dtypes = {fingerprint(v): n.partition(":")[0] for n, v in stored_kernels(tmp_path / "out").items()}
    assert "INT8" in dtypes.values()
    assert dtypes[fingerprint(module.weights[1].numpy())].startswith("FLOAT")
    assert fingerprint(module.weights[0].numpy()) not in dtypes


def test_a_graph_without_scopes_has_no_names(tmp_path: Path) -> None:
    module = Scoped()
    assert from_module(module, {SERVING: module.bare}, tmp_path).layers == ()


def test_recurrent_nodes_of_a_graph_cannot_be_told_apart(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4, 40), name="steps"), layers.LSTM(24, name="lstm"), layers.Dense(36)])
    model.export(str(tmp_path / "exported"), verbose=False)
    source = prepared(from_saved_model(tmp_path / "exported", tmp_path, SERVING), (4, 40))
    source.stage()
    with pytest.raises(Refused, match="LSTM nodes of ONNX lose the name"):
        write(source, "onnx-dynamic", ["dense*"], tmp_path / "out")


def test_tracing_leaves_no_trace(models: Mapping[str, Source]) -> None:
    for source in models.values():
        assert not [
            layer.name
            for layer in source.keras_model._flatten_layers(include_self=True, recursive=True)
            if "call" in vars(layer)
        ]


# -- sensitivity


@pytest.mark.parametrize("recipe", ["tflite-int8", "tflite-int8:io=uint8", "tflite-dynamic"])
def test_sensitivity_is_what_keeping_the_layer_gives(models: Mapping[str, Source], recipe: str, tmp_path: Path) -> None:
    source = models["cnn"]
    source.keep_float = ()
    found = parse_recipe(recipe)
    measure = format_named(found.format).sensitivity
    assert measure is not None
    rows: Mapping[str, Tensors] = source.calibration
    measured: dict[str, Any] = measure(source, resolved_options(found), rows)
    assert [layer for row in measured["layers"] for layer in row["layers"]] == [
        "conv",
        "conv_1",
        "block/conv",
        "block/conv_1",
        "hidden",
        "out",
    ]
    write(source, recipe, [], tmp_path / "all")
    assert measured["bytes"] == (tmp_path / "all" / "model.tflite").stat().st_size
    for row in measured["layers"]:
        write(source, recipe, [f"/{row['layers'][0]}"], tmp_path / "one")
        assert row["bytes"] == (tmp_path / "one" / "model.tflite").stat().st_size
        assert 0 < row["noise"] < 1
    assert min(row["noise"] for row in measured["layers"]) < measured["noise"]


def test_ranges_are_measured_once_for_all_recipes(models: Mapping[str, Source], tmp_path: Path) -> None:
    from exporter.formats import _tflite_ai_edge as ai_edge
    from exporter.formats.tflite_quantized import base

    source = models["cnn"]
    source.derived.pop(next((k for k in source.derived if k.startswith("ranges-")), ""), None)
    for recipe in ("tflite-int8", "tflite-int16x8"):
        write(source, recipe, [], tmp_path / recipe)
    ranges = [value for key, value in source.derived.items() if key.startswith("ranges-")]
    assert len(ranges) == 1
    # and they are those that each recipe would have measured by itself
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager

    made = base(source, ai_edge.Precision(8, activations=8))
    for bits in (8, 16):
        manager = RecipeManager()
        manager.load_quantization_recipe(ai_edge.recipe_of(ai_edge.Precision(8, bits)))
        own = ai_edge._ranges(Calibrator(bytearray(made.files["model.tflite"])), manager, source.calibration)
        assert own
        for tensor, measured in own.items():
            for key in ("min", "max"):
                np.testing.assert_array_equal(measured[key], ranges[0][tensor][key], err_msg=tensor)
