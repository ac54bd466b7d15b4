"""LiteRT.js (WebAssembly, XNNPACK) in Node."""

from exporter.runtimes import Runtime
from exporter.runtimes._node import node_worker

RUNTIME = Runtime(
    name="litert-node",
    title="LiteRT.js in Node, WebAssembly",
    formats=("tflite",),
    kind="cpu",
    command=node_worker("litert-node"),
)
