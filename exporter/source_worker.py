"""Talking to the source worker, and to the short-lived workers that train and inspect: the host loads no TensorFlow."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter import reference
from exporter.artifact_path import identify
from exporter.errors import ExporterError, SourceError, WorkerFailure
from exporter.model import Json
from exporter.protocol.client import Client, NotSupported, Ok, RemoteError
from exporter.text import last_words


class WorkerSession:
    """The source in a process of its own. Its temporary files go to `scratch`: a killed process removes none.

    `runs_code` says whether code of the user can run in it; without, it starts a second earlier.
    """

    def __init__(self, log: Path, scratch: Path, timeout: float, *, runs_code: bool) -> None:
        argv = [sys.executable, "-X", "faulthandler", "-m", "exporter.workers.source"]
        argv += [] if runs_code else ["--files-only"]
        self._client = Client(argv, log, {"TMPDIR": str(scratch)})
        self._timeout = timeout

    def request(self, op: str, **fields: Any) -> Ok | NotSupported | RemoteError:
        return self._client.request(op, self._timeout, **fields)

    def close(self) -> None:
        self._client.close()

    def kill(self) -> None:
        self._client.kill()

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory of the worker; 0 while it runs."""
        return self._client.peak_bytes


def way_on(failure: WorkerFailure) -> str:
    """What to do about a worker that did not answer."""
    return "give it longer with --timeout SECONDS" if failure.stage == "timeout" else last_words(failure.tail)


def remote_error(reply: RemoteError) -> ExporterError:
    """The user's error behind a worker's error record."""
    return SourceError(reply.code, reply.message, reply.hint)


def _one_worker(module: str, scratch: Path, timeout: float, op: str, **fields: Any) -> Json:
    """One request to a short-lived worker. Raises `ExporterError`."""
    argv = [sys.executable, "-X", "faulthandler", "-m", f"exporter.workers.{module}"]
    client = Client(argv, scratch / "log", {"TMPDIR": str(scratch)})
    try:
        reply = client.request(op, timeout, **fields)
    except WorkerFailure as failure:
        raise SourceError(failure.code, failure.message, way_on(failure)) from failure
    except BaseException:
        client.kill()  # a polite goodbye would wait for the worker's answer
        raise
    client.close()
    if isinstance(reply, Ok):
        return reply.value
    if isinstance(reply, NotSupported):
        raise SourceError("unsupported", reply.reason)
    raise remote_error(reply)


def read_weights(files: Sequence[Mapping[str, str]], timeout: float) -> None:
    """Write what artifacts store, `{"artifact", "format", "outputs"}` each, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="exporter-weights-") as scratch:
        _one_worker("inspect", Path(scratch), timeout, "weights", files=list(files))


def train_reference(name: str, scratch: Path, timeout: float) -> Json:
    """Train a reference model in a source worker; its files are in `scratch/staging`. Returns the facts."""
    staging = scratch / "staging"
    staging.mkdir()
    spec = {"kind": "reference", "path": str(reference.path_of(name)), "name": name, "train": True}
    return dict(_one_worker("source", scratch, timeout, "open", spec=spec, staging=str(staging))["facts"])


def inspect_path(path: Path, timeout: float) -> Json:
    """Facts of an artifact or bundle, read in a process of its own (some formats need TensorFlow)."""
    if not (path / "bundle.json").is_file():
        identify(path)
    with tempfile.TemporaryDirectory(prefix="exporter-inspect-") as scratch:
        return _one_worker("inspect", Path(scratch), timeout, "inspect", path=str(path.absolute()))
