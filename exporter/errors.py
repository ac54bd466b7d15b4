"""What a user can be told went wrong: one class per stage, each with what was found and what to do next."""

from __future__ import annotations


class ExporterError(Exception):
    """Base of every error that is the user's to see.

    `code` is a stable short word, `message` says what was found and expected, `hint` what to do, `log` where more is.
    """

    exit_status = 1

    def __init__(self, code: str, message: str, hint: str = "", log: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.log = log

    def __str__(self) -> str:
        parts = [self.message]
        if self.hint:
            parts.append(self.hint)
        if self.log:
            parts.append(f"log: {self.log}")
        return "; ".join(parts)


class UsageError(ExporterError):
    """The request itself cannot be understood: unknown name, impossible combination. Exit status 2."""

    exit_status = 2


class SourceError(ExporterError):
    """The source cannot be opened or described."""


class InputsError(ExporterError):
    """Input values do not fit the signature, or cannot be made up honestly."""


class BundleError(ExporterError):
    """A bundle cannot be read, does not match its hashes, or cannot be written."""


class MissingRuntimeError(ExporterError):
    """A runtime that was asked for is missing, or nothing could be run. Exit status 3."""

    exit_status = 3


class WorkerFailure(Exception):
    """A worker could not answer: it died, hung, or broke the protocol. The client has already killed it."""

    def __init__(self, stage: str, code: str, message: str, tail: str = "") -> None:
        super().__init__(message)
        self.stage = stage
        self.code = code
        self.message = message
        self.tail = tail
