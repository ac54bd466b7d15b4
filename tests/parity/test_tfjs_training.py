"""What training in TF.js depends on arrives there: initializers, regularizers and constraints, against Keras' own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import Input, Sequential, constraints, initializers, regularizers
from keras import layers as L

from exporter.formats.tfjs_layers import write
from exporter.runtimes._node import node
from exporter.source.loaders import from_keras

# name -> what the kernel of a layer is given
INITIALIZERS = {
    **{n: n for n in ("zeros", "ones", "glorot_uniform", "he_uniform", "lecun_uniform", "orthogonal")},
    "constant": initializers.Constant(0.25),
    "random_uniform": initializers.RandomUniform(-0.3, 0.7),
    "random_normal": initializers.RandomNormal(0.5, 0.2),
    "truncated_normal": initializers.TruncatedNormal(-0.5, 0.2),
}
CONSTRAINTS = {
    "max_norm": constraints.MaxNorm(1.5, axis=0),
    "max_norm_last": constraints.MaxNorm(0.5, axis=1),
    "unit_norm": constraints.UnitNorm(axis=0),
    "min_max_norm": constraints.MinMaxNorm(0.5, 1.0, rate=0.7, axis=0),
    "non_neg": constraints.NonNeg(),
}
REGULARIZERS = {
    "l1": regularizers.L1(0.03),
    "l2": regularizers.L2(0.02),
    "l1_l2": regularizers.L1L2(0.01, 0.05),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(model, what TF.js says of each weight), by one run of Node for all layers."""
    keras.utils.set_random_seed(4)
    directory = tmp_path_factory.mktemp("training")
    layers = [
        *(L.Dense(60, kernel_initializer=i, name=f"initializer_{n}") for n, i in INITIALIZERS.items()),
        *(L.Dense(60, kernel_constraint=c, name=f"constraint_{n}") for n, c in CONSTRAINTS.items()),
        *(L.Dense(60, kernel_regularizer=r, name=f"regularizer_{n}") for n, r in REGULARIZERS.items()),
        L.Reshape((6, 10)),
        L.Conv1D(40, 3, kernel_initializer="he_uniform", kernel_constraint="non_neg", name="convolution"),
        L.LSTM(
            40,
            kernel_initializer="glorot_uniform",
            recurrent_regularizer="l2",
            kernel_constraint="non_neg",
            name="lstm",
        ),
    ]
    model = Sequential([Input((60,)), *layers])
    (directory / "artifact").mkdir()
    write(from_keras(model, directory), directory / "artifact", {"shard-size": "4MiB"})
    given = {f"{layer.name}/{v.path.split('/')[-1]}": v for layer in model.layers for v in layer.weights}
    weights = directory / "weights.json"
    weights.write_text(json.dumps({n: v.numpy().ravel().tolist() for n, v in given.items()}))
    script = Path(__file__).with_name("tfjs_training.mjs")
    done = subprocess.run(
        [node(), str(script), str(directory / "artifact/model.json"), str(weights)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return given, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", [*(f"initializer_{n}" for n in INITIALIZERS), "convolution", "lstm"])
def test_a_model_built_anew_draws_from_the_same_distribution(name, found):
    variables, said = found
    kernel, drawn = variables[f"{name}/kernel"].numpy().astype(np.float64), said[f"{name}/kernel"]
    spread = float(kernel.std())
    assert drawn["mean"] == pytest.approx(kernel.mean(), abs=0.1 * spread + 1e-6)
    # of 2,400 numbers and more, drawn anew in every run: six times the deviation of what is compared
    assert drawn["deviation"] == pytest.approx(spread, rel=0.09, abs=1e-6)
    if "normal" not in name and "orthogonal" not in name:  # bounded
        assert drawn["largest"] == pytest.approx(np.abs(kernel).max(), rel=0.02)


@pytest.mark.parametrize("name", [*(f"constraint_{n}" for n in CONSTRAINTS), "convolution", "lstm"])
def test_a_constraint_does_the_same(name, found):
    variables, said = found
    kernel = variables[f"{name}/kernel"].value
    expected = keras.constraints.get(CONSTRAINTS.get(name.removeprefix("constraint_"), "non_neg"))(kernel).numpy()
    np.testing.assert_allclose(said[f"{name}/kernel"]["constrained"], expected.ravel(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [*(f"regularizer_{n}/kernel" for n in REGULARIZERS), "lstm/recurrent_kernel"])
def test_a_regularizer_costs_the_same(name, found):
    variables, said = found
    regularizer = REGULARIZERS.get(name.split("/")[0].removeprefix("regularizer_"), regularizers.L2(0.01))
    assert said[name]["penalty"] == pytest.approx(float(regularizer(variables[name].value)), rel=1e-4)
