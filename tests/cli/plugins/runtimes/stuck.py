"""A runtime that takes ONNX files and never answers."""

import sys

from exporter.runtimes import Runs, Runtime

RUNTIME = Runtime(
    name="stuck",
    title="never answers",
    formats=("onnx",),
    kind="cpu",
    command=lambda: [sys.executable, "-c", "import threading; threading.Event().wait()"],
    runs=Runs.ON_REQUEST,
)
