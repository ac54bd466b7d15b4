"""Which made-up values an input gets: those of what it reaches itself, never of another input's layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from exporter.model import Json  # noqa: E402
from exporter.source.loaders import from_keras, from_module, from_saved_model  # noqa: E402
from exporter.source.ranges import combined, input_facts  # noqa: E402

L = keras.layers


def of_model(inputs: Any, outputs: Any, tmp_path: Path) -> Json:
    return input_facts(from_keras(keras.Model(inputs, outputs), tmp_path), "serving_default", None)


def bounds(facts: Json) -> dict[str, tuple[int, int]]:
    return {name: (fact["low"], fact["high"]) for name, fact in facts.items() if "low" in fact}


def test_each_input_gets_the_range_of_the_layer_that_it_reaches(tmp_path: Path) -> None:
    shapes = {"tokens": (5,), "category": (1,), "zone": (1,), "count": (2,), "zip": (1,)}
    i = {name: keras.Input(shape, dtype="int32", name=name) for name, shape in shapes.items()}
    age, word = keras.Input((1,), name="age"), keras.Input((1,), dtype="string", name="word")
    outputs = [
        L.Embedding(1000, 2)(i["tokens"]),
        L.CategoryEncoding(7)(i["category"]),
        L.IntegerLookup(vocabulary=[30, 10, 20], num_oov_indices=0)(i["zone"]),
        L.Dense(2)(L.Rescaling(1 / 255)(i["count"])),
        L.Hashing(8)(i["zip"]),
        L.Discretization(bin_boundaries=[0.0, 20.5], output_mode="one_hot")(age),
        L.StringLookup(vocabulary=["cat", "é"])(word),
    ]
    facts = of_model([*i.values(), age, word], outputs, tmp_path)
    expected = {"tokens": (0, 999), "category": (0, 6), "zone": (10, 30), "zip": (0, 999), "age": (-1, 22)}
    assert bounds(facts) == expected
    assert facts["zone"]["values"] == [10, 20, 30]
    assert facts["category"]["why"] == "a CategoryEncoding of 7"
    assert facts["word"]["words"] == ["cat", "é".encode().decode("latin-1")]
    assert "count" not in facts


def test_values_are_followed_through_casts_nested_models_and_wrappers(tmp_path: Path) -> None:
    deep = keras.Input((4, 6), dtype="int32", name="deep")
    both = keras.Input((6,), dtype="float32", name="both")
    inner = keras.Sequential([keras.Input((6,), dtype="int32"), L.Reshape((2, 3)), L.Embedding(30, 2)])
    shared = L.Embedding(50, 2)
    outputs = [
        L.TimeDistributed(inner)(deep),
        shared(keras.ops.cast(both, "int32")),
        L.Embedding(12, 2)(L.Masking()(L.Reshape((3, 2))(both))),
    ]
    facts = of_model([deep, both], outputs, tmp_path)
    assert bounds(facts) == {"deep": (0, 29), "both": (0, 11)}
    assert facts["both"]["why"] == "an Embedding of 12 rows"


class Tables(tf.Module):
    def __init__(self) -> None:
        self.table = tf.Variable(tf.ones((13, 3)))
        self.keys = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["cat", "dog"], tf.constant([1, 2], tf.int64)), -1
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4], tf.int64, "ids"),
            tf.TensorSpec([None], tf.int32, "kind"),
            tf.TensorSpec([None], tf.string, "word"),
            tf.TensorSpec([None], tf.int32, "plain"),
        ]
    )
    def score(self, ids: Any, kind: Any, word: Any, plain: Any) -> Any:
        rows = tf.gather(self.table, tf.reshape(tf.cast(ids, tf.int32), [-1]))
        return {"rows": rows, "kind": tf.one_hot(kind, 5), "word": self.keys.lookup(word), "plain": plain + 1}


def test_tables_of_a_graph_tell_as_well_and_so_do_those_of_its_saved_model(tmp_path: Path) -> None:
    module = Tables()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serve": module.score})
    for source in (
        from_module(module, {"serve": module.score}, tmp_path),
        from_saved_model(tmp_path / "saved", tmp_path, None),
    ):
        facts = input_facts(source, "serve", None)
        assert bounds(facts) == {"ids": (0, 12), "kind": (0, 4)}
        assert facts["word"]["words"] == ["cat", "dog"]
        assert "plain" not in facts


def test_a_subclassed_model_is_asked_by_its_graph(tmp_path: Path) -> None:
    class Scorer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.rows = L.Embedding(9, 2)

        def call(self, inputs: Any) -> Any:
            return self.rows(inputs["ids"])[:, 0] + keras.ops.cast(inputs["other"], "float32")

    model = Scorer()
    model({"ids": tf.zeros((1, 3), tf.int32), "other": tf.zeros((1, 2), tf.int32)})
    specs = {"ids": tf.TensorSpec((None, 3), tf.int32), "other": tf.TensorSpec((None, 2), tf.int32)}
    assert bounds(input_facts(from_keras(model, tmp_path, specs), "serving_default", None)) == {"ids": (0, 8)}


def test_what_several_readers_take_is_what_they_have_in_common() -> None:
    a, b = {"low": 0, "high": 9, "why": "a"}, {"low": 4, "high": 99, "values": [4, 8, 50], "why": "b"}
    assert combined([a, b]) == {"low": 4, "high": 9, "values": [4, 8], "why": "b"}
    assert combined([a, {"low": 20, "high": 30, "why": "c"}]) is None
    assert combined([]) is None
