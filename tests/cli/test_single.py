"""`run`, `compare` and `inspect` on every format, outside any bundle's bookkeeping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors

FORMATS = ("keras", "h5", "tfjs-layers", "saved-model", "tfjs-graph", "onnx", "tflite")
ROWS = np.array([[0, 1, 2, 3], [-1, 0.5, 0.25, 8], [1, 1, 1, 1]], np.float32)


def test_every_format_runs_and_agrees(cli: Any, every_format: Any) -> None:
    np.savez(cli.directory / "in.npz", features=ROWS)
    ran = cli.together(
        *(
            ["run", every_format.root / "artifacts" / name, "--inputs", "in.npz", "--outputs", f"{name}.npz", "--json"]
            for name in FORMATS
        )
    )
    for name, result in zip(FORMATS, ran, strict=True):
        assert result.json["outputs"] == [{"name": "scores", "dtype": "float32", "shape": [3, 3]}], name
        assert result.json["elapsed_ns"] > 0
        assert result.json["versions"]
    keras = np.load(cli.directory / "keras.npz")["scores"]
    assert np.allclose(keras.sum(axis=1), 1)
    for name in FORMATS[1:]:
        assert np.allclose(np.load(cli.directory / f"{name}.npz")["scores"], keras, rtol=1e-4, atol=1e-6), name
    same = cli("compare", "tflite.npz", "keras.npz", "--json").json
    assert (same["outcome"], same["code"]) == ("passed", "")
    assert same["outputs"]["scores"]["elements"] == 9


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".json", ".safetensors"])
def test_outputs_in_every_kind_of_file(cli: Any, small: Any, suffix: str) -> None:
    np.save(cli.directory / "in.npy", ROWS)
    artifact = small.root / "artifacts" / "onnx" / "model.onnx"
    result = cli("run", artifact, "--inputs", "in.npy", "--outputs", f"deep/out{suffix}", "--runtime", "onnxruntime")
    assert f"written to deep/out{suffix}" in result.out
    cli("run", artifact, "--inputs", "in.npy", "--outputs", "again.safetensors", "--quiet")
    assert cli("compare", f"deep/out{suffix}", "again.safetensors", "--json").json["outcome"] == (
        "passed" if suffix != ".json" else "mismatched"
    )
