"""Importing TensorFlow with no more than a worker needs.

TensorFlow imports Keras, and Keras imports scikit-learn for wrappers: together a third of the time a worker takes to
start. Both are optional to who imports them, so a worker that uses neither starts as where they are not installed.
"""

from __future__ import annotations

import importlib
import os
import sys


def import_tensorflow(*, without: tuple[str, ...] = ()) -> None:
    """Import TensorFlow, quietly, while the packages `without` cannot be imported; afterwards they can be again."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    blocked = [name for name in without if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]  # None: importing it raises ImportError
    try:
        importlib.import_module("tensorflow")
        if "keras" not in blocked:
            importlib.import_module("keras")
    finally:
        for name in blocked:
            del sys.modules[name]
