"""In which order each kind of source takes its inputs and gives its outputs, and how files keep it."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

from exporter import resources
from exporter.formats import _tfjs_published as published
from exporter.formats import tfjs_graph, tflite
from exporter.formats._tfjs_order import as_javascript_lists, key_names
from exporter.model import NameMap, Signature, TensorSpec
from exporter.source import loaders, opening
from exporter.source.source import Source

PAIR = [tf.TensorSpec([None, 2], name="query"), tf.TensorSpec([None, 2], name="candidate")]


class Several(tf.Module):
    """Two signatures, whose arguments and results stand in another order than the alphabet's."""

    @tf.function(input_signature=PAIR)
    def named(self, query: tf.Tensor, candidate: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"z": query - candidate, "a": candidate * 2.0}

    @tf.function(input_signature=PAIR)
    def numbered(self, query: tf.Tensor, candidate: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(query * float(i) + candidate for i in range(12))


def order(source: Source, signature: str) -> tuple[list[str], list[str]]:
    found = source.signatures[signature]
    return [s.name for s in found.inputs], [s.name for s in found.outputs]


NUMBERED = [f"output_{i}" for i in range(12)]


def test_functions_keep_the_order_of_arguments_and_results(tmp_path: Path) -> None:
    source = loaders.from_callable(Several(), tmp_path)
    assert order(source, "named") == (["query", "candidate"], ["z", "a"])
    assert order(source, "numbered") == (["query", "candidate"], NUMBERED)


def test_a_saved_model_has_that_of_the_function_behind_it_and_counts_its_outputs(tmp_path: Path) -> None:
    module = Several()
    tf.saved_model.save(module, str(tmp_path / "saved"), {"named": module.named, "numbered": module.numbered})
    source = loaders.from_saved_model(tmp_path / "saved", tmp_path, None)
    assert order(source, "named") == (["query", "candidate"], ["a", "z"])  # a map of results has no order
    assert order(source, "numbered") == (["query", "candidate"], NUMBERED)


def test_without_a_function_behind_it_names_are_in_natural_order(tmp_path: Path) -> None:
    specs = {f"x_{i}": tf.TensorSpec([None, 2], name=f"x_{i}") for i in range(12)}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        given = {n: tf.compat.v1.placeholder(s.dtype, s.shape, n) for n, s in specs.items()}
        results = {f"y_{i}": given[f"x_{i}"] + 1.0 for i in range(12)}
        tf.compat.v1.saved_model.simple_save(session, str(tmp_path / "plain"), given, results)
    source = loaders.from_saved_model(tmp_path / "plain", tmp_path, None)
    assert order(source, "serving_default") == ([f"x_{i}" for i in range(12)], [f"y_{i}" for i in range(12)])


def test_a_staged_saved_model_has_the_order_of_the_source_that_was_opened(tmp_path: Path) -> None:
    loaders.from_callable(Several(), tmp_path).stage()
    source = opening._staged({}, tmp_path, None)
    assert order(source, "named") == (["query", "candidate"], ["z", "a"])
    rows = {"query": np.full((1, 2), 3, np.float32), "candidate": np.ones((1, 2), np.float32)}
    found = source.reference("named", rows)
    assert found["z"].tolist() == [[2, 2]]
    assert found["a"].tolist() == [[2, 2]]


class Difference(keras.Model):
    def call(self, inputs):
        return {"z": inputs["query"] - inputs["candidate"], "b": inputs["candidate"]}


def test_specs_of_a_dictionary_feed_what_they_name(tmp_path: Path) -> None:
    """Keras flattens dictionaries by sorted keys, whatever order they are written in."""
    specs = {name: tf.TensorSpec([None, 2], name=name) for name in ("query", "candidate")}
    source = loaders.from_keras(Difference(), tmp_path, specs)
    assert order(source, "serving_default") == (["candidate", "query"], ["b", "z"])
    rows = {"query": np.full((1, 2), 3, np.float32), "candidate": np.ones((1, 2), np.float32)}
    assert source.reference("serving_default", rows)["z"].tolist() == [[2, 2]]


def test_structures_of_a_functional_model_are_flattened_as_keras_does(tmp_path: Path) -> None:
    query, candidate = keras.Input((2,), name="query"), keras.Input((2,), name="candidate")
    model = keras.Model({"b": query, "a": candidate}, {"z": L.Dense(1)(query), "y": [L.Dense(1)(candidate)]})
    names = [tensor.name for tensor in model.inputs]
    assert names == ["candidate", "query"]
    source = loaders.from_keras(model, tmp_path)
    inputs, outputs = order(source, "serving_default")
    assert [source.keras_names("serving_default").inputs[name] for name in inputs] == names
    assert outputs == ["y_0", "z"]


def test_each_signature_of_a_flatbuffer_keeps_its_order(tmp_path: Path) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    source = loaders.from_callable(Several(), tmp_path)
    (model,) = tflite.float_model(source).files.values()
    parsed = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    assert len(parsed.signatureDefs) == 2
    for definition in parsed.signatureDefs:
        inputs, outputs = order(source, definition.signatureKey.decode())
        graph = parsed.subgraphs[definition.subgraphIndex]
        for names, entries, places in (
            (inputs, definition.inputs, graph.inputs),
            (outputs, definition.outputs, graph.outputs),
        ):
            assert [entry.name.decode() for entry in entries] == names
            assert [int(entry.tensorIndex) for entry in entries] == [int(i) for i in places]


def test_a_graph_keeps_it_in_the_file_and_in_the_names_of_what_predict_returns(tmp_path: Path) -> None:
    source = loaders.from_callable(Several(), tmp_path / "staging")
    (tmp_path / "graph").mkdir()
    tfjs_graph.write(source, tmp_path / "graph", {"shard-size": "4MiB", "outputs": "named"})
    for name in ("named", "numbered"):
        document = json.loads((tmp_path / "graph" / name / "model.json").read_text())
        sides = list(document["signature"]["inputs"]), list(document["signature"]["outputs"])
        assert sides == order(source, name)
        assert document["userDefinedMetadata"]["structuredOutputKeys"] == sides[1]


def test_the_worker_lists_what_the_subgraph_of_a_signature_does() -> None:
    """Files whose signatures have another order, one in its second subgraph, one with two names for a tensor."""
    from ai_edge_litert import interpreter, schema_py_generated

    from exporter.workers.litert import LiteRtModel

    models = resources.root() / "tests" / "vectors" / "models"
    wanted = {
        ("two-signatures", "minus"): (["b", "a"], ["difference"]),
        ("same-tensors", "serving_default"): (["p", "q"], ["q", "sum", "p", "twice", "echo", "again"]),
        ("rows", "serving_default"): (["x"], ["twice", "total"]),
    }
    for (file, key), names in wanted.items():
        loaded = LiteRtModel(models / f"{file}.tflite", key, interpreter, schema_py_generated, "BUILTIN_REF")
        assert ([s.name for s in loaded.inputs], [s.name for s in loaded.outputs]) == names


def spec(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "float32", (None,)) for name in names)


def test_what_javascript_would_list_first_gets_another_key() -> None:
    assert as_javascript_lists(["b", "10", "2", "02", "4294967295"]) == ["2", "10", "b", "02", "4294967295"]
    names = key_names(Signature("s", spec("b", "2", "tensor_2"), spec("0", "1", "z")))
    assert names.inputs == {"b": "b", "2": "tensor_2_", "tensor_2": "tensor_2"}
    assert names.outputs == {"0": "0", "1": "1", "z": "z"}  # they are where JavaScript puts them


@pytest.mark.parametrize(("keys", "changed"), [(["query", "candidate"], False), (["candidate", "query"], True)])
def test_a_graph_of_the_published_converter_gets_the_sources_order(keys: list[str], changed: bool) -> None:
    outputs = {"Identity:0": {"name": "Identity:0"}}
    document = {"signature": {"inputs": {key: {"name": f"{key}:0"} for key in keys}, "outputs": outputs}}
    names = NameMap({"query": "query", "candidate": "candidate"}, {"y": "Identity:0"})
    assert published.in_order(document, names) is changed
    assert list(document["signature"]["inputs"]) == ["query", "candidate"]
    assert document["signature"]["outputs"] == outputs
