"""Small pieces of wording: suggestions, causes, sizes, durations."""

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


# lines that TensorFlow and Keras put before what went wrong
_BEFORE_CAUSE = re.compile(
    r"Graph execution error:|Detected at node .*defined at|<stack traces unavailable>|File \"[^\"]*\", line \d+"
    r"|\d+ root error\(s\) found\.|Traceback \(most recent call last\)|in user code:$"
)
_ROOT_ERROR = re.compile(r"\(0\) [A-Z_]+: *")
# what TensorFlow puts around it: the node, the device's function, the address of an object
_AROUND_CAUSE = re.compile(
    r"\x1b\[[0-9;]*m|\{\{function_node [^}]*\}\} ?| ?\[\[\{\{node [^}]*\}\}\]\]| ?\[Op:\w+\](?: name: ?\S*)?"
    r"| at 0x[0-9a-f]+"
)


def cause(text: str) -> str:
    """The line of an exception's text that says what went wrong.

    Behind "Graph execution error:" and its list of places that is the first other line, behind Keras' "Exception
    encountered" the next one, which both stay. Without colours, nodes and addresses, which are others in each process.
    """
    lines = [_AROUND_CAUSE.sub("", line).strip() for line in text.splitlines()]
    lines = [_ROOT_ERROR.sub("", line) for line in lines if line and not _BEFORE_CAUSE.match(line)]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        return f"{lines[0]} {lines[1]}"[:400]
    return lines[0][:300] if lines else ""


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
