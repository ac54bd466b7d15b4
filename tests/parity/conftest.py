"""What tests of quantized recipes share: a small model whose weights are large enough to be quantized."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter import api
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew

MODEL = """
import keras
import numpy as np
from keras import layers

def build():
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(48, 3, activation="relu", bias_initializer="normal", name="conv")(image)
    x = layers.Conv2D(32, 3, activation="relu", bias_initializer="normal", name="conv_2")(x)
    x = layers.Dense(64, activation="tanh", name="hidden")(layers.Flatten()(x))
    left = layers.Dense(20, bias_initializer="normal", name="left")(x)
    right = layers.Dense(20, bias_initializer="normal", name="right")(x)
    return keras.Model(image, {"left": left, "right": right})

def rows(count=128, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0, 0.4, (count, 4, 4, 3)).repeat(2, axis=1).repeat(2, axis=2)
    return {"image": (smooth * scale).astype("float32")}

def good():
    return rows()

def own():
    return rows(16, seed=1)

def times_255():
    return rows(scale=255)

def one():
    return rows(1)

def same():
    return {"image": np.repeat(rows(1)["image"], 128, axis=0)}

def noise():
    return {"image": np.random.default_rng(5).uniform(-1, 1, (128, 8, 8, 3)).astype("float32")}

def evaluation():
    return {"image": np.concatenate([own()["image"]] * 8)}

def not_a_number():
    found = rows()
    found["image"][7, 1, 2, 0] = np.nan
    return found
"""


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantized") / "model.py"
    path.write_text(textwrap.dedent(MODEL))
    return path


@pytest.fixture(scope="session")
def convert(module: Path, crew: Crew) -> Callable[..., Bundle]:
    """Convert the small model to `output`, beside its module, calibrated on what one of its functions gives."""

    def make(output: str, to: list[str], calibration: str | None, **given: Any) -> Bundle:
        options = ConvertOptions(
            inputs=f"{module}:own", calibration=calibration and f"{module}:{calibration}", **given.pop("options", {})
        )
        run = RunOptions(crew=crew)
        return api.convert(f"{module}:build", module.parent / output, to=to, options=options, run_options=run, **given)

    return make
