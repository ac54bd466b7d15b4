"""Formats whose writers go wrong, one way each. They come between `h5` and the formats of frozen graphs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from exporter.formats import Format, Refused, Written


def _crashes(source: object, directory: Path, options: Mapping[str, str]) -> Written:
    (directory / "half").write_text("written before the crash")
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("still alive")


def _raises(source: object, directory: Path, options: Mapping[str, str]) -> Written:
    raise ValueError("the scale of layer 'dense' is negative")


def _refuses(source: object, directory: Path, options: Mapping[str, str]) -> Written:
    raise Refused("layer 'scores' has a softmax, which this format lacks; use onnx")


def _hangs(source: object, directory: Path, options: Mapping[str, str]) -> Written:
    threading.Event().wait()
    raise AssertionError("the wait ended")


FORMATS = (
    Format("crashes", "kills its process", _crashes, order=20),
    Format("raises", "raises an exception", _raises, order=21),
    Format("refuses", "cannot carry the model", _refuses, order=22),
    Format("hangs", "never ends", _hangs, order=23),
)
