"""The host's side of the worker protocol: one request, one reply, a deadline, and no second chance for a broken pipe.

A worker that dies, hangs or breaks the protocol is killed with its process group at once; its pipe is never read
again, so a late answer can not be taken for the answer to a later request.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from exporter.errors import WorkerFailure
from exporter.model import Json
from exporter.protocol.process import WorkerProcess, describe_end, log_tail, start

PROTOCOL = 1
_MAX_RECORD = 16 * 2**20


@dataclass(frozen=True)
class Ok:
    value: Json


@dataclass(frozen=True)
class NotSupported:
    reason: str


@dataclass(frozen=True)
class RemoteError:
    """The worker answered that something broke; it is alive and its next answer can be trusted."""

    stage: str
    code: str
    message: str
    trace: str
    hint: str = ""


Reply = Ok | NotSupported | RemoteError


@functools.cache
def schema() -> Json:
    """The published schema of protocol version 1."""
    return json.loads((Path(__file__).parent / "v1.schema.json").read_text())  # type: ignore[no-any-return]


@functools.cache
def _validator(definition: str) -> Any:
    document = {**schema(), "$ref": f"#/$defs/{definition}"}
    return jsonschema.Draft202012Validator(document)


def violation(definition: str, record: Any) -> str | None:
    """The first schema violation of a record, or None."""
    error = next(iter(_validator(definition).iter_errors(record)), None)
    return None if error is None else f"{'/'.join(map(str, error.path)) or 'record'}: {error.message}"[:500]


class Client:
    """One worker process. `request` raises `WorkerFailure` when no trustworthy answer can be had."""

    def __init__(self, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        # before the start: a worker may have said something before we look
        self._log_begin = log.stat().st_size if log.exists() else 0
        self._process: WorkerProcess = start(argv, log, environment)
        self._buffer = b""
        self._last_id = 0

    @property
    def alive(self) -> bool:
        return self._process.requests >= 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory of the worker in bytes; 0 while it runs."""
        return self._process.peak_bytes

    def resident_bytes(self) -> int:
        """Resident memory of the running worker in bytes; 0 where the system does not tell."""
        return self._process.resident_bytes()

    def request(self, op: str, timeout: float, **fields: Any) -> Reply:
        """Send one request and wait for its reply.

        Raises:
            WorkerFailure: stage `timeout`, `crash` or `protocol`; the worker is dead by then.
        """
        self._last_id += 1
        record = {"id": self._last_id, "op": op, **fields}
        broken = violation("request", record)
        if broken:
            raise ValueError(f"the host made an invalid request: {broken}")
        deadline = time.monotonic() + timeout
        self._write(json.dumps(record).encode() + b"\n", deadline, op, timeout)
        reply = self._parse(self._read_line(deadline, op, timeout), op)
        if op == "bye":
            self._process.wait(5)
            self.kill()
        return reply

    def close(self, timeout: float = 10) -> None:
        """Say goodbye and reap the worker; kill it if it does not go."""
        if not self.alive:
            return
        try:
            self.request("bye", timeout)
        except WorkerFailure:
            self.kill()

    def kill(self) -> None:
        self._process.kill()

    def tail(self) -> str:
        """The end of what this worker has logged."""
        return log_tail(self._process.log, begin=self._log_begin)

    def _write(self, data: bytes, deadline: float, op: str, timeout: float) -> None:
        """Write a record. One that is longer than the pipe waits for the worker to read, and no longer than allowed."""
        poller = select.poll()
        try:
            os.set_blocking(self._process.requests, False)
            poller.register(self._process.requests, select.POLLOUT)
            while data:
                left = deadline - time.monotonic()
                if left <= 0 or not poller.poll(max(1, left * 1000)):
                    raise self._late(op, timeout)
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(self._process.requests, data) :]
        except (OSError, ValueError):  # broken, or closed by another thread that killed the worker
            raise self._crashed() from None

    def _late(self, op: str, timeout: float) -> WorkerFailure:
        self.kill()
        return WorkerFailure(
            "timeout", "timeout", f"no answer to {op!r} within {timeout:g} s; the worker was killed", self.tail()
        )

    def _read_line(self, deadline: float, op: str, timeout: float) -> bytes:
        poller = select.poll()
        poller.register(self._process.replies, select.POLLIN | select.POLLHUP)
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(max(1, left * 1000)):
                raise self._late(op, timeout)
            try:
                chunk = os.read(self._process.replies, 65536)
            except OSError:  # another thread killed the worker and closed the pipe
                chunk = b""
            if not chunk:
                raise self._crashed()
            self._buffer += chunk
            if len(self._buffer) > _MAX_RECORD:
                raise self._protocol(f"a record of more than {_MAX_RECORD} bytes")
        line, _, rest = self._buffer.partition(b"\n")
        if rest:
            raise self._protocol(f"a second reply to one request: {rest[:200]!r}")
        self._buffer = b""
        return line

    def _parse(self, line: bytes, op: str) -> Reply:
        try:
            record = json.loads(line)
        except ValueError:
            raise self._protocol(f"a reply that is not JSON: {line[:200]!r}") from None
        broken = violation("reply", record)
        if broken:
            raise self._protocol(f"a reply against the schema: {broken}")
        if record["id"] != self._last_id:
            raise self._protocol(f"a reply to request {record['id']}, expected {self._last_id}")
        if "unsupported" in record:
            return NotSupported(record["unsupported"]["reason"])
        if "error" in record:
            return RemoteError(**record["error"])
        broken = violation(f"ok-{op}", record["ok"])
        if broken:
            raise self._protocol(f"an answer to {op!r} against the schema: {broken}")
        return Ok(record["ok"])

    def _crashed(self) -> WorkerFailure:
        status = self._process.wait(2)
        self.kill()
        code, sentence = describe_end(status)
        return WorkerFailure("crash", code, sentence, self.tail())

    def _protocol(self, found: str) -> WorkerFailure:
        self.kill()
        return WorkerFailure("protocol", "protocol", f"the worker sent {found}", self.tail())
