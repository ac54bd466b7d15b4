"""Small pieces of wording: suggestions, sizes, durations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def natural(name: str) -> tuple[list[str | int], str]:
    """A key for sorting names as people count: `output_2` before `output_10`."""
    parts = re.split(r"(\d+)", name, flags=re.ASCII)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {near[0]!r}?" if near else ""


def last_words(log: str) -> str:
    """The line at the end of a worker's log that says most: where it crashed, else the last line.

    After a fatal signal Python's faulthandler prints the stack, innermost call first, then a list of modules.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if line.endswith("(most recent call first):") and i + 1 < len(lines):
            return f"in {lines[i + 1]}"[:300]
    return lines[-1][:300] if lines else ""


def human_bytes(count: int) -> str:
    """`812 B`, `4.1 kB`, `13.9 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def human_seconds(seconds: float) -> str:
    """`0.3 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
