"""Every fault of `tests/fakes/worker.py` as a runtime, found through EXPORTER_PLUGINS like anybody's plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from exporter.runtimes import Limits, Missing, Runs, Runtime

WORKER = Path(__file__).parents[1] / "worker.py"

AT_RUN = (
    "correct", "noise", "ulp", "swap", "drop", "rename", "add", "dtype", "broadcast", "flat", "nan-for-zero",
    "infinity-for-nan", "empty", "claims-int64", "exit-0", "exit-3", "segfault", "twice", "wrong-id", "old-id",
    "not-json", "not-utf8", "not-an-object", "ok-and-error", "field-missing", "field-unknown", "huge-record",
    "closes-pipe", "error-reply", "unsupported-reply", "no-file", "truncated-file",
    "takes-anything", "other-call",
)  # fmt: skip
AT_START = (
    "never-starts", "another-runtime", "few-dtypes", "other-inputs", "takes-int", "takes-doubles", "takes-vectors",
    "takes-pictures", "takes-four-columns", "exit-0-at-load", "error-at-load",
)  # fmt: skip
SLOW = ("hang", "late")


def _command(mode: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, str(WORKER), mode]


def _missing() -> list[str]:
    raise Missing("the fake is not installed", "install it")


def _runtime(mode: str, command: Callable[[], list[str]], limits: Limits) -> Runtime:
    return Runtime(
        f"fake-{mode}", f"a fake: {mode}", ("fake",), "same-kernels", command, runs=Runs.ON_REQUEST, limits=limits
    )


RUNTIMES = (
    *(_runtime(mode, _command(mode), Limits(60, 60, 60)) for mode in (*AT_RUN, *AT_START)),
    *(_runtime(mode, _command(mode), Limits(60, 60, 2)) for mode in SLOW),
    _runtime("missing", _missing, Limits()),
)
