"""SavedModels in TensorFlow Java."""

from exporter.runtimes import Recycle, Runtime
from exporter.runtimes._jvm import jvm_worker

RUNTIME = Runtime(
    name="tensorflow-java",
    title="TensorFlow Java, a session on the JVM",
    formats=("saved-model",),
    kind="cpu",
    command=jvm_worker("tensorflow-java"),
    # it keeps about 1.4 MB of every model that was loaded and closed again
    recycle=Recycle(loads=200),
)
