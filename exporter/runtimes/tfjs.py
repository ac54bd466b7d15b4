"""TensorFlow.js in Node: the plain JavaScript backend and the WebAssembly one."""

from exporter.runtimes import Limits, Runtime
from exporter.runtimes._node import node_worker

RUNTIMES = (
    Runtime(
        name="tfjs-node-cpu",
        title="TensorFlow.js in Node, JavaScript kernels",
        formats=("tfjs-graph", "tfjs-layers"),
        kind="tfjs",
        command=node_worker("tfjs-node-cpu"),
        limits=Limits(run=900),
    ),
    Runtime(
        name="tfjs-node-wasm",
        title="TensorFlow.js in Node, WebAssembly kernels",
        formats=("tfjs-graph", "tfjs-layers"),
        kind="tfjs",
        command=node_worker("tfjs-node-wasm"),
        fragile=True,  # an access out of bounds in one kernel was seen to break every later run
    ),
)
