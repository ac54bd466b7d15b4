"""One suite for the workers of every language: the same request has the same answer, by kind and by code.

What a worker says to a wrong request decides between red and "the runtime cannot": a difference between languages is a
false verdict in one of them.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors
from exporter.protocol.client import schema, violation
from exporter.protocol.process import WorkerProcess, start
from exporter.runtimes import Runtime
from exporter.runtimes.registry import runtimes

VECTORS = Path(__file__).parents[2] / "vectors" / "identity"
RUNTIMES = {n: r for n, r in runtimes().items() if isinstance(r, Runtime)}
Record = dict[str, Any]

BUILD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf
module = tf.Module()
spec = tf.TensorSpec([None, 3], "float32", name="x")
module.f = tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])
tf.saved_model.save(module, sys.argv[1] + "/saved-model", signatures={"serve": module.f})
x = keras.Input((3,), name="x")
keras.Model(x, keras.layers.Identity(name="y")(x)).save(sys.argv[1] + "/model.keras")
"""


class Worker:
    """A worker spoken to without the host's client, which would not send a wrong request. One line, one answer."""

    def __init__(self, process: WorkerProcess, runtime: Runtime, artifact: Path, scratch: Path) -> None:
        self.process = process
        self.runtime = runtime
        self.artifact = artifact
        self.scratch = scratch
        self.ids = itertools.count(1)

    @property
    def format(self) -> str:
        return self.runtime.formats[0]

    def ask(self, op: str, **fields: Any) -> Record:
        number = next(self.ids)
        os.write(self.process.requests, json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            chunk = os.read(self.process.replies, 65536)
            assert chunk, f"the worker ended at {op}: {self.process.log.read_text()[-2000:]}"
            line += chunk
        reply: Record = json.loads(line)
        assert violation("reply", reply) is None, reply
        assert reply["id"] == number
        return reply

    def load(self, **changes: Any) -> Record:
        key = "serve" if self.format == "saved-model" else "serving_default"
        fields = {"artifact": str(self.artifact), "format": self.format, "signature": key, **changes}
        return self.ask("load", **{k: v for k, v in fields.items() if v is not None})

    def run(self, loaded: Record, content: tensors.Tensors | bytes | None, **changes: Any) -> Record:
        """`content` becomes the file of inputs, under the artifact's own name for "x"; None for no file."""
        source = self.scratch / "in.safetensors"
        source.unlink(missing_ok=True)
        if isinstance(content, bytes):
            source.write_bytes(content)
        elif content is not None:
            (own,) = (spec["name"] for spec in loaded["inputs"])
            tensors.save(source, {own if n == "x" else n: a for n, a in content.items()})
        out = str(self.scratch / "out.safetensors")
        fields = {"handle": loaded["handle"], "inputs": str(source), "outputs": out, **changes}
        return self.ask("run", **{k: v for k, v in fields.items() if v is not None})

    def opened(self) -> Record:
        reply = self.load()
        assert "ok" in reply, reply
        return dict(reply["ok"])


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("conformance")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(BUILD), str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Runtime], WorkerProcess]]:
    """The process of a runtime; those that share one follow each other, and the last one is ended before the next."""
    running: dict[str, WorkerProcess] = {}

    def find(runtime: Runtime) -> WorkerProcess:
        name = runtime.process or runtime.name
        if name not in running:
            for process in running.values():
                process.kill()
            running.clear()
            log = tmp_path_factory.mktemp(name) / "log"
            running[name] = start(runtime.command(), log, runtime.environment)
        return running[name]

    yield find
    for process in running.values():
        process.kill()


@pytest.fixture(scope="module", params=RUNTIMES)
def worker(
    request: pytest.FixtureRequest,
    built: Path,
    processes: Callable[[Runtime], WorkerProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> Worker:
    runtime = RUNTIMES[request.param]
    artifact = {
        "onnx": VECTORS / "onnx" / "float32.onnx",
        "tflite": VECTORS / "tflite" / "float32.tflite",
        "tfjs-graph": VECTORS / "tfjs-graph" / "float32" / "model.json",
        "saved-model": built / "saved-model",
        "keras": built / "model.keras",
    }[runtime.formats[0]]
    made = Worker(processes(runtime), runtime, artifact, tmp_path_factory.mktemp("scratch"))
    hello = made.ask("hello", protocol=1, runtime=runtime.name)
    assert violation("ok-hello", hello["ok"]) is None
    return made


GOOD = np.array([[1, -2, 3.5], [0, 1e-3, 7]], np.float32)


def code(reply: Record) -> str:
    """The kind of an answer in one word: ok, unsupported, or the code of an error."""
    if "error" in reply:
        assert reply["error"]["message"]
        return str(reply["error"]["code"])
    return next(kind for kind in ("ok", "unsupported") if kind in reply)


# request -> how it is made, and the one answer; docs/protocol.md lists the codes
WITHOUT_MODEL: dict[str, tuple[Callable[[Worker], Record], str]] = {
    "another-protocol": (lambda w: w.ask("hello", protocol=2, runtime=w.runtime.name), "protocol-version"),
    "no-protocol": (lambda w: w.ask("hello", runtime=w.runtime.name), "protocol-version"),
    "another-runtime": (lambda w: w.ask("hello", protocol=1, runtime="nobody"), "wrong-runtime"),
    "no-runtime": (lambda w: w.ask("hello", protocol=1), "wrong-runtime"),
    "unknown-op": (lambda w: w.ask("dance"), "unknown-op"),
    "op-of-the-language": (lambda w: w.ask("__init__"), "unknown-op"),
    "load-without-artifact": (lambda w: w.load(artifact=None), "bad-request"),
    "load-without-format": (lambda w: w.load(format=None), "bad-request"),
    "load-a-number": (lambda w: w.load(artifact=7), "bad-request"),
    "load-another-format": (lambda w: w.load(format="nonsense"), "unsupported"),
    "load-nothing": (lambda w: w.load(artifact=str(w.scratch / "absent")), "no-artifact"),
    "run-nothing": (lambda w: w.ask("run", handle="zz", inputs="i", outputs="o"), "unknown-handle"),
    "run-without-handle": (lambda w: w.ask("run", inputs="i", outputs="o"), "bad-request"),
    "unload-nothing": (lambda w: w.ask("unload", handle="zz"), "unknown-handle"),
    "unload-without-handle": (lambda w: w.ask("unload"), "bad-request"),
}
WITH_MODEL: dict[str, tuple[Callable[[Worker, Record], Record], str]] = {
    "good": (lambda w, m: w.run(m, {"x": GOOD}), "ok"),
    "good-other-batch": (lambda w, m: w.run(m, {"x": GOOD[:1]}), "ok"),
    "without-outputs": (lambda w, m: w.run(m, {"x": GOOD}, outputs=None), "bad-request"),
    "inputs-a-list": (lambda w, m: w.run(m, {"x": GOOD}, inputs=[]), "bad-request"),
    "no-file": (lambda w, m: w.run(m, None), "tensor-file"),
    "empty-file": (lambda w, m: w.run(m, b""), "tensor-file"),
    "cut-file": (lambda w, m: w.run(m, tensors_bytes(w)[:-4]), "tensor-file"),
    "no-tensors": (lambda w, m: w.run(m, {}), "input-names"),
    "another-name": (lambda w, m: w.run(m, {"z": GOOD}), "input-names"),
    "one-name-too-many": (lambda w, m: w.run(m, {"x": GOOD, "z": GOOD}), "input-names"),
    "another-dtype": (lambda w, m: w.run(m, {"x": GOOD.astype(np.int32)}), "input-dtype"),
    "one-dimension-less": (lambda w, m: w.run(m, {"x": GOOD[0]}), "input-shape"),
    "one-dimension-more": (lambda w, m: w.run(m, {"x": GOOD[None]}), "input-shape"),
    "another-length": (lambda w, m: w.run(m, {"x": GOOD[:, :2].copy()}), "input-shape"),
}


def tensors_bytes(worker: Worker) -> bytes:
    path = worker.scratch / "whole.safetensors"
    tensors.save(path, {"x": GOOD})
    return path.read_bytes()


@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_a_request_that_needs_no_model(worker: Worker, name: str) -> None:
    ask, expected = WITHOUT_MODEL[name]
    assert code(ask(worker)) == expected


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_request_about_a_model(worker: Worker, name: str) -> None:
    ask, expected = WITH_MODEL[name]
    loaded = worker.opened()
    try:
        assert code(ask(worker, loaded)) == expected
        # whatever was asked, the next good request is answered
        assert code(worker.run(loaded, {"x": GOOD})) == "ok"
        ((_, got),) = tensors.load(worker.scratch / "out.safetensors").items()
        assert np.array_equal(got, GOOD)
    finally:
        assert code(worker.ask("unload", handle=loaded["handle"])) == "ok"


def test_a_signature_that_there_is_not(worker: Worker) -> None:
    named = {"tflite", "saved-model"} & {worker.format}  # the others hold one signature and have no names for it
    assert code(worker.load(signature="other")) == ("no-signature" if named else "ok")


def test_a_handle_ends_with_its_model(worker: Worker) -> None:
    first, second = worker.opened(), worker.opened()
    assert first["handle"] != second["handle"]
    assert code(worker.ask("unload", handle=first["handle"])) == "ok"
    assert code(worker.ask("unload", handle=first["handle"])) == "unknown-handle"
    assert code(worker.run(first, {"x": GOOD})) == "unknown-handle"
    assert code(worker.run(second, {"x": GOOD})) == "ok"
    # another `hello` ends what was open
    assert code(worker.ask("hello", protocol=1, runtime=worker.runtime.name)) == "ok"
    assert code(worker.run(second, {"x": GOOD})) == "unknown-handle"


def test_every_runtime_says_what_its_record_says(worker: Worker) -> None:
    hello = worker.ask("hello", protocol=1, runtime=worker.runtime.name)["ok"]
    assert hello["runtime"] == worker.runtime.name
    assert set(hello["formats"]) == set(worker.runtime.formats)


def test_the_page_lists_every_op_and_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
    words = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    ops = set(schema()["$defs"]["request"]["properties"]["op"]["enum"])
    codes = {found for _, found in (*WITHOUT_MODEL.values(), *WITH_MODEL.values())} - {"ok", "unsupported"}
    # what only a broken worker can answer, and what depends on the format
    assert words == ops | codes | {"output-names", "no-signature"}
