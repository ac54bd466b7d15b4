"""Recurrent layers traced without loops: the same numbers, for all of them, and what stays a loop is said."""

from __future__ import annotations

import numpy as np
import pytest
from keras import Input, Model
from keras import layers as L

from exporter.formats import Refused
from exporter.formats._tflite_unroll import unrolled as without_loops_for_tflite
from exporter.formats.registry import parse_recipe, resolved_options
from exporter.formats.tfjs_graph import write
from exporter.source.loaders import from_keras
from exporter.source.trace import graph_ops
from exporter.source.unrolling import unrolled

STEPS = 5


def masked(*layers: L.Layer) -> Model:
    x = y = Input((STEPS, 3))
    for layer in (L.Masking(), *layers):
        y = layer(y)
    return Model(x, y)


def stacked() -> L.Layer:
    return L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True)


MODELS = {
    "lstm": lambda: masked(L.LSTM(4, return_sequences=True)),
    "gru backwards": lambda: masked(L.GRU(4, return_sequences=True, go_backwards=True)),
    "last step backwards": lambda: masked(L.SimpleRNN(4, go_backwards=True)),
    # Keras' own unroll clears the wrong steps of the backward layer
    "both ways": lambda: masked(L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Bidirectional(L.GRU(3))),
    "cells": lambda: masked(stacked()),
    "state": lambda: masked(L.GRU(4, return_sequences=True, return_state=True)),
    "images": lambda: Model(x := Input((STEPS, 6, 2)), L.ConvLSTM1D(3, 2, return_sequences=True)(x)),
    "distributed": lambda: Model(x := Input((2, STEPS, 3)), L.TimeDistributed(L.LSTM(4))(x)),
}


def rows(model: Model) -> np.ndarray:
    values = np.random.default_rng(2).normal(size=(3, *model.input_shape[1:])).astype(np.float32)
    if model.input_shape[1:] == (STEPS, 3):
        values[0, 3:] = values[1, :2] = values[2, 2] = 0  # padding behind, before and between
    return values


@pytest.mark.parametrize("name", MODELS)
def test_unrolled_layers_compute_what_loops_compute(name, tmp_path) -> None:
    model = MODELS[name]()
    for variable in model.variables:
        if variable.dtype == "float32":
            variable.assign(np.random.default_rng(4).normal(0, 0.5, variable.shape))
    source = from_keras(model, tmp_path)
    made = unrolled(source, STEPS)
    ((key, signature),) = made.source.signatures.items()
    assert signature == source.signatures[key]
    assert "While" in graph_ops(source.concrete(key))
    assert "While" not in graph_ops(made.source.concrete(key))
    assert {steps for _, steps in made.done} == {STEPS}
    inputs = {signature.inputs[0].name: rows(model)}
    wanted, found = source.reference(key, inputs), made.source.reference(key, inputs)
    for output, value in wanted.items():
        np.testing.assert_allclose(found[output], value, rtol=0, atol=1e-6)
    assert not any(getattr(layer, "unroll", False) for layer in model._flatten_layers()), "the model was changed"


def test_open_and_longer_sequences_stay_loops(tmp_path) -> None:
    inputs = [Input((length, 3), name=name) for name, length in (("a", 3), ("b", 9), ("c", None))]
    outputs = [L.LSTM(2, name=f"of_{x.name}")(x) for x in inputs]
    source = from_keras(Model(inputs, outputs), tmp_path / "staging")
    (tmp_path / "some").mkdir()
    some = write(source, tmp_path / "some", {"unroll": "4"})
    assert some.rewrites[-1] == "recurrent layers unrolled: 'of_a' (3 steps)"
    assert some.needs == ("needs executeAsync: the predict of TF.js throws on a loop (layer 'of_b', layer 'of_c')",)
    reason = (
        "unroll=2 unrolls nothing: 'of_c' has an open length, 'of_b' has 9 steps, 'of_a' has 3 steps; fix .*--shape"
    )
    with pytest.raises(Refused, match=reason):
        write(source, tmp_path / "none", {"unroll": "2"})


def test_the_selection_of_a_recipe_holds_for_an_unrolled_one(tmp_path) -> None:
    """What is asked for is set anew for every recipe, and the unrolled trace is made once."""
    source = from_keras(masked(L.LSTM(16, name="lstm"), L.Dense(40, name="out")), tmp_path / "staging")
    options = resolved_options(parse_recipe("tfjs-graph:unroll=8,quantize=uint8"))
    for keep in ((), ("out",)):
        (tmp_path / f"kept{len(keep)}").mkdir()
        source.keep_float = keep
        written = write(source, tmp_path / f"kept{len(keep)}", options)
        assert written.quantization["kept_float"] == list(keep)


def test_tflite_unrolls_to_the_length_of_the_examples(tmp_path) -> None:
    source = from_keras(Model(x := Input((None, 3), name="x"), L.Bidirectional(L.GRU(2))(x)), tmp_path / "a")
    source.examples = {"serving_default": {"x": np.zeros((1, 7, 3), np.float32)}}
    made = without_loops_for_tflite(source)
    assert made.pinned == {"x": (None, 7, 3)}
    assert "While" not in graph_ops(made.source.concrete("serving_default"))
    other = from_keras(Model(x := Input((None, 3), name="x"), L.GRU(2)(x)), tmp_path / "b")
    other.examples = {"serving_default": {"x": np.zeros((1, 129, 3), np.float32)}}
    with pytest.raises(Refused, match="129 steps of a recurrent layer would be unrolled, expected at most 128"):
        without_loops_for_tflite(other)
