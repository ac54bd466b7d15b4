"""Install the published TF.js converter, as it is published, into an environment of its own. Standard library only.

usage: python3 tools/upstream.py VENV

It pins TensorFlow 2.19, so it cannot live beside ours, and takes 3 GB. The lock was resolved from
tensorflowjs==4.22.0, ydf<0.16 (newer ones do not import beside its protobuf) and setuptools<82 (newer ones have no
pkg_resources, which tensorflow-hub imports).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from setup import TOP, need_venv

LOCK = TOP / "requirements-upstream.lock"


def need_python() -> None:
    """It needs tensorflow-decision-forests, of which no version that fits has a wheel for Python 3.13."""
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"upstream: found Python {found}, expected 3.11 or 3.12: the published converter cannot be installed with "
            "another one; run: make upstream PYTHON=python3.12"
        )


def main(venv: Path) -> None:
    need_python()
    need_venv()
    print("upstream: installing the published TF.js converter, 3 GB", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
