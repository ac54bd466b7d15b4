"""What LiteRT.js cannot run is told before it runs, and nothing else: outputs whose size is computed during the run.

It hands out a buffer of the size that the file states; the interpreter writes elsewhere, and what is read is memory
that nobody wrote. Without the check these models are wrong: the day they are not, the check has to go.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from exporter import api
from exporter.outcome import Passed, Unsupported
from exporter.parity.report import summary_line
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew

MODELS = """
import keras
from keras import layers

def made(shape, make):
    keras.utils.set_random_seed(1)
    x = keras.Input(shape, name="x")
    return keras.Model(x, make(x))

def transposed():
    return made((5, 5, 2), layers.Conv2DTranspose(3, 3, strides=2, name="out"))

def sequence_and_state():
    return made((6, 3), layers.GRU(4, return_sequences=True, return_state=True))

def state():
    return made((6, 3), layers.GRU(4, return_state=True))

def sequence():
    return made((6, 3), layers.LSTM(4, return_sequences=True))

def sorted_inside():
    return made((6,), lambda x: layers.Activation("sparsemax")(layers.Dense(5)(x)))
"""
REFUSED = {"transposed": "TRANSPOSE_CONV", "sequence_and_state": "WHILE"}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(textwrap.dedent(MODELS))
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_an_output_that_is_sized_late_is_unsupported(name: str, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = api.convert(f"{module}:{name}", module.parent / "bundle", to=["tflite"], runtime=["litert-node"])
    assert bundle.report is not None
    for result in bundle.report.results.values():
        assert isinstance(result.outcome, Unsupported), summary_line(result)
        assert f"comes from a {REFUSED[name]} whose size is computed while the model runs" in result.outcome.reason
    monkeypatch.setenv("EXPORTER_LITERT_CHECKS", "none")
    without = api.verify(bundle.root, runtime=["litert-node"])
    wrong = [r for r in without.results.values() if not isinstance(r.outcome, Passed)]
    assert wrong, "LiteRT.js runs it rightly now: the check is stale"


@pytest.mark.parametrize("name", ["state", "sequence", "sorted_inside"])
def test_what_has_a_known_size_runs_at_every_batch(name: str, module: Path, crew: Crew) -> None:
    run = RunOptions(crew=crew)
    bundle = api.convert(
        f"{module}:{name}", module.parent / "bundle", to=["tflite"], runtime=["litert-node"], run_options=run
    )
    assert bundle.report is not None
    for result in bundle.report.results.values():
        assert isinstance(result.outcome, Passed), summary_line(result)
