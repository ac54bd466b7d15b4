"""Consumers that know no names: a page's `predict([a, b])`, TFLite and ONNX by index. Nothing in them is ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Arrays = list[np.ndarray]


def tflite(path: Path, inputs: Arrays) -> Arrays:
    """Feed and read the first subgraph by index; integers at the edges stand for floats, as the file says."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.resize_tensor_input(details["index"], array.shape)
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
        scale, zero = details["quantization"]
        stored = np.clip(np.rint(array / scale + zero), *_limits(details)) if scale else array
        interpreter.set_tensor(details["index"], stored.astype(array.dtype if not scale else details["dtype"]))
    interpreter.invoke()
    outputs = []
    for details in interpreter.get_output_details():
        scale, zero = details["quantization"]
        found = interpreter.get_tensor(details["index"])
        outputs.append((found.astype(np.float32) - zero) * scale if scale else found)
    return outputs


def _limits(details: Mapping[str, Any]) -> tuple[int, int]:
    limits = np.iinfo(details["dtype"])
    return limits.min, limits.max


def onnx(path: Path, inputs: Arrays) -> Arrays:
    """Feed in the order of `get_inputs`, read in that of the file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # float16 files may take float16, and strings are text
    feeds = {
        value.name: array.astype(np.float16 if value.type == "tensor(float16)" else array.dtype)
        if array.dtype.kind != "O"
        else np.vectorize(bytes.decode, otypes=[object])(array)
        for value, array in zip(session.get_inputs(), inputs, strict=True)
    }
    return list(session.run(None, feeds))


def pages(node: str, jobs: Sequence[tuple[Path, Arrays]], scratch: Path) -> list[Arrays]:
    """`predict` of each model.json in one Node process, in TF.js' dtypes."""
    from exporter.resources import root

    described = [{"model": str(path), "inputs": [_value(a) for a in inputs]} for path, inputs in jobs]
    (scratch / "jobs.json").write_text(json.dumps(described))
    script = Path(__file__).with_name("page.mjs")
    environment = {**os.environ, "TFJS_FROM": str(root() / "runtimes" / "js" / "package.json")}
    argv = [node, str(script), str(scratch / "jobs.json")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [[np.array(one["values"]).reshape(one["shape"]) for one in answer] for answer in answers]


def _value(array: np.ndarray) -> dict[str, Any]:
    kind = {"f": "float32", "b": "bool", "i": "int32", "u": "int32"}.get(array.dtype.kind, "string")
    values = array.reshape(-1).tolist()
    if kind == "string":
        values = [v.decode() for v in values]
    return {"dtype": kind, "shape": list(array.shape), "values": values}
