"""Keras 2 lives on as the package tf_keras, which only its own files need: whether it is there, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from exporter.errors import SourceError


def has_tf_keras() -> bool:
    """Whether tf_keras can be imported; it is not imported."""
    return importlib.util.find_spec("tf_keras") is not None


def install_command() -> str:
    """The command that installs the tf_keras of the TensorFlow that is there.

    tf_keras asks for the distribution `tensorflow`, which would be installed into the directory of `tensorflow-cpu`.
    """
    versions = (_version(name) for name in ("tensorflow-cpu", "tensorflow"))
    found = next((v for v in versions if v), "2.21")
    return f"pip install --no-deps 'tf-keras=={'.'.join(found.split('.')[:2])}.*'"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def need_tf_keras(what: str) -> None:
    """Raises `SourceError` where tf_keras is missing; `what` completes "…, which only tf_keras reads"."""
    if not has_tf_keras():
        raise SourceError(
            "needs-tf-keras",
            f"{what}, which only tf_keras reads; Keras 3 reads it wrongly or not at all",
            f"{install_command()} (--no-deps, for it would install tensorflow beside tensorflow-cpu)",
        )
