"""The loop of every Python worker: exceptions become the right record, and noise never reaches one."""

from __future__ import annotations

import errno
import json
import sys
import textwrap
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors
from exporter.errors import SourceError
from exporter.model import TensorSpec
from exporter.protocol.client import Client, NotSupported, Ok, RemoteError, violation
from exporter.workers.serve import Hosted, RequestError, RuntimeHandler, Unsupported, error_reply


class Double:
    inputs = (TensorSpec("x", "float32", (None,)),)
    outputs = (TensorSpec("y", "float32", (None,)),)

    def run(self, inputs: tensors.Tensors) -> tensors.Tensors:
        return {"y": inputs["x"] * 2}


def handler() -> RuntimeHandler:
    return RuntimeHandler(
        "double", lambda path, format, key: Double(), versions={"v": "1"}, formats=("f",), dtypes=("float32",)
    )


def test_the_operations_answer_by_the_schema(tmp_path: Path) -> None:
    made = handler()
    assert violation("ok-hello", made("hello", {"protocol": 1, "runtime": "double"})) is None
    loaded = made("load", {"artifact": ".", "format": "f", "signature": "s"})
    assert violation("ok-load", loaded) is None
    into, out = tmp_path / "i", tmp_path / "o"
    tensors.save(into, {"x": np.array([1, 2], np.float32)})
    ran = made("run", {"handle": loaded["handle"], "inputs": str(into), "outputs": str(out)})
    assert violation("ok-run", ran) is None
    assert tensors.load(out)["y"].tolist() == [2, 4]
    assert made("unload", {"handle": loaded["handle"]}) == {}
    with pytest.raises(RequestError, match="no loaded model has the handle"):
        made("run", {"handle": loaded["handle"], "inputs": str(into), "outputs": str(out)})


def test_two_artifacts_are_open_at_once() -> None:
    made = handler()
    request = {"artifact": ".", "format": "f", "signature": "s"}
    assert made("load", request)["handle"] != made("load", request)["handle"]


def test_one_process_answers_for_the_runtime_that_hello_named(tmp_path: Path) -> None:
    class Triple(Double):
        def run(self, inputs: tensors.Tensors) -> tensors.Tensors:
            return {"y": inputs["x"] * 3}

    triple = RuntimeHandler(
        "triple", lambda path, format, key: Triple(), versions={}, formats=("f",), dtypes=("float32",)
    )
    hosted = Hosted({"double": handler(), "triple": triple})
    tensors.save(tmp_path / "i", {"x": np.array([1], np.float32)})
    handles = {}
    for name, result in (("double", 2), ("triple", 3), ("double", 2)):
        assert hosted("hello", {"protocol": 1, "runtime": name})["runtime"] == name
        assert not any(_runs(hosted, old, tmp_path) for old in handles.get(name, ()))
        handle = hosted("load", {"artifact": ".", "format": "f", "signature": "s"})["handle"]
        handles.setdefault(name, []).append(handle)
        assert _runs(hosted, handle, tmp_path)
        assert tensors.load(tmp_path / "o")["y"].tolist() == [result]


def test_what_one_runtime_has_open_ends_when_another_answers() -> None:
    opened: list[weakref.ref[Double]] = []

    def open_one(path: Path, format: str, key: str) -> Double:
        made = Double()
        opened.append(weakref.ref(made))
        return made

    first = RuntimeHandler("first", open_one, versions={}, formats=("f",), dtypes=("float32",))
    hosted = Hosted({"first": first, "double": handler()})
    hosted("load", {"artifact": ".", "format": "f", "signature": "s"})
    assert opened[0]() is not None
    hosted("hello", {"protocol": 1, "runtime": "double"})
    assert opened[0]() is None


def _runs(made: Hosted, handle: str, directory: Path) -> bool:
    try:
        made("run", {"handle": handle, "inputs": str(directory / "i"), "outputs": str(directory / "o")})
    except RequestError:
        return False
    return True


def test_feeding_other_names_is_an_error_that_lists_both(tmp_path: Path) -> None:
    made = handler()
    handle = made("load", {"artifact": ".", "format": "f", "signature": "s"})["handle"]
    tensors.save(tmp_path / "i", {"z": np.array([1], np.float32)})
    with pytest.raises(RequestError, match=r"expected \['x'\], found \['z'\]"):
        made("run", {"handle": handle, "inputs": str(tmp_path / "i"), "outputs": str(tmp_path / "o")})
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.array([1, 2], np.int32), "input-dtype"),
        (np.array([[1, 2]], np.float32), "input-shape"),
        (np.float32(1).reshape(()), "input-shape"),
    ],
)
def test_feeding_another_dtype_or_shape_is_an_error(tmp_path: Path, array: np.ndarray, code: str) -> None:
    """A dtype that the runtime has not at all is its limit; one that it has, and the artifact not, is a wrong feed."""
    made = RuntimeHandler(
        "double", lambda path, format, key: Double(), versions={}, formats=("f",), dtypes=("float32", "int32")
    )
    handle = made("load", {"artifact": ".", "format": "f", "signature": "s"})["handle"]
    tensors.save(tmp_path / "i", {"x": array})
    with pytest.raises(RequestError) as caught:
        made("run", {"handle": handle, "inputs": str(tmp_path / "i"), "outputs": str(tmp_path / "o")})
    assert caught.value.code == code
    tensors.save(tmp_path / "i", {"x": array.astype(np.float64)})
    with pytest.raises(Unsupported):
        made("run", {"handle": handle, "inputs": str(tmp_path / "i"), "outputs": str(tmp_path / "o")})


class Coded(Exception):
    code = 7  # not text: some libraries number their errors


@pytest.mark.parametrize("op", ["hello", "load", "run", "unload", "open", "reference", "write"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad\nsecond line"),
        ValueError(),
        KeyError("k"),
        OSError(errno.ENOSPC, "No space left on device"),
        SourceError("quality", "found", "hint"),
        Coded("x" * 10_000),
        Unsupported("why"),
        Unsupported(),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ],
)
def test_every_exception_becomes_a_valid_record(op: str, error: Exception) -> None:
    reply = error_reply(op, error)
    assert violation("reply", {"id": 1, **reply}) is None
    assert len(json.dumps(reply)) < 16_000
    assert ("unsupported" in reply) == isinstance(error, Unsupported)


def field(error: BaseException, name: str, op: str = "run") -> Any:
    return error_reply(op, error)["error"][name]


def test_what_a_record_says() -> None:
    assert field(ValueError("bad\nsecond line"), "message") == "ValueError: bad"
    assert field(ValueError(), "message") == "ValueError: ValueError"
    assert field(ValueError("x"), "code") == "error"
    assert field(SourceError("quality", "m", "h"), "code") == "quality"
    assert field(SourceError("quality", "m", "h"), "message") == "m"
    assert field(SourceError("quality", "m", "h"), "hint") == "h"
    assert [field(ValueError("x"), "stage", op) for op in ("open", "reference", "write", "load", "run")] == [
        "build",
        "build",
        "convert",
        "load",
        "run",
    ]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EFBIG, "x"),
        OSError(errno.EDQUOT, "x"),
        RuntimeError("h5: write failed: No space left on device"),
    ],
)
def test_a_full_disk_is_recognised_in_any_librarys_words(error: Exception) -> None:
    assert field(error, "code") == "disk-full"


LOOP = """
import os, sys
from exporter.workers.serve import Unsupported, serve
def handle(op, request):
    print("noise on stdout", flush=True)
    os.write(1, b'{"id": 1, "ok": {}}\\n')
    if op == "load":
        raise Unsupported("not this")
    if op == "unload":
        raise ValueError("broken")
    return {"elapsed_ns": request["id"]}
serve(handle)
"""


def test_the_loop_in_a_process(tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text(textwrap.dedent(LOOP))
    client = Client([sys.executable, str(program)], tmp_path / "log")
    run = {"handle": "h", "inputs": "i", "outputs": "o"}
    assert client.request("run", 60, **run) == Ok({"elapsed_ns": 1})
    assert client.request("load", 60, artifact="a", format="f", signature="s") == NotSupported("not this")
    reply = client.request("unload", 60, handle="h")
    assert isinstance(reply, RemoteError)
    assert reply.message == "ValueError: broken"
    assert "Traceback" in reply.trace
    assert client.request("run", 60, **run) == Ok({"elapsed_ns": 4})
    client.close()
    assert client.tail().count("noise on stdout") == 4
    assert "ValueError: broken" in client.tail()


def test_a_worker_ends_when_its_host_is_gone(tmp_path: Path) -> None:
    """The host was killed and could kill nobody: the end of the request pipe is the only sign."""
    import os

    from exporter.protocol.process import start

    program = tmp_path / "worker.py"
    program.write_text(textwrap.dedent(LOOP))
    process = start([sys.executable, str(program)], tmp_path / "log")
    os.close(process.requests)
    process.requests = -1
    assert process.wait(60) == 0
    process.kill()
