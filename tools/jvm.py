"""Build the JVM workers in the checkout, and run their own tests, unless that was done already with the same sources.

usage: python tools/jvm.py build            a JDK or Maven that is missing is installed (root on Debian), or named
       python tools/jvm.py build-if-possible   the same, but a machine without them is no error
       python tools/jvm.py verify    the JVM modules' own tests, with all that their jars are for
       python tools/jvm.py package   the same without the tests, which `verify` makes needless
       python tools/jvm.py mvn ARGUMENT...   Maven in runtimes/jvm
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from exporter.resources import jvm_sources
from exporter.runtimes import Missing
from exporter.runtimes._jvm import build, built, digest

VERIFIED = "worker/target/verified"  # the digest that the tests passed with; gone with the jars
_PACKAGES = {"javac": "openjdk-17-jdk-headless", "mvn": "maven"}


def need_tools() -> None:
    """Install what is missing with the system's package manager where that is ours to do. Raises `Missing`."""
    lacking = [package for program, package in _PACKAGES.items() if shutil.which(program) is None]
    if not lacking:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *lacking]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"{' and '.join(lacking)} not found", f"run: sudo {' '.join(install)}")
    print("jvm:", " ".join(install), flush=True)
    for command in (["apt-get", "update"], install):
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise Missing(f"{' '.join(command)} failed", f"run: {' '.join(install)}")


def tested_digest(top: Path) -> str:
    """A hash of everything that `mvn verify` reads: the workers' sources, and their tests with what those read."""
    found = hashlib.sha256(digest(top).encode())
    vectors = Path(__file__).resolve().parent.parent / "tests" / "vectors"
    for path in sorted([*top.glob("*/src/test/**/*"), *vectors.rglob("*")]):
        if path.is_file():
            found.update(f"{path.name}\0".encode() + path.read_bytes())
    return found.hexdigest()


def verified(top: Path) -> bool:
    """Whether `mvn verify` has passed with these very sources, and what it made is still there."""
    stamp = top / VERIFIED
    return built(top) and stamp.is_file() and stamp.read_text() == tested_digest(top)


def verify(top: Path, *, tests: bool) -> int:
    """`mvn verify` unless it passed with the same sources; without the tests nothing is noted. Returns its status."""
    if verified(top):
        print("jvm: verified with the same sources (make jvm runs the tests all the same)", flush=True)
        return 0
    before = tested_digest(top)
    (top / VERIFIED).unlink(missing_ok=True)
    options = [] if tests else ["-DskipTests"]
    status = subprocess.run(["mvn", "-B", "-ntp", "--quiet", *options, "verify"], cwd=top).returncode
    if tests and status == 0:
        (top / VERIFIED).write_text(before)
    return status


def main(task: str, arguments: list[str]) -> int:
    top = jvm_sources()
    try:
        if task == "mvn":
            need_tools()
            return subprocess.run(["mvn", "-B", "-ntp", *arguments], cwd=top).returncode
        if task in ("verify", "package"):
            need_tools()
            return verify(top, tests=task == "verify")
        if not built(top):
            need_tools()
            print("jvm: building the workers (the first time Maven fetches about 700 MB)", flush=True)
            build(top)
    except Missing as missing:
        print(f"jvm: {missing.reason}; {missing.hint}", file=sys.stderr)
        return 0 if task == "build-if-possible" else 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("build", "build-if-possible", "verify", "package", "mvn"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
