"""Reloading the Keras files in a fresh process, where a model that only works in its author's session shows."""

from exporter.runtimes import Runtime, python_worker

RUNTIME = Runtime(
    name="keras",
    title="Keras reload in a fresh process",
    formats=("keras", "h5"),
    kind="same-kernels",
    command=python_worker("keras"),
    needs_code=True,
)
