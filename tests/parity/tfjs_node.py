"""What tests that run models in TF.js share: random weights, inputs, and a Node worker that loads and runs files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from exporter import tensors
from exporter.model import TensorSpec
from exporter.protocol.client import Client, Ok
from exporter.runtimes._node import node_worker

RUNTIMES = ("tfjs-node-cpu", "tfjs-node-wasm")
TOLERANCE = 1e-5  # of the RMS of the output


def built(build: Callable[[], keras.Model]) -> keras.Model:
    """A model that is the same whenever it is built, with random weights."""
    keras.utils.set_random_seed(1)
    return randomize(build())


def randomize(model: keras.Model) -> keras.Model:
    """Random weights, biases and statistics, so that a swapped, transposed or forgotten tensor shows."""
    rng = np.random.default_rng(5)
    for v in model.variables:
        if v.dtype != "float32" or type(v).__name__ == "SeedGenerator" or v.path.endswith(("/mean", "/variance")):
            continue  # the statistics of Normalization are those it was adapted to
        scale = 1 / np.sqrt(max(1, np.prod(v.shape[:-1]))) if len(v.shape) > 1 else 0.3
        value = rng.normal(0, scale, v.shape)
        if "variance" in v.path:
            value = rng.uniform(0.5, 1.5, v.shape)
        v.assign(value + ("gamma" in v.path))
    return model


def feed(spec: TensorSpec, batch: int, rng: np.random.Generator) -> tensors.Array:
    """Random values for one input; dynamic dimensions are 9, whole numbers are below 8."""
    shape = [batch if i == 0 else (9 if d is None else d) for i, d in enumerate(spec.shape)]
    if spec.dtype == "string":
        return tensors.as_strings(rng.choice(np.array(["a", "b", "ü", "zz", ""]), shape))
    if spec.dtype != "float32":
        values = rng.integers(0, 8, shape).astype(spec.dtype)
        return values * (rng.random(shape) > 0.4)  # zero is what masks take for padding
    return rng.normal(0, 1, shape).astype(np.float32)


@contextlib.contextmanager
def started(runtime: str, directory: Path) -> Iterator[Client]:
    client = Client(node_worker(runtime)(), directory / "log")
    reply = client.request("hello", 60, protocol=1, runtime=runtime)
    assert isinstance(reply, Ok), reply
    yield client
    client.close()


class RunError(Exception):
    """TF.js did not load or run a file; the message is its own."""


@contextlib.contextmanager
def loaded(client: Client, path: Path, format_name: str, key: str) -> Iterator[str]:
    reply = client.request("load", 60, artifact=str(path), format=format_name, signature=key)
    if not isinstance(reply, Ok):
        raise RunError(str(reply))
    yield reply.value["handle"]
    client.request("unload", 30, handle=reply.value["handle"])


def run(client: Client, handle: str, inputs: tensors.Tensors, directory: Path) -> tensors.Tensors:
    return called(client, handle, inputs, directory)[0]


def called(client: Client, handle: str, inputs: tensors.Tensors, directory: Path) -> tuple[tensors.Tensors, str]:
    """The outputs, and which call of TF.js gave them (nothing for layers models)."""
    tensors.save(directory / "in", inputs)
    reply = client.request("run", 120, handle=handle, inputs=str(directory / "in"), outputs=str(directory / "out"))
    if not isinstance(reply, Ok):
        raise RunError(str(reply))
    return tensors.load(directory / "out"), reply.value.get("call", "")


def distance(found: tensors.Array, reference: tensors.Array) -> float:
    """Largest difference, in units of the reference's RMS; infinite for another shape or dtype.

    TF.js' only integers are int32, which stand for all others up to 64 bits, as the worker declares.
    """
    whole = found.dtype == np.int32 and reference.dtype.kind in "iu"
    if found.shape != reference.shape or (found.dtype != reference.dtype and not whole):
        return float("inf")
    rms = np.sqrt(np.mean(np.square(reference, dtype=np.float64))) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - reference), initial=0) / rms)
