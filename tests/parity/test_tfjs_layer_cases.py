"""Every rewrite of the TF.js layers writer, and every refusal, put to the test in TF.js itself.

A rewrite must agree with Keras, and must be needed: without it TF.js fails or computes something else. The same holds
for what is refused, written all the same. So no row is hoped for, and none is superstition.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from exporter import tensors
from exporter.formats._tfjs_layer_table import LAYERS
from exporter.formats._tfjs_topology import Topology
from exporter.formats.tfjs_layers import write_with
from exporter.model import Entry
from exporter.protocol.client import Client
from exporter.reference import load_module
from exporter.source.loaders import from_keras

pytestmark = pytest.mark.matrix  # hundreds of models: `make test-matrix`; the zoo is in `make test`
CASES = load_module(Path(__file__).with_name("tfjs_layer_cases.py"))
REFUSED = load_module(Path(__file__).with_name("tfjs_refused.py"))
NODE = load_module(Path(__file__).with_name("tfjs_node.py"))
OPTIONS = {"shard-size": "4MiB"}


@pytest.fixture(scope="module", params=NODE.RUNTIMES)
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with NODE.started(request.param, tmp_path_factory.mktemp("node")) as client:
        yield client


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Client]]:
    """One client of every backend."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(NODE.started(r, tmp_path_factory.mktemp("node"))) for r in NODE.RUNTIMES]


@dataclass(frozen=True)
class Made:
    path: Path
    entry: Entry
    rewrites: tuple[str, ...]
    cases: list[tuple[tensors.Tensors, tensors.Tensors]]


def made(build: Callable[[], keras.Model], directory: Path, topology: Topology) -> Made:
    keras.utils.set_random_seed(1)
    (directory / "staging").mkdir()
    (directory / "artifact").mkdir()
    source = from_keras(NODE.randomize(build()), directory / "staging")
    written = write_with(topology, source, directory / "artifact", OPTIONS)
    ((key, entry),) = written.entries.items()
    cases = []
    for seed in (1, 2):  # twice: what TF.js keeps from one run must not show in the next
        rng = np.random.default_rng(seed)
        inputs = {s.name: NODE.feed(s, 3, rng) for s in source.signatures[key].inputs}
        cases.append((inputs, source.reference(key, inputs)))
    return Made(directory / "artifact" / entry.path, entry, written.rewrites, cases)


def errors(client: Client, made: Made, directory: Path) -> dict[str, float]:
    """Output -> its largest distance from the reference. Raises RunError where TF.js fails."""
    names, worst = made.entry.names, dict.fromkeys(made.entry.names.outputs, 0.0)
    with NODE.loaded(client, made.path, "tfjs-layers", made.entry.key) as handle:
        for inputs, reference in made.cases:
            found = NODE.run(client, handle, {names.inputs[n]: v for n, v in inputs.items()}, directory)
            assert set(found) == {names.outputs[n] for n in reference}
            for name, expected in reference.items():
                worst[name] = max(worst[name], NODE.distance(found[names.outputs[name]], expected))
    return worst


def test_every_row_of_the_table_is_run(cases):
    zoo = load_module(Path(__file__).with_name("tfjs_zoo.py"))
    models = [zoo.ZOO[n]() for n in zoo.ZOO if n not in zoo.NOT_IN_LAYERS]
    run = {c for table, name in passing() for c in classes(json.loads(cases(table, name).path.read_text()))}
    run |= {type(layer).__name__ for m in models for layer in m._flatten_layers(include_self=False)}
    assert set(LAYERS) <= run


def classes(document: Any) -> set[str]:
    """All class names in a topology."""
    if isinstance(document, list):
        return set().union(*map(classes, document))
    if not isinstance(document, dict):
        return set()
    return {str(document.get("class_name"))}.union(*map(classes, document.values()))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    @functools.cache
    def make(table: str, name: str) -> Made:
        return made(getattr(CASES, table)[name], tmp_path_factory.mktemp("case"), Topology())

    return make


def passing() -> list[tuple[str, str]]:
    return [(table, name) for table in ("AS_IT_IS", "REWRITTEN") for name in getattr(CASES, table)]


@pytest.mark.parametrize(("table", "name"), passing())
def test_it_computes_what_keras_computes(table, name, cases, worker, tmp_path):
    case = cases(table, name)
    noted = [r for r in case.rewrites if "does nothing in inference" not in r and "is called" not in r]
    # dictionaries are there for their names, and the difference in them is a rewrite
    assert bool(noted) == (table != "AS_IT_IS" or name in ("dictionaries", "nested inputs")), noted
    wrong = {n: e for n, e in errors(worker, case, tmp_path).items() if not e < NODE.TOLERANCE}
    assert not wrong, case.rewrites


def overruled(model: Any, reason: str) -> None:
    """Takes a refusal and lets the writer go on."""


@pytest.mark.parametrize("name", sorted(set(CASES.REWRITTEN) - CASES.ALSO_AS_IT_IS))
def test_without_its_rewrite_it_goes_wrong(name, node, tmp_path):
    assert goes_wrong(CASES.REWRITTEN[name], lambda: Topology(overruled, rewrites=()), node, tmp_path)


@pytest.mark.parametrize("name", sorted(set(REFUSED.REFUSED) - REFUSED.UNWRITABLE))
def test_what_is_refused_goes_wrong(name, node, tmp_path):
    build, reason = REFUSED.REFUSED[name]
    said: list[str] = []
    assert goes_wrong(build, lambda: Topology(lambda _, sentence: said.append(sentence)), node, tmp_path)
    assert any(reason in s for s in said), said


def goes_wrong(
    build: Callable[[], keras.Model], topology: Callable[[], Topology], clients: list[Client], directory: Path
) -> str:
    """How TF.js fails with a model on some backend, or what it computes otherwise; empty if it is right on all."""
    case = made(build, directory, topology())
    for client in clients:
        try:
            wrong = errors(client, case, directory)
        except (NODE.RunError, tensors.TensorFileError) as failure:
            return str(failure)
        if found := [f"{n} is off by {e}" for n, e in wrong.items() if not e < NODE.TOLERANCE]:
            return ", ".join(found)
    return ""
