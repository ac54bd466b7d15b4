"""Which float64 outputs are computed in float64, and that those are judged as such."""

from __future__ import annotations

import textwrap
from pathlib import Path

from exporter import api
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew

MODULE = """
import numpy as np
import tensorflow as tf

class Mixed(tf.Module):
    def __init__(self):
        self.w = tf.Variable(np.linspace(-1, 1, 12).reshape(3, 4))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def double(self, x):
        return {"y": tf.tanh(tf.cast(x, tf.float64) @ self.w)}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def single(self, x):
        return {"y": tf.cast(tf.tanh(x), tf.float64) / 3}

def build():
    return Mixed()
"""


def test_float64_from_end_to_end_has_a_bound_of_its_own(tmp_path: Path, crew: Crew) -> None:
    (tmp_path / "model.py").write_text(textwrap.dedent(MODULE))
    bundle = api.convert(
        f"{tmp_path}/model.py:build",
        tmp_path / "bundle",
        to=["saved-model", "onnx"],
        runtime=["tensorflow", "onnxruntime"],
        run_options=RunOptions(crew=crew),
    )
    assert bundle.source["float64"] == {"double": ["y"]}
    report = bundle.report
    assert report is not None
    assert report.verdict == "passed", report.problems
    allowed = {
        (cell["recipe"], cell["signature"]): cell["outputs"]["y"]["allowed"] for cell in report.to_json()["cells"]
    }
    assert allowed["onnx", "single"] == "rtol 0.0001, atol 0.0001·S"
    assert allowed["onnx", "double"] == "rtol 1.86265e-13, atol 1.86265e-13·S"
