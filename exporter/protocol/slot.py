"""The worker that runtimes take turns with: most have one of their own, some share a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporter.protocol.client import Client
from exporter.protocol.clients import Clients


class Slot:
    """At most one live worker.

    Attributes:
        client: the worker that was started last, or None.
        log: the file that the workers write to.
        argv: what started it.
        runtime: the runtime that the live worker answers for; empty before its `hello`.
        loads: artifacts that it has loaded.
        peak_bytes: largest resident memory of all workers so far; complete after `close`.
    """

    def __init__(self, clients: Clients, scratch: Path, log: Path) -> None:
        self._clients = clients
        self.log = log
        self.scratch = scratch
        self.client: Client | None = None
        self.argv: list[str] = []
        self.runtime = ""
        self.loads = 0
        self.peak_bytes = 0

    @property
    def alive(self) -> bool:
        return self.client is not None and self.client.alive

    def start(self, argv: list[str], environment: Mapping[str, str]) -> None:
        """Start a worker in place of one that has ended. Raises OSError."""
        self.argv, self.runtime, self.loads = argv, "", 0
        self.client = self._clients.start(argv, self.log, {**environment, "TMPDIR": str(self.scratch)})

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
            self.peak_bytes = max(self.peak_bytes, self.client.peak_bytes)
