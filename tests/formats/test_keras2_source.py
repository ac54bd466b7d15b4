"""Keras 2 sources: names, the reference, what a restarted worker continues with, and what has no Keras 3 model."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as L

from exporter.errors import SourceError
from exporter.formats import Refused
from exporter.formats.keras import write_keras
from exporter.formats.tfjs_layers import write as write_layers
from exporter.source.keras2_file import from_tf_keras, open_keras_file, open_saved_model
from exporter.source.opening import open_source


@tf_keras.saving.register_keras_serializable(package="test")
class Doubling(L.Layer):
    def call(self, x):
        return x * 2.0


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, x):
        return self.dense(x)


def two_in_two_out():
    """Inputs and outputs whose order is not that of their names, and a function Keras 3 computes otherwise."""
    b, a = tf_keras.Input((4,), name="b"), tf_keras.Input((3,), name="a")
    h = L.Dense(5, "hard_sigmoid", name="h")(L.Concatenate()([b, a]))
    return tf_keras.Model([b, a], [L.Dense(2, name="z")(h), L.Dense(3, name="dense")(h)])


def values(batch=3):
    rng = np.random.default_rng(0)
    return {"b": rng.normal(size=(batch, 4)).astype("float32"), "a": rng.normal(size=(batch, 3)).astype("float32")}


def opened(kind, path, staging):
    staging.mkdir()
    return open_source({"kind": kind, "path": str(path)}, staging)[0]


def staged(source):
    return open_source({"kind": "staged", "path": str(source.staging)}, source.staging)[0]


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_the_reference_is_the_call_of_tf_keras(suffix, tmp_path):
    model = two_in_two_out()
    model.save(tmp_path / f"m{suffix}")
    source = opened("keras" if suffix else "saved-model", tmp_path / f"m{suffix}", tmp_path / "staging")
    ((key, signature),) = source.signatures.items()
    assert [(s.name, s.shape) for s in signature.inputs] == [("b", (None, 4)), ("a", (None, 3))]
    # Keras 2 called the second output by its layer when it saved the SavedModel; in a file the name is Keras' own
    names = [s.name for s in signature.outputs]
    assert names == (["z", "output_1"] if suffix else ["z", "dense"])
    expected = [t.numpy() for t in model([values()["b"], values()["a"]], training=False)]
    found = source.reference(key, values())
    for name, array in zip(names, expected, strict=True):
        np.testing.assert_array_equal(found[name], array)
    again = staged(source)
    assert again.signatures == source.signatures
    for name, array in again.reference(key, values()).items():
        np.testing.assert_allclose(array, found[name], rtol=1e-6, atol=1e-6)
    (tmp_path / "artifact").mkdir()
    names_in_file = write_keras(again, tmp_path / "artifact", {}).entries[key].names
    assert set(names_in_file.inputs) == {"a", "b"}


def test_what_has_no_counterpart_keeps_its_graphs(tmp_path):
    x = tf_keras.Input((4,), name="x")
    source = from_tf_keras(tf_keras.Model(x, Doubling(name="twice")(x)), tmp_path)
    source.stage()
    with pytest.raises(Refused, match=r"a model of Keras 2, and Keras 3 has none .*layer 'twice'.*custom layer"):
        write_keras(source, tmp_path, {})
    with pytest.raises(Refused, match=r"layer 'twice'.*use tfjs-graph"):
        write_layers(source, tmp_path, {"shard-size": "1MiB"})
    (found,) = source.reference("serving_default", {"x": np.ones((2, 4), np.float32)}).values()
    assert found.tolist() == [[2.0] * 4] * 2
    assert staged(source).signatures == source.signatures


def test_a_custom_layer_comes_from_the_module_that_was_given(tmp_path):
    tf_keras.Sequential([tf_keras.Input((4,), name="x"), Doubling()]).save(tmp_path / "m.keras")
    with pytest.raises(SourceError, match=r"uses Doubling, which Keras does not have; .*--custom module.py"):
        open_keras_file(tmp_path / "m.keras", tmp_path, None)
    module = ModuleType(__name__)
    module.Doubling = Doubling
    source = open_keras_file(tmp_path / "m.keras", tmp_path, module)
    (found,) = source.reference("serving_default", {"x": np.ones((1, 4), np.float32)}).values()
    assert found.tolist() == [[2.0] * 4]


def test_subclassed_models_are_traced(tmp_path):
    model = Subclassed()
    with pytest.raises(SourceError, match="was never called"):
        from_tf_keras(model, tmp_path)
    model(np.zeros((1, 3), np.float32))
    source = from_tf_keras(model, tmp_path)
    (signature,) = source.signatures.values()
    assert [(s.name, s.shape) for s in signature.inputs] == [("x", (None, 3))]
    assert source.keras_model is None
    assert "Keras 3 has none" in source.no_keras


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Files whose Lambda layer leaves a trace when its code runs."""
    directory, trace = tmp_path / "code", tmp_path / "ran"
    x = tf_keras.Input((2,), name="x")
    model = tf_keras.Model(x, L.Lambda(lambda t, path=str(trace): (open(path, "w").close(), t * 2)[1], name="own")(x))
    model.save(directory)
    model.save(tmp_path / "code.h5")
    trace.unlink()
    return directory


def test_code_is_never_run_from_a_file(code, tmp_path):
    with pytest.raises(SourceError, match="holds code in its Lambda layer 'own'"):
        open_keras_file(tmp_path / "code.h5", tmp_path, None)
    source = open_saved_model(code, tmp_path, None, None)
    assert "holds code in its Lambda layer 'own'" in source.no_keras
    (found,) = source.reference("serving_default", {"x": np.ones((1, 2), np.float32)}).values()
    assert found.tolist() == [[2.0, 2.0]]
    assert not (tmp_path / "ran").exists()


def test_a_savedmodel_with_signatures_of_its_own_stays_one(tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((3,)), L.Dense(2)])
    doubled = tf.function(lambda x: {"twice": model(x) * 2}, input_signature=[tf.TensorSpec((None, 3), name="x")])
    model.save(tmp_path / "m", signatures={"serving_default": doubled})
    source = open_saved_model(tmp_path / "m", tmp_path, None, None)
    assert [s.name for s in source.signatures["serving_default"].outputs] == ["twice"]
    assert source.keras_model is None
    assert "other signatures" in source.no_keras


def test_tf_keras_is_only_imported_for_what_needs_it():
    import subprocess

    program = (
        "import sys, exporter.source.opening, exporter.formats.keras; "
        "sys.exit(any(name.split('.')[0] == 'tf_keras' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
