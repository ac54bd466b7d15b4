"""Keras 2 in Keras 3, and TF.js layers models back in Keras: against tf_keras, and against TF.js in Node.

The models are in keras2_zoo.py beside this file; those that TF.js builds itself in tfjs_made.mjs.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from exporter import tensors
from exporter.errors import SourceError
from exporter.protocol.client import Client, Ok
from exporter.runtimes._node import node, node_worker
from exporter.source import keras2_weights
from exporter.source.keras2 import rebuild
from exporter.source.keras2_layers import ACTIVATIONS, ALIASES, ROWS, NotExact, functions_of
from exporter.source.keras_signature import keras_call
from exporter.source.loaders import load_code
from exporter.source.tfjs_layers import load_tfjs
from exporter.source.tfjs_meaning import TFJS_CLASSES

HERE = Path(__file__).parent
ZOO = load_code(HERE / "keras2_zoo.py")
SAMPLE = ("dense", "lstm_states", "half_precision", "bilinear", "batch_norm_axis", "nested_and_shared", "masked")
TOLERANCE = 2e-6  # of the RMS of the output; Keras 3 runs the same kernels, but for sums in normalizations
TFJS_TOLERANCE = 1e-5


def outputs_of(model: Any, arrays: list[tensors.Array]) -> list[tensors.Array]:
    """What a Keras 3 model computes for its inputs in order."""
    call = keras_call(model)
    results = call.call(**{n: tf.constant(a, s.dtype) for (n, s), a in zip(call.specs.items(), arrays, strict=True)})
    return [results[name].numpy() for name in call.outputs]


def distance(found: tensors.Array, reference: tensors.Array) -> float:
    """Largest difference, in units of the reference's RMS; infinite for other shapes."""
    if found.shape != reference.shape:
        return float("inf")
    rms = np.sqrt(np.mean(np.square(reference, dtype=np.float64))) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - reference), initial=0) / rms)


def sampled(names: Iterable[str]) -> list[Any]:
    """A few in `make test`, the others in `make test-matrix`."""
    return [pytest.param(name, marks=[] if name in SAMPLE else [pytest.mark.matrix]) for name in names]


@pytest.mark.parametrize("name", sampled(ZOO.ZOO))
def test_keras_3_computes_what_keras_2_computes(name):
    old = ZOO.build(name)
    if name in ZOO.NOT_EXACT:
        with pytest.raises(NotExact) as refusal:
            rebuild(json.loads(old.to_json()))
        assert ZOO.NOT_EXACT[name] in str(refusal.value)
        assert str(refusal.value).startswith("layer ")
        return
    model = rebuild(json.loads(old.to_json())).model
    keras2_weights.assign(model, {key: v.numpy() for key, v in keras2_weights.named(old)}, name)
    assert bool(functions_of(model)) == (name in ZOO.NEEDS_FUNCTION)
    for batch in (3, 1):
        arrays = ZOO.feed(old, batch)
        for found, expected in zip(outputs_of(model, arrays), ZOO.call(old, arrays), strict=True):
            assert found.dtype == expected.dtype
            assert distance(found, expected) < TOLERANCE


@pytest.mark.matrix
def test_every_row_and_activation_is_run():
    text = ""
    for name in set(ZOO.ZOO) - set(ZOO.NOT_EXACT):
        text += ZOO.build(name).to_json()
    said = {word for word in ROWS if f'"class_name": "{word}"' in text}
    assert set(ROWS) == said
    assert set(ALIASES.values()) <= said
    told = {word for word in ACTIVATIONS if f'activation": "{word}"' in text}
    # tf_keras has no such names; TF.js has, and Keras 3's functions are run by test_tfjs_formats.py
    assert set(ACTIVATIONS) - told == {"log_softmax", "relu6", "silu"}


def test_a_class_of_an_older_version_means_the_same():
    old = ZOO.build("cnn")
    text = old.to_json().replace('"class_name": "BatchNormalization"', '"class_name": "BatchNormalizationV1"')
    model = rebuild(json.loads(text)).model
    assert [type(layer).__name__ for layer in model.layers].count("BatchNormalization") == 2


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(node_worker("tfjs-node-cpu")(), tmp_path_factory.mktemp("node") / "log")
    assert isinstance(client.request("hello", 60, protocol=1, runtime="tfjs-node-cpu"), Ok)
    yield client
    client.close()


def tfjs_outputs(client: Client, path: Path, names: list[str], arrays: list[tensors.Array]) -> Any:
    """What TF.js computes for a layers model; or what it says instead, as a string."""
    loaded = client.request("load", 60, artifact=str(path), format="tfjs-layers", signature="serving_default")
    if not isinstance(loaded, Ok):
        return str(loaded)
    given, got = path.parent / "in", path.parent / "out"
    tensors.save(given, dict(zip(names, arrays, strict=True)))
    done = client.request("run", 120, handle=loaded.value["handle"], inputs=str(given), outputs=str(got))
    client.request("unload", 30, handle=loaded.value["handle"])
    if not isinstance(done, Ok):
        return str(done)
    results = tensors.load(got)
    return [results[spec["name"]] for spec in loaded.value["outputs"]]


@pytest.mark.parametrize("name", sampled(sorted(set(ZOO.ZOO) - set(ZOO.NOT_EXACT))))
def test_a_published_layers_model_means_what_tfjs_computes(name, worker, tmp_path):
    old = ZOO.build(name)
    path, arrays = ZOO.publish(old, tmp_path), ZOO.feed(old, 1)
    found = tfjs_outputs(worker, path, ZOO.input_names(old), arrays)
    expected = ZOO.call(old, arrays)
    agrees = isinstance(found, list) and all(
        distance(f, e) < TFJS_TOLERANCE for f, e in zip(found, expected, strict=True)
    )
    assert isinstance(found, str) == (name in ZOO.NOT_RUN), found
    assert ZOO.NOT_RUN.get(name, "") in str(found)
    refusal = {**ZOO.DIFFERENT, **ZOO.NOT_RESTORED}.get(name)
    # strict: a reason that is gone must show
    assert agrees == (name not in ZOO.NOT_RUN and name not in ZOO.DIFFERENT)
    if refusal is not None:
        with pytest.raises(SourceError) as error:
            load_tfjs(path)
        assert refusal in str(error.value)
        return
    translation, notes = load_tfjs(path)
    restored = outputs_of(translation.model, arrays)
    for output, reference in zip(restored, found if agrees else expected, strict=True):
        assert distance(output, reference) < TFJS_TOLERANCE
    assert any("TF.js 4.22 cannot run" in note for note in notes) == (name in ZOO.NOTED)


@pytest.fixture(scope="module")
def made_by_tfjs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    packages = HERE.parents[1] / "runtimes" / "js"
    subprocess.run([node(), HERE / "tfjs_made.mjs", packages, directory], check=True, capture_output=True)
    return directory


@pytest.mark.parametrize("name", ["images", "series", "branches"])
def test_a_model_that_tfjs_saved(name, made_by_tfjs):
    translation, _ = load_tfjs(made_by_tfjs / name / "model.json")
    values = json.loads((made_by_tfjs / name / "values.json").read_text())
    arrays = [np.array(v, np.float32) for v in values["inputs"]]
    for found, expected in zip(outputs_of(translation.model, arrays), values["outputs"], strict=True):
        assert distance(found, np.array(expected, np.float32)) < TFJS_TOLERANCE


def test_the_classes_of_tfjs_are_those_it_registers(made_by_tfjs):
    registered = set(json.loads((made_by_tfjs / "classes.json").read_text()))
    assert set(TFJS_CLASSES) <= registered
    # an initializer of that name; and layers that load and fail at every run
    other = {"Identity", "Resizing", "CenterCrop"}
    assert not (set(ROWS) - set(TFJS_CLASSES) - other) & registered
    assert other <= registered


def test_regularizers_and_constraints_are_kept():
    old = ZOO.build("dense")
    layer = rebuild(json.loads(old.to_json())).model.layers[0]
    assert isinstance(layer.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(layer.kernel_initializer, keras.initializers.GlorotUniform)
