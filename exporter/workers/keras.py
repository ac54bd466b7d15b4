"""Keras worker: reload `.keras` and `.h5` files in a fresh process. argv: [--custom FILE].

The names it feeds and reads are derived from the reloaded model by the same rule as at the source.
"""

from __future__ import annotations

import sys
from pathlib import Path

from exporter.workers.importing import import_tensorflow

import_tensorflow(without=("sklearn",))

import numpy as np
import tensorflow as tf

from exporter.model import TensorSpec
from exporter.source.keras_signature import keras_call
from exporter.source.loaders import load_code, load_keras_file
from exporter.source.trace import dims
from exporter.tensors import DTYPES, Tensors, as_strings
from exporter.workers.serve import RuntimeHandler, serve
from exporter.workers.source import quiet, versions


class KerasModel:
    """A reloaded model in inference mode, run eagerly; as `predict` runs it where that gives other dtypes."""

    def __init__(self, path: Path, custom: Path | None) -> None:
        self.model = load_keras_file(path, load_code(custom) if custom else None)
        self._call = keras_call(self.model)
        self.inputs = tuple(TensorSpec(n, s.dtype.name, dims(s.shape)) for n, s in self._call.specs.items())
        self._traced = tf.function(self._call.call, autograph=False).get_concrete_function(**self._call.specs)
        results = self._traced.structured_outputs
        self.outputs = tuple(TensorSpec(n, results[n].dtype.name, dims(results[n].shape)) for n in self._call.outputs)

    def run(self, inputs: Tensors) -> Tensors:
        with tf.device("/CPU:0"):
            tensors = {s.name: tf.constant(inputs[s.name], s.dtype) for s in self.inputs}
            results = self._call.call(**tensors)
            if any(results[s.name].dtype.name != s.dtype for s in self.outputs):
                results = self._traced(**tensors)
            out = {}
            for name, tensor in results.items():
                array = tensor.numpy()
                out[name] = as_strings(array) if tensor.dtype == tf.string else np.asarray(array)
            return out


def main() -> None:
    quiet()
    custom = Path(sys.argv[sys.argv.index("--custom") + 1]) if "--custom" in sys.argv else None
    serve(
        RuntimeHandler(
            "keras",
            lambda path, format, key: KerasModel(path, custom),
            versions=versions(),
            formats=("keras", "h5"),
            dtypes=(*DTYPES, "string"),
        )
    )


if __name__ == "__main__":
    main()
