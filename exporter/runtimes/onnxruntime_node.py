"""ONNX Runtime's native CPU provider in Node."""

from exporter.runtimes import Runtime
from exporter.runtimes._node import node_worker

RUNTIME = Runtime(
    name="onnxruntime-node",
    title="ONNX Runtime in Node, CPU",
    formats=("onnx",),
    kind="cpu",
    command=node_worker("onnxruntime-node"),
)
