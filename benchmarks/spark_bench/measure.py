"""Wall and processor time of a piece of work, for this process and everything it has started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """Seconds."""

    wall: float
    cpu: float


def measured(work: Callable[[], object]) -> Spent:
    cpu, wall = tree_cpu(), time.perf_counter()
    work()
    return Spent(time.perf_counter() - wall, tree_cpu() - cpu)


def tree_cpu() -> float:
    """Processor seconds of this process and its descendants, also of those that have ended and were waited for.

    From /proc, so of no other process on the machine; in steps of a clock tick, usually 10 ms.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it ended just now
            continue
        # the second field is a name in parentheses, which may hold spaces and parentheses
        fields = text[text.rindex(")") + 2 :].split()
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime: proc(5)
    return sum(ticks[pid] for pid in ticks if _descends(pid, parents)) / _TICK


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid not in (0, os.getpid()):
        pid = parents.get(pid, 0)
    return pid != 0
