"""Every rewrite of the TF.js layers writer, and every refusal, put to the test in TF.js itself.

A rewrite must agree with Keras, and must be needed: without it TF.js fails or computes something else. The same holds
for what is refused, written all the same. So no row is hoped for, and none is superstition.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from exporter import tensors
from exporter.formats import Refused
from exporter.formats._tfjs_keras_config import Refuse, refuse
from exporter.formats._tfjs_topology import Topology
from exporter.formats.tfjs_layers import write_with
from exporter.model import Entry
from exporter.protocol.client import Client
from exporter.reference import load_module
from exporter.source.loaders import from_keras

CASES = load_module(Path(__file__).with_name("tfjs_layer_cases.py"))
NODE = load_module(Path(__file__).with_name("tfjs_node.py"))
OPTIONS = {"shard-size": "4MiB"}


@pytest.fixture(scope="module", params=NODE.RUNTIMES)
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with NODE.started(request.param, tmp_path_factory.mktemp("node")) as client:
        yield client


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with NODE.started("tfjs-node-cpu", tmp_path_factory.mktemp("node")) as client:
        yield client


@dataclass(frozen=True)
class Made:
    path: Path
    entry: Entry
    rewrites: tuple[str, ...]
    inputs: tensors.Tensors
    reference: tensors.Tensors


def made(build: Callable[[], keras.Model], directory: Path, topology: Topology) -> Made:
    keras.utils.set_random_seed(1)
    (directory / "staging").mkdir()
    (directory / "artifact").mkdir()
    source = from_keras(NODE.randomize(build()), directory / "staging")
    written = write_with(topology, source, directory / "artifact", OPTIONS)
    ((key, entry),) = written.entries.items()
    rng = np.random.default_rng(3)
    inputs = {s.name: NODE.feed(s, 3, rng) for s in source.signatures[key].inputs}
    path = directory / "artifact" / entry.path
    return Made(path, entry, written.rewrites, inputs, source.reference(key, inputs))


def errors(client: Client, made: Made, directory: Path) -> dict[str, float]:
    """Output -> its distance from the reference. Raises RunError where TF.js fails."""
    names = made.entry.names
    with NODE.loaded(client, made.path, "tfjs-layers", made.entry.key) as handle:
        found = NODE.run(client, handle, {names.inputs[n]: v for n, v in made.inputs.items()}, directory)
    assert set(found) == {names.outputs[n] for n in made.reference}
    return {n: NODE.distance(found[names.outputs[n]], v) for n, v in made.reference.items()}


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    @functools.cache
    def make(name: str) -> Made:
        return made(CASES.REWRITTEN[name], tmp_path_factory.mktemp("case"), Topology())

    return make


@pytest.mark.parametrize("name", CASES.REWRITTEN)
def test_a_rewrite_computes_what_keras_computes(name, rewritten, worker, tmp_path):
    case = rewritten(name)
    assert case.rewrites
    wrong = {n: e for n, e in errors(worker, case, tmp_path).items() if not e < NODE.TOLERANCE}
    assert not wrong, case.rewrites


def overruled(model: Any, reason: str) -> None:
    """Takes a refusal and lets the writer go on."""


@pytest.mark.parametrize("name", CASES.REWRITTEN)
def test_without_its_rewrite_it_goes_wrong(name, cpu, tmp_path):
    assert goes_wrong(CASES.REWRITTEN[name], Topology(overruled, rewrites=()), cpu, tmp_path)


def goes_wrong(build: Callable[[], keras.Model], topology: Topology, client: Client, directory: Path) -> str:
    """How TF.js fails with a model, or what it computes otherwise; empty if it computes what Keras does."""
    try:
        wrong = errors(client, made(build, directory, topology), directory)
    except NODE.RunError as failure:
        return str(failure)
    return ", ".join(f"{n} is off by {e}" for n, e in wrong.items() if not e < NODE.TOLERANCE)
