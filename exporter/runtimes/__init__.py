"""The runtimes that execute artifacts: one small module per family in this directory, found by listing it.

A module defines `RUNTIME` or `RUNTIMES`: what each accepts and how its worker is started. What a worker can carry
(dtypes, casts) it declares itself in its `hello`, and the tests prove it with identity artifacts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Missing(Exception):
    """The runtime cannot be started on this machine. `hint` is the command that fixes it."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class Limits:
    """Seconds a worker may take to start, to load an artifact, and to run one case."""

    start: float = 120
    load: float = 120
    run: float = 300


@dataclass(frozen=True)
class Recycle:
    """When a worker that leaks is replaced: after this many loads, or above this resident memory in bytes."""

    loads: int = 1000
    resident_bytes: int = 3 * 2**30


class Runs(Enum):
    """Which of the artifacts that a runtime accepts it executes without being named."""

    ALL = "all"
    QUANTIZED = "quantized"
    ON_REQUEST = "on request"


@dataclass(frozen=True)
class Runtime:
    """One program that executes artifacts in one numerically relevant way.

    `command()` returns the worker's argv or raises `Missing`. Runtimes of one `process` are answered by one worker,
    one after the other, started by the same command; empty for a worker of its own. `kind` selects the tolerance
    rows. `needs_code` is True when loading can need the source's own classes, which then follow the command as
    `--custom FILE`. `fragile` is True when an artifact can damage the worker's memory without ending it, so that
    after a red cell the next artifact gets a fresh process. `recycle` says when a worker whose library leaks is
    replaced; None for never. `unordered` is True when one open model scores the rows of a case in no fixed order,
    so that a signature that keeps state has no meaning in it.
    """

    name: str
    title: str
    formats: tuple[str, ...]
    kind: str
    command: Callable[[], list[str]]
    process: str = ""
    runs: Runs = Runs.ALL
    needs_code: bool = False
    fragile: bool = False
    recycle: Recycle | None = None
    unordered: bool = False
    limits: Limits = Limits()
    environment: Mapping[str, str] = field(default_factory=dict)


def python_worker(module: str, *arguments: str) -> Callable[[], list[str]]:
    """The argv of a Python worker in this interpreter's own environment."""
    return lambda: [sys.executable, "-X", "faulthandler", "-m", f"exporter.workers.{module}", *arguments]
