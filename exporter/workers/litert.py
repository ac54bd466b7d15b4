"""LiteRT worker. argv: the runtime's name, which decides the kernels."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from exporter.model import TensorSpec
from exporter.tensors import Tensors, as_strings
from exporter.workers.serve import RequestError, RuntimeHandler, serve

# name of the runtime -> member of OpResolverType
_RESOLVERS = {
    "litert": "AUTO",
    "litert-no-delegate": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "litert-reference": "BUILTIN_REF",
    "tensorflow-lite": "AUTO",
}
_DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "float16", "bfloat16", "uint32", "int32", "float32", "uint64",
    "int64", "float64", "complex64", "string",
)  # fmt: skip


class LiteRtModel:
    """One signature of a .tflite file. Shapes are resized to what is fed, which keeps the batch dynamic."""

    def __init__(self, path: Path, key: str, library: Any, resolver: str) -> None:
        self._interpreter = library.Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=getattr(library.OpResolverType, resolver),
            num_threads=1,
        )
        signatures = self._interpreter.get_signature_list()
        if key not in signatures:
            raise RequestError("no-signature", f"{path.name} has no signature {key!r}; it has {sorted(signatures)}")
        self._runner = self._interpreter.get_signature_runner(key)
        self.inputs = tuple(_spec(n, d) for n, d in self._runner.get_input_details().items())
        self.outputs = tuple(_spec(n, d) for n, d in self._runner.get_output_details().items())

    def run(self, inputs: Tensors) -> Tensors:
        # the runner copies every array except those that are already owned by the interpreter
        results = self._runner(**inputs)
        return {n: as_strings(v) if v.dtype.kind in "OSU" else np.array(v) for n, v in results.items()}


def _spec(name: str, details: dict[str, Any]) -> TensorSpec:
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    kind = np.dtype(details["dtype"])
    dtype = "string" if kind.kind in "OSU" else kind.name
    return TensorSpec(name, dtype, tuple(None if d < 0 else int(d) for d in shape))


def _library(runtime: str) -> tuple[Any, dict[str, str]]:
    """The module with the interpreter, and what it is a part of."""
    if runtime == "tensorflow-lite":
        from exporter.workers.importing import import_tensorflow

        import_tensorflow(without=("keras", "sklearn"))
        import tensorflow as tf
        from tensorflow.lite.python import interpreter

        return interpreter, {"tensorflow": tf.__version__}
    from ai_edge_litert import interpreter

    return interpreter, {"ai-edge-litert": version("ai-edge-litert")}


def main() -> None:
    runtime = sys.argv[1]
    library, versions = _library(runtime)
    serve(
        RuntimeHandler(
            runtime,
            lambda path, format, key: LiteRtModel(path, key, library, _RESOLVERS[runtime]),
            versions={**versions, "numpy": np.__version__},
            formats=("tflite",),
            dtypes=_DTYPES,
        )
    )


if __name__ == "__main__":
    main()
