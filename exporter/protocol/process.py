"""Starting and ending a worker process: pipes on descriptors 3 and 4, a log file, a process group of its own.

`os.posix_spawn` instead of `subprocess`: it can place the pipes on exactly those descriptors without running
Python code between fork and exec, which would not be safe in a host with threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REQUESTS_FD, REPLIES_FD = 3, 4


@dataclass
class WorkerProcess:
    """A running child: `requests` is written by the host, `replies` is read by it (both raw descriptors).

    `peak_bytes` is its largest resident memory, known once it has ended. One thread talks to the child; `kill` may
    come from any other.
    """

    pid: int
    requests: int
    replies: int
    log: Path
    status: int | None = None
    peak_bytes: int = 0
    _reaping: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def poll(self) -> int | None:
        """The wait status if the child has ended, else None."""
        with self._reaping:
            if self.status is None:
                self._reap(os.WNOHANG)
            return self.status

    def _reap(self, flags: int) -> None:
        pid, status, usage = os.wait4(self.pid, flags)
        if pid:
            self.status = status
            self.peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def resident_bytes(self) -> int:
        """Resident memory of the running child; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def wait(self, seconds: float) -> int | None:
        """Wait up to `seconds` for the child to end."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.status

    def kill(self) -> None:
        """Kill the whole process group and reap the child; safe to call twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with self._reaping:
            if self.status is None:
                with contextlib.suppress(ChildProcessError):
                    self._reap(0)
            self.close()

    def close(self) -> None:
        for fd in (self.requests, self.replies):
            with contextlib.suppress(OSError):
                if fd >= 0:
                    os.close(fd)
        self.requests = self.replies = -1


def start(argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> WorkerProcess:
    """Start `argv` with its requests on descriptor 3, its replies on 4, and stdout and stderr appended to `log`.

    Raises:
        FileNotFoundError: the program does not exist.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise FileNotFoundError(f"no program {argv[0]!r}")
    log.parent.mkdir(parents=True, exist_ok=True)
    child_reads, host_writes = os.pipe()
    host_reads, child_writes = os.pipe()
    # away from 3 and 4, so that placing one pipe cannot overwrite the other
    fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16) for fd in (child_reads, child_writes)]
    os.close(child_reads)
    os.close(child_writes)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            program,
            [program, *argv[1:]],
            {**os.environ, **(environment or {})},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, fds[0], REQUESTS_FD),
                (os.POSIX_SPAWN_DUP2, fds[1], REPLIES_FD),
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _handed_on()),
            ],
            setsid=True,
        )
    except BaseException:
        os.close(host_writes)
        os.close(host_reads)
        raise
    finally:
        for fd in fds:
            os.close(fd)
    return WorkerProcess(pid, host_writes, host_reads, log)


def _handed_on() -> list[int]:
    """Descriptors this process was given by its own parent (make, a shell) and would pass to the worker."""
    found = []
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the descriptor of this listing is gone by now
            if int(name) > REPLIES_FD and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def describe_end(status: int | None) -> tuple[str, str]:
    """(code, sentence) for a wait status: `signal-SIGSEGV`, `exit-1`, …"""
    if status is None:
        return "gone", "the worker closed its reply pipe and kept running"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"signal-{name}", f"the worker was killed by {name}{hint}"
    code = os.WEXITSTATUS(status)
    return f"exit-{code}", f"the worker exited with status {code} in the middle of a request"


def log_tail(log: Path, size: int = 8192, begin: int = 0) -> str:
    """The last `size` bytes of a log, from `begin` on, as text."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - size))
        return file.read().decode(errors="replace")
    return ""
