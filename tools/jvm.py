"""Build the JVM workers in the checkout, unless they are built already from the same sources.

usage: python tools/jvm.py build            a JDK or Maven that is missing is installed (root on Debian), or named
       python tools/jvm.py build-if-possible   the same, but a machine without them is no error
       python tools/jvm.py mvn ARGUMENT...   Maven in runtimes/jvm
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from exporter.resources import jvm_sources
from exporter.runtimes import Missing
from exporter.runtimes._jvm import build, built

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


def main(task: str, arguments: list[str]) -> int:
    top = jvm_sources()
    try:
        if task == "mvn":
            need_tools()
            return subprocess.run(["mvn", "-B", "-ntp", *arguments], cwd=top).returncode
        if not built(top):
            need_tools()
            print("jvm: building the workers (the first time Maven fetches about 700 MB)", flush=True)
            build(top)
    except Missing as missing:
        print(f"jvm: {missing.reason}; {missing.hint}", file=sys.stderr)
        return 0 if task == "build-if-possible" else 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("build", "build-if-possible", "mvn"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
