"""Ragged and sparse inputs and outputs are refused by name, whoever built the model; nothing becomes dense unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import Input, Model, layers

from exporter.errors import SourceError
from exporter.source.keras2_file import open_keras_file, open_saved_model
from exporter.source.loaders import from_callable

RAGGED = tf.RaggedTensorSpec([None, None], tf.int32)
SPARSE = tf.SparseTensorSpec([None, 8], tf.float32)


def old_ragged() -> Any:
    x = tf_keras.Input((None,), dtype=tf.int32, ragged=True, name="tokens")
    y = tf_keras.layers.LSTM(3)(tf_keras.layers.Embedding(20, 4)(x))
    return tf_keras.Model(x, tf_keras.layers.Dense(2, name="label")(y))


def old_sparse() -> Any:
    x = tf_keras.Input((8,), sparse=True, name="tokens")
    return tf_keras.Model(x, tf_keras.layers.Dense(2)(x))


def new_sparse() -> Any:
    x = Input((8,), sparse=True, name="tokens")
    return Model(x, layers.Dense(2)(x))


def module(spec: Any, compute: Any) -> tf.Module:
    made = tf.Module()
    made.f = tf.function(compute, input_signature=[spec])
    made.signatures = {"serve": made.f}
    return made


def ragged_output() -> tf.Module:
    spec = tf.TensorSpec([None, 4], tf.int32, name="tokens")
    return module(spec, lambda tokens: {"words": tf.RaggedTensor.from_tensor(tokens, padding=0)})


SOURCES: dict[str, tuple[Any, str]] = {
    "ragged in Keras 2": (old_ragged, "input 'tokens' is ragged"),
    "sparse in Keras 2": (old_sparse, "input 'tokens' is sparse"),
    "sparse in Keras 3": (new_sparse, "input 'tokens' is sparse"),
    "ragged in a module": (lambda: module(RAGGED, lambda x: {"y": tf.reduce_sum(x)}), "input '.*' is ragged"),
    "sparse in a module": (lambda: module(SPARSE, lambda x: {"y": tf.sparse.reduce_sum(x)}), "input '.*' is sparse"),
    "ragged output": (ragged_output, "output 'words' is ragged"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_it_is_refused_by_name_with_a_way_out(name: str, tmp_path: Path) -> None:
    make, message = SOURCES[name]
    with pytest.raises(SourceError, match=message) as caught:
        _ = from_callable(make(), tmp_path).signatures
    assert "tf.saved_model.save" in caught.value.hint


def test_a_file_is_refused_and_a_saved_model_keeps_values_and_splits(tmp_path: Path) -> None:
    model = old_ragged()
    model.save(tmp_path / "model.h5")
    with pytest.raises(SourceError, match="input 'tokens' is ragged, and no format but SavedModel carries that"):
        open_keras_file(tmp_path / "model.h5", tmp_path / "staging", None)
    model.save(tmp_path / "saved")
    source = open_saved_model(tmp_path / "saved", tmp_path / "other", None, None)
    rows = tf.ragged.constant([[3, 5, 1], [7], [2, 2, 9, 11]], dtype=tf.int32)
    given = {"args_0": rows.values.numpy(), "args_0_1": rows.row_splits.numpy()}
    ((key, signature),) = source.signatures.items()
    assert {s.name for s in signature.inputs} == set(given)
    (found,) = source.reference(key, given).values()
    np.testing.assert_allclose(found, model(rows).numpy(), rtol=1e-5, atol=1e-6)
    assert "is ragged" in source.no_keras
