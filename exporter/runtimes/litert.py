"""TFLite files in LiteRT's Python interpreter, with its default delegate, without, with the reference kernels; and in
that of TensorFlow, where integers are at stake: it has other kernels, so it tells whose fault a difference is."""

from exporter.runtimes import Limits, Runs, Runtime, python_worker

RUNTIMES = (
    Runtime(
        name="litert",
        title="LiteRT with its default delegate (XNNPACK)",
        formats=("tflite",),
        kind="cpu",
        command=python_worker("litert", "litert"),
    ),
    Runtime(
        name="litert-no-delegate",
        title="LiteRT's own optimized kernels, no delegate",
        formats=("tflite",),
        kind="cpu",
        command=python_worker("litert", "litert-no-delegate"),
    ),
    Runtime(
        name="litert-reference",
        title="LiteRT's reference kernels (40 times slower)",
        formats=("tflite",),
        kind="cpu",
        command=python_worker("litert", "litert-reference"),
        runs=Runs.ON_REQUEST,
        limits=Limits(run=3600),
    ),
    Runtime(
        name="tensorflow-lite",
        title="the interpreter inside TensorFlow, with its default delegate: for comparison, it is deprecated",
        formats=("tflite",),
        kind="cpu",
        command=python_worker("litert", "tensorflow-lite"),
        runs=Runs.QUANTIZED,
    ),
)
