"""TensorFlow Lite's C library on the JVM, without delegates."""

from exporter.runtimes import Recycle, Runtime
from exporter.runtimes._jvm import jvm_worker

RUNTIME = Runtime(
    name="tflite-java",
    title="TensorFlow Lite's C API on the JVM, no delegate",
    formats=("tflite",),
    kind="cpu",
    command=jvm_worker("tflite-java"),
    recycle=Recycle(),
)
