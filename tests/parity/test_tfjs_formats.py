"""Keras models written in both TF.js formats, run by the Node workers on both backends, against Keras itself.

All weights are random (biases and BatchNormalization statistics too), so that a swapped, transposed or forgotten
tensor shows. The models are in tfjs_zoo.py beside this file.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from exporter import tensors
from exporter.formats import Refused, tfjs_graph
from exporter.formats._tfjs_own import in_tensorflow
from exporter.model import Entry
from exporter.protocol.client import Client
from exporter.reference import load_module
from exporter.source.loaders import from_keras

MODELS = load_module(Path(__file__).with_name("tfjs_zoo.py"))
NODE = load_module(Path(__file__).with_name("tfjs_node.py"))


def build(name: str) -> Any:
    return NODE.built(MODELS.ZOO[name])


@pytest.fixture(scope="module", params=NODE.RUNTIMES)
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with NODE.started(request.param, tmp_path_factory.mktemp("node")) as client:
        yield client


@dataclass(frozen=True)
class Made:
    """A model written once, with inputs and reference outputs of two batch sizes; or why it was refused."""

    refused: str
    path: Path
    entry: Entry | None
    cases: list[tuple[tensors.Tensors, tensors.Tensors]]
    needs: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    @functools.cache
    def made(name: str, format_name: str) -> Made:
        directory = tmp_path_factory.mktemp("artifact")
        source = from_keras(build(name), tmp_path_factory.mktemp("staging"))
        try:
            written = importlib.import_module(f"exporter.formats.{format_name}").write(
                source, directory, {"shard-size": "1kB"}
            )
        except Refused as reason:
            assert not list(directory.iterdir()), "a refusal left files behind"
            return Made(str(reason), directory, None, [])
        ((key, entry),) = written.entries.items()
        specs = source.signatures[key].inputs
        cases = []
        for batch in (3, 1):
            inputs = {s.name: NODE.feed(s, batch, np.random.default_rng(batch)) for s in specs}
            cases.append((inputs, source.reference(key, inputs)))
        return Made("", directory / entry.path, entry, cases, written.needs)

    return made


@pytest.mark.parametrize("format_name", ["tfjs_graph", "tfjs_layers"])
@pytest.mark.parametrize("name", MODELS.ZOO)
def test_node_computes_what_keras_computes(name, format_name, make, worker, tmp_path):
    made = make(name, format_name)
    expected_refusal = (MODELS.NOT_IN_GRAPH if format_name == "tfjs_graph" else MODELS.NOT_IN_LAYERS).get(name, "")
    assert expected_refusal in made.refused
    assert bool(made.refused) == bool(expected_refusal), made.refused
    if made.refused:
        return
    names, wrong = made.entry.names, {}
    # the record says it of exactly those graphs that a page's predict throws on; layers models have no such call
    call = "executeAsync" if any("executeAsync" in need for need in made.needs) else "execute"
    call = call if format_name == "tfjs_graph" else ""
    with NODE.loaded(worker, made.path, format_name.replace("_", "-"), made.entry.key) as handle:
        for inputs, reference in made.cases:
            feeds = {names.inputs[n]: v for n, v in inputs.items()}
            found, ran = NODE.called(worker, handle, feeds, tmp_path)
            assert ran == call
            assert set(found) == {names.outputs[n] for n in reference}
            for output, expected in reference.items():
                error = NODE.distance(found[names.outputs[output]], expected)
                if not error < NODE.TOLERANCE:
                    wrong[f"{output} {expected.shape}"] = error
    assert not wrong


def test_unrolled_recurrent_layers_run_by_the_plain_call(worker, tmp_path):
    x = y = keras.Input((6, 3))
    for layer in (L.Masking(), L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GRU(3), L.Dense(2)):
        y = layer(y)
    source = from_keras(NODE.randomize(keras.Model(x, y)), tmp_path / "staging")
    (tmp_path / "artifact").mkdir()
    written = tfjs_graph.write(source, tmp_path / "artifact", {"unroll": "6"})
    assert not written.needs
    ((key, entry),) = written.entries.items()
    values = np.random.default_rng(3).normal(size=(2, 6, 3)).astype(np.float32)
    values[0, 4:] = values[1, 1] = 0
    inputs = {source.signatures[key].inputs[0].name: values}
    with NODE.loaded(worker, tmp_path / "artifact" / entry.path, "tfjs-graph", key) as handle:
        found, call = NODE.called(worker, handle, inputs, tmp_path)
    assert call == "execute"
    for output, expected in source.reference(key, inputs).items():
        assert NODE.distance(found[output], expected) < NODE.TOLERANCE


def sampled(names: Iterable[str]) -> list[Any]:
    """A few in `make test`, the others in `make test-matrix`."""
    sample = ("cnn", "lstm", "lookups", "attention")
    return [pytest.param(name, marks=[] if name in sample else [pytest.mark.matrix]) for name in names]


@pytest.mark.parametrize("name", sampled(n for n in MODELS.ZOO if not MODELS.NOT_IN_GRAPH.get(n)))
def test_tensorflow_computes_the_graph_of_tfjs(name, tmp_path):
    """With the constants that were taken out: loops, tables and fused kernels are put back as TensorFlow has them."""
    source = from_keras(build(name), tmp_path)
    ((key, signature),) = source.signatures.items()
    graph = tfjs_graph.converted(source, key)
    computed = in_tensorflow(graph, {w.name: w.data for w in graph.weights}, signature)
    inputs = {s.name: NODE.feed(s, 3, np.random.default_rng(3)) for s in signature.inputs}
    found, reference = computed(inputs), source.reference(key, inputs)
    assert set(found) == set(reference)
    for output, expected in reference.items():
        assert found[output].dtype == expected.dtype
        assert NODE.distance(found[output], expected) < NODE.TOLERANCE, output
