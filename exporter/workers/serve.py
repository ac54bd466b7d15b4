"""The loop every Python worker runs: one JSON object per line, requests on descriptor 3, replies on 4.

stdout and stderr stay with the libraries that print there; nothing they print can reach a record.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from exporter import tensors
from exporter.errors import ExporterError
from exporter.model import Json, TensorSpec
from exporter.text import cause

PROTOCOL = 1
_DISK_FULL = ("No space left on device", "File too large", "Disk quota exceeded")


class Unsupported(Exception):
    """The runtime cannot carry this artifact or these tensors; the message is the reason."""


class Loaded(Protocol):
    """One signature of one artifact, ready to run. Names are the artifact's own."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: tensors.Tensors) -> tensors.Tensors: ...


Handler = Callable[[str, Mapping[str, Any]], Json]


class RuntimeHandler:
    """hello, load, run and unload over a function that opens artifacts.

    `opener(path, format, signature key)` returns a `Loaded`, or raises `Unsupported` or anything else.
    """

    def __init__(
        self,
        runtime: str,
        opener: Callable[[Path, str, str], Loaded],
        *,
        versions: Mapping[str, str],
        formats: tuple[str, ...],
        dtypes: tuple[str, ...],
        casts: Mapping[str, str] | None = None,
    ) -> None:
        self._opener = opener
        self._hello = {
            "protocol": PROTOCOL,
            "runtime": runtime,
            "versions": dict(versions),
            "formats": list(formats),
            "dtypes": list(dtypes),
            "casts": dict(casts or {}),
        }
        self._loaded: dict[str, Loaded] = {}
        self._count = 0

    def __call__(self, op: str, request: Mapping[str, Any]) -> Json:
        return getattr(self, f"_op_{op}")(request)  # type: ignore[no-any-return]

    def _op_hello(self, request: Mapping[str, Any]) -> Json:
        return self._hello

    def _op_load(self, request: Mapping[str, Any]) -> Json:
        loaded = self._opener(Path(request["artifact"]), request["format"], request["signature"])
        self._count += 1
        handle = f"h{self._count}"
        self._loaded[handle] = loaded
        return {
            "handle": handle,
            "inputs": [s.to_json() for s in loaded.inputs],
            "outputs": [s.to_json() for s in loaded.outputs],
        }

    def _op_run(self, request: Mapping[str, Any]) -> Json:
        loaded = self._loaded[request["handle"]]
        inputs = tensors.load(request["inputs"])
        wanted = {s.name for s in loaded.inputs}
        if set(inputs) != wanted:
            raise ValueError(f"the artifact takes {sorted(wanted)}, the request feeds {sorted(inputs)}")
        began = time.perf_counter_ns()
        outputs = loaded.run(inputs)
        elapsed = time.perf_counter_ns() - began
        tensors.save(request["outputs"], outputs)
        return {"elapsed_ns": elapsed}

    def _op_unload(self, request: Mapping[str, Any]) -> Json:
        del self._loaded[request["handle"]]
        return {}

    def close(self) -> None:
        """Let go of what is open."""
        self._loaded.clear()


class Hosted:
    """Several runtimes in one process: `hello` names the one that answers until the next `hello`."""

    def __init__(self, handlers: Mapping[str, RuntimeHandler]) -> None:
        self._handlers = handlers
        self._handler = next(iter(handlers.values()))

    def __call__(self, op: str, request: Mapping[str, Any]) -> Json:
        if op == "hello":
            self._handler.close()
            self._handler = self._handlers[request["runtime"]]
        return self._handler(op, request)


_STAGE = {"open": "build", "reference": "build", "write": "convert", "run": "run"}


def error_reply(op: str, error: BaseException) -> Json:
    """The reply record of an exception, without its id."""
    if isinstance(error, Unsupported):
        return {"unsupported": {"reason": str(error) or "unsupported"}}
    text = str(error).strip() or type(error).__name__
    code = getattr(error, "code", None) or "error"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    if full or any(words in text for words in _DISK_FULL):
        code = "disk-full"
    reply = {
        "stage": _STAGE.get(op, "load"),
        "code": code if isinstance(code, str) else "error",
        "message": _short(error, text),
        "trace": "".join(traceback.format_exception(error))[-8000:],
    }
    if isinstance(error, ExporterError):
        reply.update(code=error.code, message=error.message, hint=error.hint)
    return {"error": reply}


def _short(error: BaseException, text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    # the first line of a runtime's own error says most, but for TensorFlow's, which only announces one
    said = cause(text) if lines and lines[0].startswith("Graph execution error") else (lines or [""])[0][:600]
    return f"{type(error).__name__}: {said}"


def serve(handler: Handler) -> None:
    """Answer requests until `bye` or the end of the request pipe."""
    os.set_inheritable(3, False)
    os.set_inheritable(4, False)
    with os.fdopen(3, "rb") as requests:
        for line in requests:
            request = json.loads(line)
            op = request["op"]
            try:
                reply: Json = {"ok": {} if op == "bye" else handler(op, request)}
            except Exception as error:
                reply = error_reply(op, error)
                if "error" in reply:
                    print(reply["error"]["trace"], file=sys.stderr, flush=True)
            record = json.dumps({"id": request["id"], **reply}) + "\n"
            os.write(4, record.encode())
            if op == "bye":
                break
    # native runtimes crash in their destructors; everything worth keeping is already in a file
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
