"""Run npm in runtimes/js with the Node that the workers use: the system's, or the one from the wheel.

usage: python tools/npm.py ci | test | run check …
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from exporter.resources import js_sources
from exporter.runtimes import Missing
from exporter.runtimes._node import node, npm_command

if __name__ == "__main__":
    try:
        command = [*npm_command(), *sys.argv[1:]]
        path = os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])
    except Missing as missing:
        sys.exit(f"npm: {missing.reason}; run: {missing.hint}")
    sys.exit(subprocess.run(command, cwd=js_sources(), env={**os.environ, "PATH": path}).returncode)
