"""Where the files that ship beside the Python code are: in a checkout at its top, in a wheel under `_bundled`."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """Directory that holds `reference_models/` and `runtimes/`."""
    bundled = _PACKAGE / "_bundled"
    return bundled if bundled.is_dir() else _PACKAGE.parent


def reference_models_root() -> Path:
    return root() / "reference_models"


def js_sources() -> Path:
    """Directory with `package.json` and `src/` of the JavaScript workers."""
    return root() / "runtimes" / "js"


def jvm_sources() -> Path:
    """Directory with the Maven modules of the JVM workers."""
    return root() / "runtimes" / "jvm"


def cache_home() -> Path:
    """The user's cache directory of this tool (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "exporter"
