"""Errors: what a user reads, and the exit status each class stands for."""

from __future__ import annotations

import pytest

from exporter import errors
from exporter.errors import ExporterError, MissingRuntimeError, UsageError, WorkerFailure

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ExporterError)]


def test_an_error_in_words() -> None:
    assert str(ExporterError("code", "what was found")) == "what was found"
    full = ExporterError("code", "what was found", "what to do", "/where")
    assert str(full) == "what was found; what to do; log: /where"
    assert (full.code, full.message, full.hint, full.log) == ("code", "what was found", "what to do", "/where")


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_statuses(kind: type[ExporterError]) -> None:
    assert kind.exit_status == {UsageError: 2, MissingRuntimeError: 3}.get(kind, 1)
    assert kind.__doc__


def test_a_worker_failure_is_not_for_users() -> None:
    """It must become a cell's outcome; were it an ExporterError, a command would print it and stop."""
    failure = WorkerFailure("crash", "signal-SIGSEGV", "killed", "tail")
    assert not isinstance(failure, ExporterError)
    assert (failure.stage, failure.code, failure.tail) == ("crash", "signal-SIGSEGV", "tail")
