"""What a file needs in the wasm backend: the live registries, and every model of the zoo without our kernels."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import Input, Model
from keras import layers as L

from exporter import resources
from exporter.formats import Refused, tfjs_graph, tfjs_layers
from exporter.formats._tfjs_calls import ASYNCHRONOUS
from exporter.formats._tfjs_kernels import BACKENDS, LACKING
from exporter.formats._tfjs_ops import KNOWN
from exporter.formats.registry import resolved_options
from exporter.model import recipe_of_id
from exporter.protocol.client import Client
from exporter.reference import load_module
from exporter.runtimes._node import node
from exporter.source.loaders import from_keras

ZOO = load_module(Path(__file__).with_name("tfjs_zoo.py"))
CASES = load_module(Path(__file__).with_name("tfjs_layer_cases.py"))
NODE = load_module(Path(__file__).with_name("tfjs_node.py"))
FORMATS = {"tfjs-graph": tfjs_graph, "tfjs-layers": tfjs_layers}
# ops that the executor composes of other kernels
COMPOSED = {"RFFT": "FFT", "IRFFT": "IFFT"}


def skipping(layer: L.Layer) -> Any:
    """A convolution whose strides skip the last row of what it is given."""
    x = Input((9, 9, 2) if "2D" in type(layer).__name__ else (9, 2))
    return lambda: Model(x, layer(x))


SKIPPING = {
    "skipping Conv1D": skipping(L.Conv1D(3, 2, strides=3, padding="same")),
    "skipping Conv2D": skipping(L.Conv2D(3, 2, strides=3, padding="same")),
    "skipping DepthwiseConv2D": skipping(L.DepthwiseConv2D(2, strides=3, padding="same")),
    "skipping SeparableConv2D": skipping(L.SeparableConv2D(3, 2, strides=3, padding="same")),
}
MODELS = {
    **{(n, f): build for n, build in ZOO.ZOO.items() for f in FORMATS},
    **{(n, "tfjs-layers"): build for table in (CASES.AS_IT_IS, CASES.REWRITTEN) for n, build in table.items()},
    **{(n, "tfjs-layers"): build for n, build in SKIPPING.items()},
}
SAMPLE = ("attention", "max_pool_3d", "conv3d_transpose", "lstm", "cnn", "dense", *SKIPPING)
LISTING = """
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm');
const names = (b) => tf.getKernelsForBackend(b).map((k) => k.kernelName);
console.log(JSON.stringify(Object.fromEntries(['cpu', 'webgl', 'wasm'].map((b) => [b, names(b)]))));
"""


def test_the_table_is_what_the_registries_say() -> None:
    done = subprocess.run(
        [node(), "-e", LISTING], cwd=resources.js_sources(), capture_output=True, text=True, check=True
    )
    kernels = {backend: set(names) for backend, names in json.loads(done.stdout).items()}
    assert set(kernels) == set(BACKENDS)
    anywhere = set().union(*kernels.values())
    for backend, own in kernels.items():
        missing = (anywhere - own) & KNOWN
        assert missing | {op for op, kernel in COMPOSED.items() if kernel in missing} == LACKING[backend]


CATEGORIES = """
const lists = ['control', 'dynamic', 'hash_table'].map((name) => (
  import(`./node_modules/@tensorflow/tfjs-converter/dist/operations/op_list/${name}.js`)));
Promise.all(lists).then((found) => (
  console.log(JSON.stringify(found.flatMap(({ json }) => json.map((op) => op.tfOpName))))));
"""


def test_the_asynchronous_ops_are_those_of_the_package() -> None:
    done = subprocess.run(
        [node(), "-e", CATEGORIES], cwd=resources.js_sources(), capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout)) == ASYNCHRONOUS


class Plain:
    """A wasm worker without our kernels; another one after each file that goes wrong, which may harm the process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = contextlib.ExitStack()
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("EXPORTER_WASM_KERNELS", "none")
                self._client = self._open.enter_context(NODE.started("tfjs-node-wasm", self._directory))
        return self._client

    def end(self) -> None:
        self._open.close()
        self._client = None


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    plain = Plain(tmp_path_factory.mktemp("worker"))
    yield plain
    plain.end()


@pytest.mark.parametrize(
    ("name", "format_name"),
    [pytest.param(*key, marks=[] if key[0] in SAMPLE else [pytest.mark.matrix]) for key in MODELS],
)
def test_without_our_kernels_wasm_fails_where_the_record_says_so(name, format_name, worker, tmp_path) -> None:
    """Both ways round: no file is wrong without a word, and none warns for nothing."""
    source = from_keras(NODE.built(MODELS[name, format_name]), tmp_path)
    (tmp_path / "artifact").mkdir()
    try:
        written = FORMATS[format_name].write(source, tmp_path / "artifact", resolved_options(recipe_of_id(format_name)))
    except Refused:
        assert name in {**ZOO.NOT_IN_LAYERS, **ZOO.NOT_IN_GRAPH}
        return
    ((key, entry),) = written.entries.items()
    inputs = {s.name: NODE.feed(s, 3, np.random.default_rng(3)) for s in source.signatures[key].inputs}
    try:
        with NODE.loaded(worker.client, tmp_path / "artifact" / entry.path, format_name, key) as handle:
            found = NODE.run(worker.client, handle, {entry.names.inputs[n]: v for n, v in inputs.items()}, tmp_path)
    except NODE.RunError:
        right = False
    else:
        reference = source.reference(key, inputs)
        right = all(NODE.distance(found[entry.names.outputs[n]], v) < NODE.TOLERANCE for n, v in reference.items())
    if not right:
        worker.end()
    # which call runs a graph, and by what names, is another need
    assert right == (not any("wasm-kernels" in need for need in written.needs)), written.needs


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_backend_can_be_asked_for(format_name, tmp_path) -> None:
    source = from_keras(NODE.built(ZOO.ZOO["max_pool_3d"]), tmp_path)
    (tmp_path / "artifact").mkdir()
    write = FORMATS[format_name].write
    with pytest.raises(Refused, match=r"needs exporter's wasm-kernels for MaxPool3D \(layer 'max_pool"):
        write(source, tmp_path / "artifact", resolved_options(recipe_of_id(f"{format_name}:backends=cpu+wasm")))
    assert not list((tmp_path / "artifact").iterdir())
    assert write(source, tmp_path / "artifact", resolved_options(recipe_of_id(f"{format_name}:backends=cpu"))).entries
