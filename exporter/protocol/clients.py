"""All workers of a run, so that an interrupt can end every one of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from exporter.protocol.client import Client


class Stop(Exception):
    """Raised in runtime threads once the run was interrupted."""


class Clients:
    """Every live worker, so that an interrupt can kill them all from the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[Client] = set()
        self._stopped = False

    def start(self, argv: list[str], log: Path, environment: Mapping[str, str]) -> Client:
        with self._lock:
            if self._stopped:
                raise Stop
            client = Client(argv, log, environment)
            self._live.add(client)
            return client

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for client in self._live:
                client.kill()
