"""TensorFlow worker for SavedModels: `tensorflow` (object loader) and `tensorflow-session` (session loader).

The session loader is what TensorFlow Java, Serving and the C API use: it runs the restore ops of the file instead of
walking Python objects, and finds SavedModels that are broken for everyone but Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exporter.workers.importing import import_tensorflow

import_tensorflow(without=("keras", "sklearn"))

import numpy as np
import tensorflow as tf

from exporter.model import TensorSpec
from exporter.source.trace import dims
from exporter.tensors import DTYPES, Tensors, as_strings
from exporter.workers.serve import Hosted, Loaded, RequestError, RuntimeHandler, serve
from exporter.workers.source import quiet, versions


def _array(value: Any) -> Any:
    array = np.asarray(value)
    return as_strings(array) if array.dtype.kind in "OSU" else array


class ObjectModel:
    """One signature through `tf.saved_model.load`."""

    def __init__(self, path: Path, key: str) -> None:
        self._loaded = tf.saved_model.load(str(path))
        _check_signature(path, key, self._loaded.signatures)
        self._function = self._loaded.signatures[key]
        specs = self._function.structured_input_signature[1]
        results = self._function.structured_outputs
        self.inputs = tuple(TensorSpec(n, s.dtype.name, dims(s.shape)) for n, s in specs.items())
        self.outputs = tuple(TensorSpec(n, s.dtype.name, dims(s.shape)) for n, s in results.items())

    def run(self, inputs: Tensors) -> Tensors:
        with tf.device("/CPU:0"):
            tensors = {s.name: tf.constant(inputs[s.name], s.dtype) for s in self.inputs}
            return {n: _array(t.numpy()) for n, t in self._function(**tensors).items()}


class SessionModel:
    """One signature through a session, by the tensor names the file states."""

    def __init__(self, path: Path, key: str) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        _check_signature(path, key, meta.signature_def)
        found = meta.signature_def[key]
        self._feeds = {n: t.name for n, t in found.inputs.items()}
        self._fetches = {n: t.name for n, t in found.outputs.items()}
        self.inputs = tuple(_info(n, t) for n, t in sorted(found.inputs.items()))
        self.outputs = tuple(_info(n, t) for n, t in sorted(found.outputs.items()))

    def run(self, inputs: Tensors) -> Tensors:
        feeds = {self._feeds[n]: a for n, a in inputs.items()}
        return {n: _array(v) for n, v in self._session.run(self._fetches, feeds).items()}


def _check_signature(path: Path, key: str, available: Mapping[str, Any]) -> None:
    if key not in available:
        raise RequestError("no-signature", f"{path.name} has no signature {key!r}; it has {sorted(available)}")


def _info(name: str, tensor: Any) -> TensorSpec:
    return TensorSpec(name, tf.dtypes.as_dtype(tensor.dtype).name, dims(tf.TensorShape(tensor.tensor_shape)))


_OPENERS: dict[str, Callable[[Path, str], Loaded]] = {"tensorflow": ObjectModel, "tensorflow-session": SessionModel}


def main() -> None:
    quiet()
    serve(Hosted({name: _handler(name, opener) for name, opener in _OPENERS.items()}))


def _handler(name: str, opener: Callable[[Path, str], Loaded]) -> RuntimeHandler:
    return RuntimeHandler(
        name,
        lambda path, format, key: opener(path, key),
        versions=versions(),
        formats=("saved-model",),
        dtypes=(*DTYPES, "string"),
    )


if __name__ == "__main__":
    main()
