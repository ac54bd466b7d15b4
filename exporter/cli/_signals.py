"""Ctrl-C, SIGTERM and SIGHUP: kill the workers at once, then unwind, so that no process and no temporary file stays.

A worker may have been started a moment ago, its handle not yet stored anywhere; so the handler asks the system for
our children instead of a list of our own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))


class Stopped(BaseException):
    """One of the signals, raised where the main thread is; its one argument is the signal's number."""


def catch() -> None:
    """From now on a signal raises `Stopped`, unless it is ignored: nohup and background jobs want that to last."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # an impatient second Ctrl-C must not cut the cleaning up short
    for pid in _children():
        with contextlib.suppress(OSError):  # it has just ended
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
    raise Stopped(number)


def _children() -> list[int]:
    """Process ids of our children, from /proc; none where there is no /proc (workers then end with their pipe)."""
    found = []
    with contextlib.suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
                # pid (command, which may hold anything) state ppid …
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
    return found
