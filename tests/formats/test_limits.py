"""Models at the edge of a format: what cannot be reloaded, keeps state or is broken itself is said before it hurts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

MODELS = """
import keras
import numpy as np
import tensorflow as tf
from keras import layers as L

keras.utils.set_random_seed(3)


class Counter(tf.Module):
    def __init__(self):
        self.count = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x + self.count.assign_add(1.0)}


def counter():
    return Counter()


def functional(build, **kwargs):
    x = keras.Input((4,), name="x", **kwargs)
    return keras.Model(x, build(x), name="edge")


def operations():
    return functional(lambda x: keras.ops.sum(L.Dense(3)(x), axis=1, keepdims=True))


def lambda_layer():
    return functional(lambda x: L.Lambda(lambda t: t * 2)(L.Dense(3)(x)))


def trained():
    x = keras.Input((8, 8, 1), name="x")
    y = L.Flatten()(L.Resizing(4, 4, name="size")(L.RandomFlip(name="flip")(x)))
    return keras.Model(x, L.Dense(2)(L.Dropout(0.5, name="drop")(y, training=True)), name="edge")


def broken():
    model = functional(lambda x: L.Dense(2, name="y")(x))
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    return model


def names():
    x = [keras.Input((4,), name=name) for name in ("x", "X", "_y", "2 b")]
    return keras.Model(x, [L.Subtract(name="o")(x[:2]), L.Subtract(name="O")(x[2:])])


def no_scope():
    return functional(lambda x: L.Dense(2, name="out 1")(x))


def one_name():
    x = keras.Input((4,), name="x")
    return keras.Model({"x": x}, {"x": L.Dense(3)(x)})
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edge") / "edge.py"
    path.write_text(MODELS)
    return path


def convert(module: Path, name: str, *to: str, runtimes: Sequence[str] = ()) -> tuple[int, dict[str, Any]]:
    """Exit status and report of one conversion to some recipes, run in some runtimes or all."""
    chosen = [word for recipe in to for word in ("--to", recipe)]
    chosen += [word for runtime in runtimes for word in ("--runtime", runtime)]
    command = [sys.executable, "-m", "exporter", "convert", f"{module}:{name}", *chosen, "--json", "-q"]
    done = subprocess.run(
        [*command, "-o", str(module.parent / name)], capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )
    return done.returncode, json.loads(done.stdout)


def artifact(report: dict[str, Any], recipe: str) -> dict[str, Any]:
    return next(a for a in report["artifacts"] if a["recipe"] == recipe)


def test_a_module_with_state_starts_every_case_afresh(module: Path) -> None:
    status, report = convert(module, "counter", "saved-model", "onnx")
    assert [s["name"] for s in report["signatures"]] == ["serving_default"], "__call__ is an ordinary signature"
    for cell in report["cells"]:
        if cell["recipe"] == "saved-model":
            assert cell["outcome"] == ("unsupported" if cell["runtime"].startswith("spark-") else "passed"), cell
            assert cell["outcome"] == "passed" or "keeps state" in cell["reason"]
    assert "changes a variable" in artifact(report, "onnx")["reason"]
    assert status == 1, "onnx was named"
    from exporter.bundle import Bundle

    bundle = Bundle.load(module.parent / "counter")
    for case in bundle.cases:
        outputs, inputs = bundle.expected(case)["y"], bundle.inputs(case)["x"]
        assert (outputs == inputs + 1).all(), case.name


@pytest.mark.parametrize(
    ("name", "recipes"),
    [
        pytest.param("operations", ["h5"], marks=pytest.mark.matrix),
        ("lambda_layer", ["keras", "h5"]),
    ],
)
def test_what_keras_cannot_load_again_is_refused(module: Path, name: str, recipes: list[str]) -> None:
    _, report = convert(module, name, *recipes, "saved-model", runtimes=["tensorflow"])
    for found in (artifact(report, recipe) for recipe in recipes):
        assert found["status"] == "refused"
        assert "cannot load and run it" in found["reason"]
        assert "saved-model" in found["reason"]
    assert {c["outcome"] for c in report["cells"] if c["recipe"] == "saved-model"} == {"passed"}


def test_a_layer_called_in_training_mode_is_noted(module: Path) -> None:
    status, report = convert(module, "trained", "saved-model", runtimes=["tensorflow"])
    assert status == 0
    # preprocessing layers take True where nothing is given
    assert [note for note in report["summary"]["notes"] if "training=True" in note] == [
        "layer 'drop' is called with training=True; in inference mode, as in model.predict, that has no effect"
    ]


def test_agreeing_with_nothing_but_nan_confirms_nothing(module: Path) -> None:
    status, report = convert(module, "broken", "onnx", runtimes=["onnxruntime"])
    assert {c["outcome"] for c in report["cells"]} == {"passed"}
    assert status == 1
    assert "'y' is not finite anywhere" in report["summary"]["problems"][0]


def test_inputs_and_outputs_get_names_that_every_format_can_hold(module: Path) -> None:
    """Names that differ in case only are one name in TensorFlow's graphs, and none may start with `_` or a digit."""
    recipes = ("saved-model", "tflite", "onnx", "tfjs-graph", "tfjs-layers")
    runtimes = ("tensorflow", "litert", "onnxruntime", "tfjs-node-cpu")
    status, report = convert(module, "names", *recipes, runtimes=runtimes)
    (signature,) = report["signatures"]
    assert [s["name"] for s in signature["inputs"]] == ["x", "X_1", "y", "tensor_2_b"]
    assert [s["name"] for s in signature["outputs"]] == ["o", "O_1"]
    assert status == 0, report["summary"]["problems"]
    assert {c["outcome"] for c in report["cells"]} == {"passed"}


def test_a_layer_that_cannot_be_traced_is_named(module: Path) -> None:
    command = [sys.executable, "-m", "exporter", "convert", f"{module}:no_scope", "-q", "-o", str(module.parent / "no")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("error: a layer or model is called 'out 1', and TensorFlow cannot trace it")
    assert "rename it" in done.stderr


def test_onnx_has_one_name_space(module: Path) -> None:
    _, report = convert(module, "one_name", "onnx", "tflite", runtimes=["litert"])
    assert "names both an input and an output" in artifact(report, "onnx")["reason"]
    assert {c["outcome"] for c in report["cells"] if c["recipe"] == "tflite"} == {"passed"}
