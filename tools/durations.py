"""Where the time of the tests goes: seconds of each part, and the slowest tests of all.

usage: python tools/durations.py [DIRECTORY]     DIRECTORY: of the JUnit files that make's targets leave; build/junit

A part is a file of pytest's; the JVM's own tests are one more, from Maven's reports. Parts run side by side, so their
sum is more than the time that passed.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SLOWEST = 25


@dataclass(frozen=True)
class Part:
    """Seconds from its first test to its last, how many there were and failed, and each test's own seconds."""

    name: str
    seconds: float
    tests: int
    failed: int
    cases: tuple[tuple[float, str], ...]


def read_part(name: str, files: Iterable[Path]) -> Part:
    """The JUnit files of one part, as pytest or Maven writes them."""
    seconds, tests, failed = 0.0, 0, 0
    cases: list[tuple[float, str]] = []
    for file in files:
        for suite in ElementTree.parse(file).iter("testsuite"):
            seconds += float(suite.get("time", 0))
            tests += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            cases += [
                (float(case.get("time", 0)), f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}")
                for case in suite.iter("testcase")
            ]
    return Part(name, seconds, tests, failed, tuple(cases))


def read_parts(directory: Path, jvm: Path) -> list[Part]:
    """All parts, the longest first."""
    found = [read_part(file.stem, [file]) for file in directory.glob("*.xml")]
    reports = sorted(jvm.glob("*/target/surefire-reports/TEST-*.xml"))
    found += [read_part("jvm (Maven)", reports)] if reports else []
    return sorted(found, key=lambda part: -part.seconds)


def table(parts: Iterable[Part]) -> str:
    """Parts by seconds, then the slowest tests."""
    listed = list(parts)
    lines = [f"{'part':<28}{'seconds':>9}{'tests':>8}{'failed':>8}"]
    lines += [f"{p.name:<28}{p.seconds:>9.0f}{p.tests:>8}{p.failed:>8}" for p in listed]
    slowest = sorted(((*case, part.name) for part in listed for case in part.cases), reverse=True)[:SLOWEST]
    lines += ["", "slowest tests"]
    lines += [f"{seconds:>9.1f}  {part}: {name}" for seconds, name, part in slowest]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    directory = Path(arguments[0]) if arguments else TOP / "build" / "junit"
    parts = read_parts(directory, TOP / "runtimes" / "jvm")
    if not parts:
        print(f"durations: {directory} holds no JUnit file; make's test targets leave them there", file=sys.stderr)
        return 1
    print(table(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
