"""ONNX Runtime's CPU provider in Python."""

from exporter.runtimes import Runtime, python_worker

RUNTIME = Runtime(
    name="onnxruntime",
    title="ONNX Runtime, CPU",
    formats=("onnx",),
    kind="cpu",
    command=python_worker("onnxruntime"),
)
