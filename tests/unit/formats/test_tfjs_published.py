"""The published converter as a writer: who is chosen, what is refused, and which names its files have."""

from __future__ import annotations

import sys

import pytest

from exporter.errors import UsageError
from exporter.formats import Refused
from exporter.formats._tfjs_published import Converter, graph_names, graph_written, layers_written
from exporter.formats.registry import format_named, parse_recipe, resolved_options
from exporter.model import Recipe, Signature, TensorSpec

FORMATS = ("tfjs-graph", "tfjs-layers")
CONVERTER = Converter("python", {"tensorflowjs": "4.22.0"})


def spec(name: str) -> TensorSpec:
    return TensorSpec(name, "float32", (None, 2))


def graph(inputs: dict[str, str], outputs: dict[str, str]) -> dict:
    """A model.json whose signature maps keys to tensors."""
    sides = {"inputs": inputs, "outputs": outputs}
    return {"signature": {side: {key: {"name": tensor} for key, tensor in s.items()} for side, s in sides.items()}}


def test_the_writer_is_an_option_and_exporter_the_default() -> None:
    for name in FORMATS:
        assert resolved_options(Recipe(name))["writer"] == "exporter"
        assert parse_recipe(f"{name}:writer=exporter").id == name
        assert parse_recipe(f"{name}:writer=tensorflowjs").id == f"{name}:writer=tensorflowjs"
        with pytest.raises(UsageError, match="expected exporter or tensorflowjs, found 'google'"):
            parse_recipe(f"{name}:writer=google")


def test_without_its_environment_it_is_refused_with_the_command(monkeypatch, tmp_path) -> None:
    options = resolved_options(parse_recipe("tfjs-graph:writer=tensorflowjs"))
    for python, found in ((str(tmp_path / "none"), "does not exist"), (sys.executable, "has no published converter")):
        monkeypatch.setenv("EXPORTER_UPSTREAM", python)
        with pytest.raises(Refused, match=rf"{found}.*make upstream"):
            format_named("tfjs-graph").write(None, tmp_path, options)


def test_an_option_it_is_not_given_is_refused(tmp_path) -> None:
    options = {**resolved_options(parse_recipe("tfjs-graph:writer=tensorflowjs")), "order": "reversed"}
    with pytest.raises(Refused, match="order=reversed is not passed on to the published"):
        format_named("tfjs-graph").write(None, tmp_path, options)


def test_names_are_found_where_the_converter_lost_them() -> None:
    signature = Signature("serving_default", (spec("b"), spec("a")), (spec("z"), spec("y"), spec("x")))
    outputs = {"x": "Identity:0", "Identity_2:0": "Identity_2:0", "y": "Identity_1:0"}
    names = graph_names(graph({"a:0": "a:0", "b": "b:0"}, outputs), signature)
    assert names.inputs == {"b": "b", "a": "a:0"}
    assert names.outputs == {"z": "Identity_2:0", "y": "y", "x": "x"}


def test_an_input_that_was_dropped_is_a_failure() -> None:
    signature = Signature("serving_default", (spec("a"), spec("b")), (spec("y"),))
    with pytest.raises(RuntimeError, match="dropped 'b:0' of signature 'serving_default'"):
        graph_names(graph({"a": "a:0"}, {"y": "Identity:0"}), signature)


def test_what_it_rejects_is_refused_and_what_breaks_it_fails(tmp_path) -> None:
    signatures = {"serving_default": Signature("serving_default", (spec("a"),), (spec("y"),))}
    with pytest.raises(Refused, match="rejects the model: Unsupported Ops in the model Erfc; use writer=exporter"):
        graph_written(signatures, tmp_path, ["ValueError: Unsupported Ops in the model Erfc"], CONVERTER)
    with pytest.raises(RuntimeError, match="failed: KeyError: 'x'"):
        graph_written(signatures, tmp_path, ["KeyError: 'x'"], CONVERTER)
    with pytest.raises(RuntimeError, match="failed: KeyError: 'x'"):
        layers_written(None, "KeyError: 'x'", CONVERTER)
