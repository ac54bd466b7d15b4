"""Keras models written in both TF.js formats, run by the Node workers on both backends, against Keras itself.

All weights are random (biases and BatchNormalization statistics too), so that a swapped, transposed or forgotten
tensor shows. The models are in tfjs_zoo.py beside this file.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from exporter import tensors
from exporter.formats import Refused
from exporter.formats._tfjs_layer_table import LAYERS
from exporter.model import Entry
from exporter.protocol.client import Client, Ok
from exporter.runtimes._node import node_worker
from exporter.source.loaders import from_keras, load_code

TOLERANCE = 1e-5  # of the RMS of the output
RUNTIMES = ("tfjs-node-cpu", "tfjs-node-wasm")
MODELS = load_code(Path(__file__).parent / "tfjs_zoo.py")


@pytest.fixture(scope="module", params=RUNTIMES)
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Client]]:
    client = Client(node_worker(request.param)(), tmp_path_factory.mktemp("node") / "log")
    reply = client.request("hello", 60, protocol=1, runtime=request.param)
    assert isinstance(reply, Ok), reply
    yield request.param, client
    client.close()


@dataclass(frozen=True)
class Made:
    """A model written once, with inputs and reference outputs of two batch sizes; or why it was refused."""

    refused: str
    path: Path
    entry: Entry | None
    cases: list[tuple[tensors.Tensors, tensors.Tensors]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    @functools.cache
    def made(name: str, format_name: str) -> Made:
        directory = tmp_path_factory.mktemp("artifact")
        source = from_keras(MODELS.build(name), tmp_path_factory.mktemp("staging"))
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
            inputs = {s.name: MODELS.feed(s, batch, np.random.default_rng(batch)) for s in specs}
            cases.append((inputs, source.reference(key, inputs)))
        return Made("", directory / entry.path, entry, cases)

    return made


@pytest.mark.parametrize("format_name", ["tfjs_graph", "tfjs_layers"])
@pytest.mark.parametrize("name", MODELS.ZOO)
def test_node_computes_what_keras_computes(name, format_name, make, worker, tmp_path):
    runtime, client = worker
    made = make(name, format_name)
    expected_refusal = (MODELS.NOT_IN_GRAPH if format_name == "tfjs_graph" else MODELS.NOT_IN_LAYERS).get(name, "")
    assert expected_refusal in made.refused
    assert bool(made.refused) == bool(expected_refusal), made.refused
    if made.refused:
        return
    names, wrong = made.entry.names, {}
    with loaded(client, made.path, format_name.replace("_", "-"), made.entry.key) as handle:
        for inputs, reference in made.cases:
            found = run(client, handle, {names.inputs[n]: v for n, v in inputs.items()}, tmp_path)
            assert set(found) == {names.outputs[n] for n in reference}
            for output, expected in reference.items():
                error = distance(found[names.outputs[output]], expected)
                if not error < TOLERANCE:
                    wrong[f"{output} {expected.shape}"] = error
    # strict: a TF.js in which these are right must show
    assert bool(wrong) == (runtime == "tfjs-node-wasm" and name in MODELS.WRONG_IN_WASM), wrong


@contextlib.contextmanager
def loaded(client: Client, path: Path, format_name: str, key: str) -> Iterator[str]:
    reply = client.request("load", 60, artifact=str(path), format=format_name, signature=key)
    assert isinstance(reply, Ok), reply
    yield reply.value["handle"]
    client.request("unload", 30, handle=reply.value["handle"])


def run(client: Client, handle: str, inputs: tensors.Tensors, directory: Path) -> tensors.Tensors:
    tensors.save(directory / "in", inputs)
    reply = client.request("run", 120, handle=handle, inputs=str(directory / "in"), outputs=str(directory / "out"))
    assert isinstance(reply, Ok), reply
    return tensors.load(directory / "out")


def distance(found: tensors.Array, reference: tensors.Array) -> float:
    """Largest difference, in units of the reference's RMS."""
    assert found.shape == reference.shape
    rms = np.sqrt(np.mean(np.square(reference, dtype=np.float64))) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - reference), initial=0) / rms)


def test_every_row_of_the_layers_table_is_run():
    used = set()
    for name in set(MODELS.ZOO) - {k for k, v in MODELS.NOT_IN_LAYERS.items() if v}:
        model = MODELS.ZOO[name]()
        used |= {type(layer).__name__ for layer in model._flatten_layers(include_self=False, recursive=True)}
    assert set(LAYERS) <= used
