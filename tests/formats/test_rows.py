"""Inputs with rows of their own: queries against candidates, in other numbers than each other, in every format."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest

from exporter import api
from exporter.convert_options import ConvertOptions
from exporter.errors import InputsError
from exporter.outcome import Passed
from exporter.parity.report import summary_line
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew

MODULE = """
import numpy as np
import tensorflow as tf

def spec(name):
    return tf.TensorSpec([None, 3], tf.float32, name=name)

class Retrieval(tf.Module):
    def __init__(self):
        self.w = tf.Variable(np.linspace(-1, 1, 12).reshape(3, 4).astype("float32"))

    @tf.function(input_signature=[spec("queries"), spec("candidates")])
    def score(self, queries, candidates):
        return {"scores": tf.matmul(queries @ self.w, candidates @ self.w, transpose_b=True)}

class Pairs(tf.Module):
    @tf.function(input_signature=[spec("queries"), spec("candidates")])
    def score(self, queries, candidates):
        return {"scores": tf.reduce_sum(queries * candidates, -1)}
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(textwrap.dedent(MODULE))
    rows = np.random.default_rng(0)
    np.savez(
        tmp_path / "rows.npz",
        **{n: rows.normal(size=(k, 3)).astype("f4") for n, k in {"queries": 3, "candidates": 7}.items()},
    )
    return path


@pytest.mark.parametrize("own", ["rows.npz", ""])
def test_each_input_has_rows_of_its_own(module: Path, own: str, crew: Crew) -> None:
    runtimes = ["tensorflow", "onnxruntime", "litert", "tfjs-node-cpu"]
    bundle = api.convert(
        f"{module}:Retrieval",
        module.parent / "bundle",
        to=["saved-model", "onnx", "tflite", "tfjs-graph"],
        options=ConvertOptions(inputs=str(module.parent / own) if own else None),
        runtime=runtimes,
        run_options=RunOptions(crew=crew),
    )
    assert bundle.signatures[0].independent
    assert not bundle.signatures[0].batched
    assert bundle.report is not None
    assert {cell.runtime for cell in bundle.report.results} == set(runtimes)
    for result in bundle.report.results.values():
        assert isinstance(result.outcome, Passed), summary_line(result)
    assert api.verify(bundle.root, runtime=["onnxruntime"], run_options=RunOptions(crew=crew)).verdict == "passed"


def test_a_batch_has_one_number_of_rows(module: Path) -> None:
    options = ConvertOptions(inputs=str(module.parent / "rows.npz"))
    with pytest.raises(InputsError, match=r"takes one number of rows for all inputs, found \{'queries': 3"):
        api.convert(f"{module}:Pairs", module.parent / "bundle", to=["saved-model"], options=options, verify=False)
