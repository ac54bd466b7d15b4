"""SavedModels in TensorFlow: through the object loader of Python, and through a session, as the other languages do."""

from exporter.runtimes import Runtime, python_worker

RUNTIMES = (
    Runtime(
        name="tensorflow",
        title="tf.saved_model.load in a fresh process",
        formats=("saved-model",),
        kind="same-kernels",
        command=python_worker("tensorflow"),
        process="tensorflow",
    ),
    Runtime(
        name="tensorflow-session",
        title="a TensorFlow session, as Serving and the C API load it",
        formats=("saved-model",),
        kind="same-kernels",
        command=python_worker("tensorflow"),
        process="tensorflow",
    ),
)
