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
from collections.abc import Callable, Mapping, Sequence
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


class RequestError(Exception):
    """A request that cannot be answered; `code` is the protocol's word for the kind (docs/protocol.md)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Loaded(Protocol):
    """One signature of one artifact, ready to run.

    Names are the artifact's own, `inputs` and `outputs` in the order of callers that feed and read by position.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: tensors.Tensors) -> tensors.Tensors: ...


Request = Mapping[str, Any]
Operation = Callable[[Request], Json]
Handler = Callable[[str, Request], Json]


def find_operation(op: str, operations: Mapping[str, Operation]) -> Operation:
    """The operation of a request. Raises `RequestError` for an unknown one."""
    if op not in operations:
        raise RequestError("unknown-op", f"unknown op {op!r}; this worker answers {', '.join(operations)}, bye")
    return operations[op]


class RuntimeHandler:
    """hello, load, run and unload over a function that opens artifacts.

    `opener(path, format, signature key)` returns a `Loaded`, or raises `Unsupported` or anything else. What must be the
    same in every runtime happens here, as in `session.mjs` and `Session.java`: names are compared as sets, dtypes and
    shapes are checked before anything runs, and nothing is cast.
    """

    def __init__(
        self,
        runtime: str,
        opener: Callable[[Path, str, str], Loaded],
        *,
        versions: Mapping[str, str],
        formats: tuple[str, ...],
        dtypes: tuple[str, ...],
    ) -> None:
        self._runtime = runtime
        self._opener = opener
        self._formats = formats
        self._dtypes = dtypes
        self._hello = {
            "protocol": PROTOCOL,
            "runtime": runtime,
            "versions": dict(versions),
            "formats": list(formats),
            "dtypes": list(dtypes),
            "casts": {},
        }
        self._loaded: dict[str, Loaded] = {}
        self._count = 0
        self._operations: Mapping[str, Operation] = {
            "hello": self._say_hello,
            "load": self._load,
            "run": self._run,
            "unload": self._unload,
        }

    def __call__(self, op: str, request: Request) -> Json:
        return find_operation(op, self._operations)(request)

    def _say_hello(self, request: Request) -> Json:
        check_hello(request, [self._runtime])
        self.close()  # a host that begins anew has forgotten its handles
        return self._hello

    def _load(self, request: Request) -> Json:
        artifact, format, key = (_text(request, field) for field in ("artifact", "format", "signature"))
        if format not in self._formats:
            raise Unsupported(f"{self._runtime} opens {', '.join(self._formats)}; the artifact is {format}")
        check_artifact(artifact)
        loaded = self._opener(Path(artifact), format, key)
        for side, specs in (("input", loaded.inputs), ("output", loaded.outputs)):
            for spec in specs:
                if spec.dtype not in self._dtypes:
                    carried = ", ".join(self._dtypes)
                    raise Unsupported(f"{side} {spec.name!r} is {spec.dtype}; {self._runtime} carries {carried}")
        self._count += 1
        handle = f"h{self._count}"
        self._loaded[handle] = loaded
        return {
            "handle": handle,
            "inputs": [s.to_json() for s in loaded.inputs],
            "outputs": [s.to_json() for s in loaded.outputs],
        }

    def _run(self, request: Request) -> Json:
        loaded = self._find_loaded(request)
        source, target = _text(request, "inputs"), _text(request, "outputs")
        inputs = _read_tensors(source)
        _check_names("input", loaded.inputs, inputs)
        for spec in loaded.inputs:
            self._check_input(spec, inputs[spec.name])
        began = time.perf_counter_ns()
        outputs = loaded.run(inputs)
        elapsed = time.perf_counter_ns() - began
        _check_names("output", loaded.outputs, outputs)
        tensors.save(target, outputs)
        return {"elapsed_ns": elapsed}

    def _check_input(self, spec: TensorSpec, array: tensors.Array) -> None:
        fed = TensorSpec(spec.name, tensors.dtype_name(array), array.shape)
        # a dtype that the runtime does not have at all is its limit; int32 for float32 is a wrong feed
        if fed.dtype not in self._dtypes:
            raise Unsupported(f"input {spec.name!r} is fed {fed}; {self._runtime} carries {', '.join(self._dtypes)}")
        if fed.dtype != spec.dtype:
            raise RequestError("input-dtype", f"an input is fed as {fed}, expected {spec}")
        if not spec.takes(array.shape):
            raise RequestError("input-shape", f"an input is fed as {fed}, expected {spec}")

    def _unload(self, request: Request) -> Json:
        self._find_loaded(request)
        del self._loaded[request["handle"]]
        return {}

    def _find_loaded(self, request: Request) -> Loaded:
        handle = _text(request, "handle")
        if handle not in self._loaded:
            raise RequestError(
                "unknown-handle", f"no loaded model has the handle {handle!r}: it was unloaded or never loaded"
            )
        return self._loaded[handle]

    def close(self) -> None:
        """Let go of what is open."""
        self._loaded.clear()


class Hosted:
    """Several runtimes in one process: `hello` names the one that answers until the next `hello`."""

    def __init__(self, handlers: Mapping[str, RuntimeHandler]) -> None:
        self._handlers = handlers
        self._handler = next(iter(handlers.values()))

    def __call__(self, op: str, request: Request) -> Json:
        if op == "hello":
            check_hello(request, list(self._handlers))
            self._handler.close()
            self._handler = self._handlers[request["runtime"]]
        return self._handler(op, request)


def check_hello(request: Request, runtimes: Sequence[str]) -> None:
    """Raises `RequestError` for another protocol, and for a runtime that is none of those hosted here."""
    protocol, runtime = request.get("protocol"), request.get("runtime")
    if protocol != PROTOCOL:
        raise RequestError("protocol-version", f"this worker speaks protocol {PROTOCOL}, the host asked for {protocol}")
    if runtime not in runtimes:
        hosted = ", ".join(map(repr, runtimes))
        raise RequestError("wrong-runtime", f"this worker hosts {hosted}, the host asked for {runtime!r}")


def check_artifact(path: str) -> None:
    """Raises `RequestError` where there is nothing to open: every library says that in words of its own."""
    if not Path(path).exists():
        raise RequestError("no-artifact", f"there is no artifact at {path}")


def _text(request: Request, field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str):
        raise RequestError("bad-request", f"the field {field!r} is {value!r}, expected text")
    return value


def _read_tensors(path: str) -> tensors.Tensors:
    try:
        return tensors.load(path)
    except (OSError, tensors.TensorFileError) as error:
        raise RequestError("tensor-file", f"the tensors to run cannot be read from {path}: {error}") from error


def _check_names(side: str, specs: Sequence[TensorSpec], found: tensors.Tensors) -> None:
    expected = {spec.name for spec in specs}
    if set(found) != expected:
        raise RequestError(f"{side}-names", f"{side} names differ: expected {sorted(expected)}, found {sorted(found)}")


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
