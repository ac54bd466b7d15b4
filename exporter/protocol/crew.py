"""The workers of runs that follow each other, so that their start, which takes seconds, is paid once."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from exporter.protocol.clients import Clients
from exporter.protocol.slot import Slot


class Crew:
    """One slot for each process that runtimes run in. Slots of a stopped crew start nothing any more."""

    def __init__(self, directory: Path, logs: Path) -> None:
        self._directory = directory
        self._logs = logs
        self._clients = Clients()
        self._slots: dict[str, Slot] = {}

    def slot(self, process: str) -> Slot:
        """The slot of a process, which only one thread may use at a time."""
        if process not in self._slots:
            scratch = self._directory / process
            scratch.mkdir()
            self._slots[process] = Slot(self._clients, scratch, self._logs / f"{process}.log")
        return self._slots[process]

    def stop(self) -> None:
        """Kill all workers at once."""
        self._clients.stop()

    def close(self) -> None:
        """Have all workers end."""
        for slot in self._slots.values():
            slot.close()


@contextlib.contextmanager
def standing_crew() -> Iterator[Crew]:
    """Workers that stay until the end of the block, for the `RunOptions` of conversions and verifications in it.

    They take one run after the other. What they log is in no bundle.
    """
    with tempfile.TemporaryDirectory(prefix="exporter-crew-") as directory:
        crew = Crew(Path(directory), Path(directory))
        try:
            yield crew
        finally:
            crew.close()
