"""The reference models keep their contract: size, names, data, seeds, and what training reaches.

Everything here is about the models themselves; whether their exports agree is the business of the parity tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

from exporter.reference import Data, load_module, missed, names, path_of

# name -> parameters, input names, output names; tf.Module: of all its signatures
CONTRACT = {
    "covid-lstm": (348, ["history"], ["next_day"]),
    "digits-cnn": (79_114, ["image"], ["probabilities"]),
    "imdb-bilstm": (369_793, ["tokens"], ["probability"]),
    "linear-spark": (3, ["inputs"], ["outputs"]),
    "linear-spark-fixed": (3, ["inputs"], ["outputs"]),
    "mobilenet-v2": (3_538_984, ["image"], ["logits"]),
    "multi-io": (548, ["left", "right"], ["value", "label", "spread"]),
    "string-lookup": (251, ["words"], ["probabilities"]),
    "two-signatures": (1_088, ["image", "code"], ["code", "image"]),
}
every_model = pytest.mark.parametrize("name", CONTRACT)
every_keras_model = pytest.mark.parametrize("name", [name for name in CONTRACT if name != "two-signatures"])


@cache
def module(name: str) -> ModuleType:
    return load_module(path_of(name))


@cache
def data(name: str) -> Data:
    return module(name).data()


@cache
def untrained(name: str) -> keras.Model | tf.Module:
    return module(name).build()


@pytest.fixture(scope="session")
def trained(converted: Callable[[str], Any]) -> Callable[[str], keras.Model]:
    """`trained(name)` is the Keras model that a conversion trained and saved."""

    @cache
    def load(name: str) -> keras.Model:
        module(name)  # registers its layers
        (saved,) = (converted(name).root / "artifacts" / "keras").rglob("*.keras")
        return keras.saving.load_model(saved)

    return load


def weights(model: keras.Model | tf.Module) -> list:
    return model.weights if isinstance(model, keras.Model) else list(model.variables)


def digest(model: keras.Model | tf.Module) -> str:
    """Names and bits of all weights."""
    sha = hashlib.sha256()
    for weight in weights(model):
        sha.update(getattr(weight, "path", weight.name).encode())
        sha.update(np.asarray(weight).tobytes())
    return sha.hexdigest()


def same_data(a: Data, b: Data) -> bool:
    return all(
        np.array_equal(x[key], y[key])
        for x, y in [
            (a.train.inputs, b.train.inputs),
            (a.train.targets, b.train.targets),
            (a.test.inputs, b.test.inputs),
            (a.test.targets, b.test.targets),
        ]
        for key in x
    )


def test_every_model_has_a_contract() -> None:
    # others may add models; none of ours may disappear
    assert set(CONTRACT) <= set(names())


@every_model
def test_module_is_complete(name: str) -> None:
    assert module(name).TITLE
    assert "\n" not in module(name).TITLE
    assert module(name).QUALITY
    for sign, bound in module(name).QUALITY.values():
        assert sign in (">=", "<=")
        assert np.isfinite(bound)


@every_model
def test_parameter_count(name: str) -> None:
    assert sum(int(np.prod(weight.shape)) for weight in weights(untrained(name))) == CONTRACT[name][0]


@every_keras_model
def test_input_and_output_names(name: str) -> None:
    _, inputs, outputs = CONTRACT[name]
    model = untrained(name)
    assert [tensor.name for tensor in model.inputs] == inputs
    assert model.output_names == outputs
    assert all(tensor.shape[0] is None for tensor in [*model.inputs, *model.outputs]), "the batch is dynamic"


def test_signatures_of_the_module() -> None:
    model = untrained("two-signatures")
    found = {}
    for name, function in module("two-signatures").signatures(model).items():
        concrete = function.get_concrete_function()
        (spec,) = concrete.structured_input_signature[0]
        found[name] = (
            spec.name,
            spec.shape.as_list(),
            {k: v.shape.as_list() for k, v in concrete.structured_outputs.items()},
        )
    assert found == {
        "encode": ("image", [None, 64], {"code": [None, 16]}),
        "decode": ("code", [None, 16], {"image": [None, 64]}),
    }


@every_model
def test_readme_states_names_parameters_and_bounds(name: str) -> None:
    readme = (path_of(name).parent / "README.md").read_text()
    parameters, inputs, outputs = CONTRACT[name]
    assert readme.startswith(f"# {name}\n")
    for text in [f"| parameters | {parameters:,} |", f"exporter train {name}\n", f"exporter convert {name}\n"]:
        assert text in readme
    for tensor in inputs + outputs:
        assert f"`{tensor}`" in readme
    for sign, bound in module(name).QUALITY.values():
        assert f"{'≥' if sign == '>=' else '≤'} {bound:g}".replace("1e-05", "1e-5") in readme


@every_model
def test_build_depends_on_the_seed_only(name: str) -> None:
    build = module(name).build
    assert digest(build(seed=7)) == digest(untrained(name)), "weights and their names, built twice in one process"
    if name != "linear-spark-fixed":
        assert digest(build(seed=8)) != digest(untrained(name))


def test_build_is_the_same_in_another_process() -> None:
    # built there in reverse order: names and weights must not depend on what was built before
    program = (
        "import json, test_models as t; print(json.dumps({n: t.digest(t.untrained(n)) for n in [*t.CONTRACT][::-1]}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == {name: digest(untrained(name)) for name in CONTRACT}


@every_model
def test_data_depends_on_the_seed_only(name: str) -> None:
    assert same_data(module(name).data(seed=7), data(name))
    assert not same_data(module(name).data(seed=8), data(name))


@every_model
def test_data_is_well_formed(name: str) -> None:
    for split in (data(name).train, data(name).test):
        arrays = {
            **{f"input {k}": v for k, v in split.inputs.items()},
            **{f"target {k}": v for k, v in split.targets.items()},
        }
        assert len({len(array) for array in arrays.values()}) == 1, "all of one length"
        for what, array in arrays.items():
            assert array.dtype in (np.float32, np.int32, object), what
            if array.dtype == object:
                assert {type(value) for value in array.ravel()} == {bytes}, what
            elif array.dtype == np.float32:
                assert np.isfinite(array).all(), what
        for key, array in split.inputs.items():
            blank = b"" if array.dtype == object else 0
            assert (array.reshape(len(array), -1) != blank).any(axis=1).all(), f"input {key} has an all-zero row"


@every_model
def test_probe_is_large_enough(name: str) -> None:
    signatures = module(name).cases(data(name)) if hasattr(module(name), "cases") else {"test": data(name).test.inputs}
    for inputs in signatures.values():
        rows = {len(array) for array in inputs.values()}
        assert min(rows) >= (4 if name == "mobilenet-v2" else 16)


@every_keras_model
def test_data_fits_the_model(name: str) -> None:
    _, inputs, outputs = CONTRACT[name]
    model, test = untrained(name), data(name).test
    assert list(test.inputs) == inputs
    assert list(test.targets) in (outputs, [])
    for tensor in model.inputs:
        array = test.inputs[tensor.name]
        assert ("string" if array.dtype == object else array.dtype.name) == tensor.dtype
        assert all(want in (None, have) for want, have in zip(tensor.shape, array.shape, strict=True))


def test_string_data_has_unknown_empty_and_non_ascii_words() -> None:
    vocabulary = {word.encode() for word in module("string-lookup").VOCABULARY}
    words = set(data("string-lookup").test.inputs["words"].ravel())
    assert vocabulary <= words
    assert b"" in words
    assert "未知".encode() in words - vocabulary
    assert any(not word.isascii() for word in words & vocabulary)


def test_string_lookup_tells_every_word_from_the_unknown_one() -> None:
    vocabulary = module("string-lookup").VOCABULARY
    lookup = untrained("string-lookup").get_layer("lookup")
    assert lookup(tf.constant([*vocabulary, "", "未知"])).numpy().tolist() == [*range(1, 1 + len(vocabulary)), 0, 0]


def test_windows_of_eight_days() -> None:
    for split in (data("covid-lstm").train, data("covid-lstm").test):
        assert split.inputs["history"].shape == (38, 8, 3)
        assert (split.inputs["history"] > 0).all()
        # a window's target is the next window's last day
        np.testing.assert_array_equal(split.targets["next_day"][:-1], split.inputs["history"][1:, -1])


# --- the printed numbers of the Spark tutorial (chapter 6-7), each to 1e-5


@pytest.mark.parametrize(
    ("features", "printed"),
    [
        pytest.param([[1, 2], [2, 3]], [3.019596, 3.9878292], id="driver"),
        pytest.param([[1, 2], [3, 5], [6, 7], [8, 3]], [3.019596, 3.9264367, 7.8607616, 15.974984], id="rdd"),
        pytest.param([[1, 2], [3, 5], [7, 8]], [3.019596, 3.9264367, 8.828995], id="sql"),
    ],
)
def test_tutorial_numbers(features: list[list[float]], printed: list[float]) -> None:
    outputs = untrained("linear-spark-fixed")(np.array(features, np.float32), training=False)
    np.testing.assert_allclose(np.asarray(outputs)[:, 0], printed, rtol=0, atol=1e-5)


# --- trained by the conversions that the parity tests need as well


@every_model
def test_training_reaches_its_quality(name: str, converted: Callable[[str], Any]) -> None:
    metrics = json.loads((converted(name).root / "bundle.json").read_text())["source"]["metrics"]
    assert missed(module(name).QUALITY, metrics) == [], metrics


@every_keras_model
def test_trained_outputs_can_show_an_error(name: str, trained: Callable[[str], keras.Model]) -> None:
    model = trained(name)
    feeds = {key: tf.constant(value) for key, value in data(name).test.inputs.items()}
    outputs = model(feeds if len(feeds) > 1 else next(iter(feeds.values())), training=False)
    for key, output in zip(CONTRACT[name][2], outputs if isinstance(outputs, list) else [outputs], strict=True):
        values = np.asarray(output)
        assert np.isfinite(values).all()
        assert (values.std(axis=0) > 0).all(), f"{key} has a dead unit"
        if key in ("probability", "probabilities", "label"):
            assert values.min() > 1e-6, f"{key} is saturated"
            assert values.max() < 1 - 1e-6, f"{key} is saturated"


def test_swapping_value_and_spread_shows(trained: Callable[[str], keras.Model]) -> None:
    model = trained("multi-io")
    value, _, spread = model.predict(data("multi-io").test.inputs, verbose=0)
    assert value.shape == spread.shape
    assert np.sqrt(np.mean((value - spread) ** 2)) > np.sqrt(np.mean(value**2))


def test_covid_accepts_any_length_and_reloads(tmp_path: Path, trained: Callable[[str], keras.Model]) -> None:
    model = trained("covid-lstm")
    whole = data("covid-lstm").test.targets["next_day"][np.newaxis]
    assert whole.shape == (1, 38, 3)
    forecast = np.asarray(model(whole, training=False))
    assert forecast.shape == (1, 3)
    assert (forecast > 0).all()

    model.save(tmp_path / "covid.keras")
    reloaded = keras.saving.load_model(tmp_path / "covid.keras")
    np.testing.assert_array_equal(np.asarray(reloaded(whole, training=False)), forecast)


def test_normalization_keeps_its_momentum(trained: Callable[[str], keras.Model]) -> None:
    norms = module("mobilenet-v2").normalizations
    model = trained("mobilenet-v2")
    assert len(norms(model)) == 52
    assert [n.momentum for n in norms(model)] == [n.momentum for n in norms(untrained("mobilenet-v2"))]


def test_codec_restores_images() -> None:
    model = module("two-signatures").build()
    module("two-signatures").train(model, data("two-signatures"))
    cases = module("two-signatures").cases(data("two-signatures"))
    # the codes to decode are of the size the codec produces, so that both signatures are probed where they work
    produced, probed = model.encode(cases["encode"]["image"])["code"].numpy(), cases["decode"]["code"]
    assert 0.5 < probed.std() / produced.std() < 2
    # encode(decode(code)) is the identity for an orthonormal basis
    np.testing.assert_allclose(model.encode(model.decode(probed)["image"])["code"], probed, atol=1e-5)
