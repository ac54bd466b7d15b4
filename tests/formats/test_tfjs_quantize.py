"""Quantized weights of TF.js files: codes, what is chosen, what is refused, and what the report says."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keras import layers as L

from exporter.formats import Refused, tfjs_graph, tfjs_layers
from exporter.formats._tfjs_quantize import notes, quantized, rules, stored_weight
from exporter.formats._tfjs_weights import Weight, read_weights, read_weights_of, write_shards
from exporter.source.loaders import from_keras

FLOATS = st.floats(-1e6, 1e6, width=32)
VALUES = arrays.arrays(np.float32, st.integers(2, 60), elements=FLOATS)


def encode(values, dtype):
    (weight,) = quantized([Weight("w", np.asarray(values, np.float32))], rules({"quantize": dtype}), set())
    return weight


def test_codes_of_the_published_converter():
    """The example in the docstring of its write_weights.py."""
    weight = encode([0, -0.1, 1.2], "uint8")
    assert weight.stored.tolist() == [20, 0, 255]
    assert weight.quantization["min"] == pytest.approx(-0.10196078817)
    assert weight.quantization["scale"] == pytest.approx(0.00509803940852)
    assert weight.spec["quantization"]["original_dtype"] == "float32"


@given(VALUES, st.sampled_from(["uint8", "uint16"]))
@example(np.array([0, 1], np.float32), "uint8")
@example(np.array([-3, -3], np.float32), "uint8")
@example(np.array([1e-45, 0, -1e-45], np.float32), "uint16")
@example(np.array([3.4e38, -3.4e38], np.float32), "uint8")
@example(np.array([1000, 1000.0001], np.float32), "uint16")
def test_every_value_is_within_half_a_step_and_zero_is_exact(tmp_path_factory, values, dtype):
    directory = tmp_path_factory.mktemp("quantized")
    weight = encode(values, dtype)
    manifest = write_shards(directory, [weight], 100)
    assert json.loads(json.dumps(manifest)) == manifest  # nothing of NumPy in it
    found = read_weights(directory, manifest)["w"]
    assert found.dtype == np.float32
    size = sum((directory / path).stat().st_size for path in manifest[0]["paths"])
    assert size == values.size * np.dtype(dtype).itemsize
    step = stored_weight(manifest[0]["weights"][0], weight.stored).step
    distance = np.abs(found.astype(np.float64) - values)
    assert (distance <= 0.5001 * step + 2.0**-23 * np.abs(values)).all()
    assert (found[values == 0] == 0).all()
    if values.min() == values.max():
        assert (found == values).all()
        assert (step == 0).all()


@given(arrays.arrays(np.float32, 20, elements=st.floats(-65504, 65504, width=32)))
def test_float16_is_rounded_to_nearest(values):
    weight = encode(values, "float16")
    found = stored_weight(weight.spec, weight.stored)
    assert (found.values == values.astype(np.float16).astype(np.float32)).all()
    assert (np.abs(found.values - values) <= found.step / 2).all()


WEIGHTS = [
    Weight("model/dense/kernel", np.arange(6, dtype=np.float32).reshape(2, 3)),
    Weight("model/dense/bias", np.arange(3, dtype=np.float32)),
    Weight("model/head/kernel", np.arange(6, dtype=np.float32)),
    Weight("model/dense/scale", np.float32(0.5)),
    Weight("model/shape", np.arange(3, dtype=np.int32)),
]


def chosen(**options):
    found = quantized(WEIGHTS, rules({k.replace("_", "-"): v for k, v in options.items()}), {"model/kept"})
    return {w.name.removeprefix("model/"): w.quantization["dtype"] for w in found if w.quantization}


def test_what_is_quantized():
    """Neither integers nor single numbers: those weigh less than what model.json would say of them."""
    everything = ("dense/kernel", "dense/bias", "head/kernel")
    assert chosen(quantize="uint8") == dict.fromkeys(everything, "uint8")
    assert chosen(quantize="uint8", quantize_only="dense*") == dict.fromkeys(everything[:2], "uint8")
    assert chosen(quantize="uint16", quantize_only="*/kernel") == dict.fromkeys(everything[::2], "uint16")
    assert chosen(quantize="uint8", quantize_only="head/*+bias") == dict.fromkeys(everything[1:], "uint8")
    assert chosen(quantize="uint8:kernel+float16") == {
        "dense/kernel": "uint8",
        "dense/bias": "float16",
        "head/kernel": "uint8",
    }
    assert chosen(quantize="uint8:dense/kernel+uint16:head*") == {"dense/kernel": "uint8", "head/kernel": "uint16"}


def test_two_rules_for_one_weight_are_refused():
    with pytest.raises(Refused, match="'model/dense/kernel' is to be uint16 and uint8 at once"):
        chosen(quantize="uint8:kernel+uint16:dense*")


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("float16", 65520, "weight 'w' holds 65520, and float16 ends at 65504"),
        ("float16", -1e9, "weight 'w' holds -1e+09"),
        ("float16", np.inf, "not finite"),
        ("uint8", np.nan, "not finite"),
        ("uint16", -np.inf, "not finite"),
    ],
)
def test_values_without_a_code_are_refused_with_a_way_out(dtype, value, words):
    with pytest.raises(Refused) as refusal:
        encode([1, value], dtype)
    assert words in str(refusal.value)
    assert "quantize-only" in str(refusal.value)
    assert encode([1, 65519], "float16").stored.tolist() == [1, 65504]


@pytest.mark.parametrize(
    ("dtype", "values", "words"),
    [
        ("float16", np.linspace(1e-9, 2e-8, 50), "50 become 0"),
        ("float16", np.linspace(-1e-6, 1e-6, 50), "does not suit float16"),
        ("uint8", [*np.linspace(-0.01, 0.01, 99), 100.0], "of 99 become 0"),
        ("uint16", [*np.linspace(-0.01, 0.01, 9999), 1e6], "become 0"),
        ("float16", np.linspace(-1, 1, 50), ""),
        ("uint8", np.random.default_rng(0).normal(0, 1, 10**5), ""),
        ("uint8", np.full(9, 0.1), ""),
        ("uint8", np.zeros(9), ""),
        ("uint16", np.random.default_rng(0).normal(0, 1, 10**5), ""),
    ],
)
def test_lost_ranges_are_told(dtype, values, words):
    found = notes([encode(values, dtype)])
    assert len(found) == bool(words), found
    assert all(words in note and "'w'" in note for note in found)


# -- in both formats


def model():
    keras.utils.set_random_seed(3)
    x = keras.Input((9, 9, 3), name="x")
    y = L.Conv2D(16, 3, use_bias=False, name="conv")(x)
    y = L.BatchNormalization(moving_mean_initializer="ones", name="norm")(y)
    block = keras.Sequential(
        [L.Dense(8, bias_initializer="ones", name="dense"), L.Dense(5, name="dense_1")], name="block"
    )
    y = block(L.Flatten()(y))
    return keras.Model(x, L.Dense(4, bias_initializer="ones", name="dense")(y), name="model")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return from_keras(model(), tmp_path_factory.mktemp("staging"))


def written(source, module, directory, keep=(), **options):
    source.keep_float = keep
    named = {k.replace("_", "-"): v for k, v in options.items()}
    result = module.write(source, directory, {"shard-size": "4MiB", **named})
    (entry,) = result.entries.values()
    document = json.loads((directory / entry.path).read_text())
    dtypes = {
        w["name"]: w.get("quantization", {}).get("dtype", w["dtype"]) for w in document["weightsManifest"][0]["weights"]
    }
    return result, directory / entry.path, dtypes


def test_both_formats_decode_to_one_model(source, tmp_path):
    found = []
    for module in (tfjs_graph, tfjs_layers):
        directory = tmp_path / module.__name__
        directory.mkdir()
        _, path, _ = written(source, module, directory, quantize="uint8", quantize_only="dense*")
        found.append(sorted(w.tobytes() for w in read_weights_of(path).values() if w.ndim == 2))
    assert len(found[0]) == 3
    assert found[0] == found[1]


def test_a_folded_kernel_goes_by_the_name_of_its_own_layer(source, tmp_path):
    _, path, dtypes = written(source, tfjs_graph, tmp_path, quantize="float16", quantize_only="conv*")
    (name,) = [name for name, dtype in dtypes.items() if dtype == "float16"]
    assert name.startswith("model_1/conv_1/")
    stored, folded = read_weights_of(path)[name], np.asarray(source.keras_model.get_layer("conv").kernel)
    folded = folded / np.sqrt(1 + source.keras_model.get_layer("norm").epsilon)
    assert np.allclose(stored, folded, rtol=2**-10)


KERNELS = {(3, 3, 3, 16): "conv", (784, 8): "block/dense", (8, 5): "block/dense_1", (5, 4): "dense"}


@pytest.mark.parametrize("module", [tfjs_graph, tfjs_layers])
@pytest.mark.parametrize(
    ("keep", "layers"),
    [
        (("block/dense",), {"block/dense"}),
        (("dense",), {"dense"}),
        (("block", "conv"), {"block/dense", "block/dense_1", "conv"}),
    ],
)
def test_layers_that_stay_float(source, tmp_path, module, keep, layers):
    """Two layers of one name, told by the shapes of their kernels: the nested one is called otherwise in the file."""
    result, path, dtypes = written(source, module, tmp_path, keep, quantize="uint8")
    assert result.quantization["kept_float"] == list(keep)
    found = {KERNELS[w.shape]: dtypes[name] for name, w in read_weights_of(path).items() if w.shape in KERNELS}
    assert found == {layer: "float32" if layer in layers else "uint8" for layer in KERNELS.values()}


@pytest.mark.parametrize("module", [tfjs_graph, tfjs_layers])
@pytest.mark.parametrize(
    ("options", "keep", "words"),
    [
        ({"quantize": "uint8", "quantize_only": "dens"}, (), "'dens' fits the name of no weight"),
        ({"quantize": "uint8:kernl+float16"}, (), "'kernl' fits the name of no weight"),
        ({"quantize": "uint8"}, ("conv", "norm", "block", "dense"), "nothing in this model can be quantized like that"),
        ({"quantize": "uint8"}, ("flatten",), "no operation of the files carries the name of a layer"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_file_is_written(source, tmp_path, module, options, keep, words):
    with pytest.raises(Refused) as refusal:
        written(source, module, tmp_path, keep, **options)
    assert words in str(refusal.value)
    assert not list(Path(tmp_path).iterdir())
