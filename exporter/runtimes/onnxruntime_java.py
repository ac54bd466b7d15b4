"""ONNX Runtime's native CPU provider on the JVM."""

from exporter.runtimes import Recycle, Runtime
from exporter.runtimes._jvm import jvm_worker

RUNTIME = Runtime(
    name="onnxruntime-java",
    title="ONNX Runtime on the JVM, CPU",
    formats=("onnx",),
    kind="cpu",
    command=jvm_worker("onnxruntime-java"),
    recycle=Recycle(),
)
