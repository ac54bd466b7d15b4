"""Create the virtual environment and install the locked packages. Standard library only: nothing is there yet.

usage: python3 tools/setup.py VENV
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
MINIMUM_NODE = 20


def stop(message: str) -> None:
    sys.exit(f"setup: {message}")


def need_python() -> None:
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        found = ".".join(map(str, sys.version_info[:3]))
        stop(f"found Python {found}, expected 3.11, 3.12 or 3.13; run: make PYTHON=python3.12 …")
    if sys.platform == "win32":
        stop("Windows is not supported; use Linux (or WSL)")


def need_venv() -> None:
    """Debian ships Python without venv and ensurepip unless python3-venv is installed."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        install = ["apt-get", "install", "-y", "python3-venv"]
        if os.geteuid() == 0 and shutil.which("apt-get"):
            subprocess.run(["apt-get", "update"], check=True)
            subprocess.run(install, check=True)
        else:
            stop(f"this Python has no venv module; run: sudo {' '.join(install)}")


def system_node() -> bool:
    """True when Node and npm of a usable version are there."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    text = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"v(\d+)", text)
    return bool(found) and int(found.group(1)) >= MINIMUM_NODE


def main(venv: Path) -> None:
    need_python()
    need_venv()
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(TOP / "requirements.lock")], check=True)
    # it asks for the distribution tensorflow, which would land in the directory of tensorflow-cpu
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(TOP / "requirements-keras2.lock")], check=True)
    if not system_node():
        subprocess.run([*pip, "--require-hashes", "-r", str(TOP / "requirements-node.lock")], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(TOP)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
