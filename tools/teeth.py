"""Whether the tests bite: each recorded fault of the product must be caught by the test that is named for it.

usage: python tools/teeth.py [AREA...]     AREA: a file of tests/teeth without its suffix; default: all

A record in tests/teeth/*.toml replaces one exact piece of one file. It is applied to a copy of the checkout, never to
the checkout itself, and its one test is run there. It is `caught` if that test fails, `survived` if it passes, and
`stale` if the piece is not there exactly once, so that a record moves with the code or is red. A test that cannot be
collected, or that does not end, has caught nothing. All named tests are seen green first. Exit status: 0 all caught.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
RECORDS = TOP / "tests" / "teeth"
# what such a fault does to the verdict
KINDS = ("blind", "loose", "lost", "misread", "unsafe", "untold")
WORKERS = 2
LIMIT = 120.0  # seconds for one test; the slowest takes ten
# what the tests need: the rest of the checkout is set-up, or large
_COPIED = ("exporter", "tests", "tools", "reference_models", "runtimes/js", "pyproject.toml", "README.md")
_LEFT = shutil.ignore_patterns("node_modules", "__pycache__", "target", ".venv")


@dataclass(frozen=True)
class Fault:
    """One record.

    Attributes:
        file: the file of the product, relative to the checkout.
        find: what stands in it exactly once; `replace` is put in its place.
        test: a node id of pytest, or `file.test.mjs::name` of Node's test runner.
        kind: one of `KINDS`: blind, loose, lost, misread, unsafe or untold.
        law: the number of the law in CONTRIBUTING.md that it breaks.
        why: what would become of a user.
        area: the file that holds the record.
    """

    file: str
    find: str
    replace: str
    test: str
    kind: str
    law: int
    why: str
    area: str = field(default="", compare=False)

    @property
    def in_node(self) -> bool:
        return ".mjs::" in self.test

    def applied(self, text: str) -> str | None:
        """The file with the fault; None where its piece is not there exactly once."""
        return text.replace(self.find, self.replace) if text.count(self.find) == 1 else None


@dataclass(frozen=True)
class Result:
    fault: Fault
    outcome: str  # caught, survived, stale, or what kept the test from running
    seconds: float = 0.0


def faults(areas: Iterable[str] = ()) -> list[Fault]:
    """All records, or those of some areas. Raises SystemExit for an area that there is not."""
    files = {path.stem: path for path in sorted(RECORDS.glob("*.toml"))}
    chosen = list(areas) or list(files)
    if set(chosen) - set(files):
        sys.exit(f"teeth: no area {sorted(set(chosen) - set(files))[0]!r}; there are {', '.join(files)}")
    return [Fault(**entry, area=name) for name in chosen for entry in tomllib.loads(files[name].read_text())["fault"]]


def copy_checkout(destination: Path) -> None:
    """What the tests need, with the installed npm packages linked."""
    for name in _COPIED:
        source, target = TOP / name, destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_LEFT)
        else:
            shutil.copy2(source, target)
    packages = TOP / "runtimes" / "js" / "node_modules"
    if packages.exists():
        (destination / "runtimes" / "js" / "node_modules").symlink_to(packages.resolve())


def environment(copy: Path) -> dict[str, str]:
    """For processes that import the copy, and not the checkout that is installed."""
    kept = {k: v for k, v in os.environ.items() if k not in ("EXPORTER_PLUGINS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return {**kept, "PYTHONPATH": str(copy)}


def run_tests(copy: Path, tests: Sequence[str]) -> Mapping[str, str]:
    """Test -> "passed", "failed", or why there is no result. Tests of pytest share a process, so do those of a file."""
    found = dict.fromkeys(tests, "not found")
    python = [t for t in tests if ".mjs::" not in t]
    if python:
        found |= _run_pytest(copy, python)
    by_file: dict[str, list[str]] = {}
    for test in (t for t in tests if ".mjs::" in t):
        by_file.setdefault(test.partition("::")[0], []).append(test)
    for file, those in by_file.items():
        found |= _run_node(copy, file, those)
    return found


def _run_pytest(copy: Path, tests: Sequence[str]) -> dict[str, str]:
    report = copy / f"report-{time.monotonic_ns()}.xml"
    command = [sys.executable, "-m", "pytest", *tests, f"--junitxml={report}", f"--basetemp={copy / 'tmp'}"]
    if len(tests) == 1:
        command.append("-x")
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = _run(command, copy, LIMIT * (1 if len(tests) == 1 else 5))
        if done.returncode not in (0, 1) or not report.exists():
            return dict.fromkeys(tests, f"pytest ended with {done.returncode}: {_last(done.stdout)}")
        outcomes: dict[str, set[str]] = {}
        for case in ElementTree.parse(report).iter("testcase"):
            module = f"{case.get('classname', '').replace('.', '/')}.py"
            states = {child.tag for child in case} & {"failure", "error", "skipped"} or {"passed"}
            outcomes.setdefault(f"{module}::{case.get('name', '').partition('[')[0]}", set()).update(states)
        return {test: _worst(outcomes.get(test.partition("[")[0], set())) for test in tests}
    return dict.fromkeys(tests, "did not end")


def _worst(states: set[str]) -> str:
    """A test with parameters fails if one of them does; an error outside of the test itself is no failure."""
    if "failure" in states:
        return "failed"
    return "error outside of the test" if "error" in states else "passed" if "passed" in states else "not found"


def _run_node(copy: Path, file: str, tests: Sequence[str]) -> dict[str, str]:
    from exporter.runtimes._node import node

    names = [re.escape(test.partition("::")[2]) for test in tests]
    options = ["--test", "--test-reporter=tap", *(f"--test-name-pattern=^{name}$" for name in names)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        lines = _run([node(), *options, file], copy, LIMIT).stdout.splitlines()
        states = {m[2]: m[1] for line in lines if (m := re.match(r"\s*(not ok|ok) \d+ - (.*?)(?: # .*)?$", line))}
        words = {"ok": "passed", "not ok": "failed", "": "not found"}
        return {test: words[states.get(test.partition("::")[2], "")] for test in tests}
    return dict.fromkeys(tests, "did not end")


def _run(command: Sequence[str], copy: Path, limit: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=copy,
        env=environment(copy),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
    )


def _last(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def try_fault(copy: Path, fault: Fault, number: int) -> Result:
    """Apply one fault in a copy, run its test, and take the fault back."""
    path = copy / fault.file
    text = path.read_text()
    changed = fault.applied(text)
    if changed is None:
        return Result(fault, "stale")
    times = path.stat()
    began = time.monotonic()
    try:
        path.write_text(changed)
        # a time of its own: a compiled file is taken to be of its source by time and size
        os.utime(path, (times.st_atime, times.st_mtime + 10 + number))
        state = run_tests(copy, [fault.test])[fault.test]
    finally:
        path.write_text(text)
        os.utime(path, (times.st_atime, times.st_mtime))
    outcome = {"failed": "caught", "passed": "survived"}.get(state, state)
    return Result(fault, outcome, time.monotonic() - began)


@contextlib.contextmanager
def copies(count: int) -> Iterator[queue.SimpleQueue[Path]]:
    """Copies of the checkout, each to be used by one thread at a time."""
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="exporter-teeth-") as scratch:
        for number in range(count):
            copy = Path(scratch) / str(number)
            copy_checkout(copy)
            free.put(copy)
        yield free


def unmutated(copy: Path, chosen: Sequence[Fault]) -> list[str]:
    """One line for each named test that is not green without a fault, and for a copy that is not what is imported."""
    where = _run([sys.executable, "-c", "import exporter; print(exporter.__file__)"], copy, LIMIT).stdout.strip()
    if not Path(_last(where)).is_relative_to(copy):
        return [f"the tests would import {where}, expected the copy in {copy}"]
    found = run_tests(copy, list(dict.fromkeys(fault.test for fault in chosen)))
    return [f"{test}: {state} without any fault, expected passed" for test, state in found.items() if state != "passed"]


def try_all(chosen: Sequence[Fault]) -> list[Result]:
    """Every fault on its own, side by side. Raises SystemExit if a test is red before anything is wrong."""
    results = []
    with copies(WORKERS) as free, ThreadPoolExecutor(WORKERS) as pool:
        copy = free.get()
        problems = unmutated(copy, [f for f in chosen if f.applied((TOP / f.file).read_text()) is not None])
        free.put(copy)
        if problems:
            sys.exit("teeth: " + "\nteeth: ".join(problems))

        def work(numbered: tuple[int, Fault]) -> Result:
            copy = free.get()
            try:
                return try_fault(copy, numbered[1], numbered[0])
            finally:
                free.put(copy)

        for result in pool.map(work, enumerate(chosen)):
            results.append(result)
            if result.outcome != "caught":
                print(_line(result), flush=True)
    return results


def _line(result: Result) -> str:
    fault = result.fault
    return f"{result.outcome}: {fault.file}: {fault.find.strip()!r} ({fault.why}); {fault.test}"


def table(results: Sequence[Result]) -> str:
    """Area by outcome, and how many faults each law and kind has."""
    areas = dict.fromkeys(r.fault.area for r in results)
    lines = [f"{'area':<12}{'faults':>8}{'caught':>8}{'survived':>10}{'stale':>7}{'other':>7}{'seconds':>9}"]
    for area in (*areas, ""):
        those = [r for r in results if area in ("", r.fault.area)]
        count = Counter(r.outcome for r in those)
        known = [count[name] for name in ("caught", "survived", "stale")]
        other, seconds = len(those) - sum(known), sum(r.seconds for r in those)
        lines.append(
            f"{area or 'all':<12}{len(those):>8}{known[0]:>8}{known[1]:>10}{known[2]:>7}{other:>7}{seconds:>9.1f}"
        )
    laws, kinds = Counter(r.fault.law for r in results), Counter(r.fault.kind for r in results)
    lines.append("by law: " + ", ".join(f"{law}: {n}" for law, n in sorted(laws.items())))
    lines.append("by kind: " + ", ".join(f"{kind}: {n}" for kind, n in sorted(kinds.items())))
    slowest = sorted(results, key=lambda r: -r.seconds)[:5]
    lines.append("slowest: " + ", ".join(f"{r.seconds:.0f} s {r.fault.test.rpartition('::')[2]}" for r in slowest))
    return "\n".join(lines)


def main(areas: Sequence[str]) -> int:
    began = time.monotonic()
    results = try_all(faults(areas))
    print(table(results))
    bad = [r for r in results if r.outcome != "caught"]
    print(f"teeth: {len(results) - len(bad)} of {len(results)} faults caught in {time.monotonic() - began:.0f} s")
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
