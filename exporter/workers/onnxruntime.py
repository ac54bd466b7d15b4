"""ONNX Runtime worker, CPU provider, one thread so that sums are taken in one order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from exporter.model import TensorSpec
from exporter.tensors import Tensors, as_strings, as_text
from exporter.workers.serve import RuntimeHandler, Unsupported, serve

_DTYPES = {
    "bool": "bool", "uint8": "uint8", "int8": "int8", "uint16": "uint16", "int16": "int16", "float16": "float16",
    "uint32": "uint32", "int32": "int32", "float": "float32", "uint64": "uint64", "int64": "int64",
    "double": "float64", "string": "string",
}  # fmt: skip


class OnnxModel:
    """One ONNX file; its names are the signature's."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(_spec(v) for v in self._session.get_inputs())
        self.outputs = tuple(_spec(v) for v in self._session.get_outputs())

    def run(self, inputs: Tensors) -> Tensors:
        feeds: dict[str, Any] = {}
        for spec in self.inputs:
            array = inputs[spec.name]
            feeds[spec.name] = _text(spec.name, array) if spec.dtype == "string" else np.asarray(array, order="C")
        names = [s.name for s in self.outputs]
        results = self._session.run(names, feeds)
        return {
            n: as_strings(r) if s.dtype == "string" else r for n, s, r in zip(names, self.outputs, results, strict=True)
        }


def _text(name: str, array: Any) -> Any:
    try:
        decoded = as_text(array)
    except UnicodeDecodeError as error:
        raise Unsupported(f"ONNX strings are UTF-8 text, input {name!r} holds {error.object!r}") from None
    if any("\0" in text for text in decoded.reshape(-1)):
        raise Unsupported(f"ONNX Runtime cuts strings at NUL, and input {name!r} holds one")
    return decoded


def _spec(value: Any) -> TensorSpec:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _DTYPES:
        raise Unsupported(f"tensor {value.name!r} has type {value.type}")
    return TensorSpec(value.name, _DTYPES[kind], tuple(d if isinstance(d, int) else None for d in value.shape))


def main() -> None:
    onnxruntime.set_default_logger_severity(3)
    serve(
        RuntimeHandler(
            "onnxruntime",
            lambda path, format, key: OnnxModel(path),
            versions={"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
            formats=("onnx",),
            dtypes=tuple(_DTYPES.values()),
        )
    )


if __name__ == "__main__":
    main()
