"""The shared vocabulary: JSON round trips, names that are safe on disk, and constructions that are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Artifact, Case, Cell, Entry, NameMap, Recipe, Signature, TensorSpec, recipe_of_id
from exporter.outcome import STAGES

X = TensorSpec("x", "float32", (None, 3))
Y = TensorSpec("y", "float32", (None,))


@pytest.mark.parametrize("shape", [None, (), (None,), (2, 3), (None, 0)])
def test_specs_survive_json(shape: tuple[int | None, ...] | None) -> None:
    spec = TensorSpec("größe/x:0", "bfloat16", shape)
    assert TensorSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_specs_in_words() -> None:
    assert str(X) == "x: float32[?,3]"
    assert str(TensorSpec("x", "int8", None)) == "x: int8[?]"
    assert str(TensorSpec("x", "int8", ())) == "x: int8[]"


def test_signatures_keep_their_order() -> None:
    made = Signature("serve", (TensorSpec("z", "int8", ()), X), (Y, TensorSpec("a", "string", None)))
    back = Signature.from_json(json.loads(json.dumps(made.to_json())))
    assert back == made
    assert [s.name for s in back.inputs] == ["z", "x"]
    assert back.input("x") == X
    assert back.output("y") == Y


def test_ambiguous_signatures_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicate input names"):
        Signature("s", (X, X), (Y,))
    with pytest.raises(ValueError, match="duplicate output names"):
        Signature("s", (X,), (Y, Y))
    with pytest.raises(ValueError, match="no outputs"):
        Signature("s", (X,), ())


@pytest.mark.parametrize(
    ("inputs", "outputs", "batched"),
    [
        ((X,), (Y,), True),
        ((), (Y,), False),
        ((TensorSpec("x", "f", (1, 3)),), (Y,), False),
        ((X,), (TensorSpec("y", "f", ()),), False),
        ((X, TensorSpec("k", "f", ())), (Y,), False),
        ((TensorSpec("x", "f", None),), (Y,), False),
    ],
)
def test_batched(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], batched: bool) -> None:
    assert Signature("s", inputs, outputs).batched is batched


def test_recipe_ids() -> None:
    assert recipe_of_id("onnx") == Recipe("onnx")
    made = recipe_of_id("tfjs-graph:shard-size=1MiB,quantize=uint8")
    assert made.options == (("quantize", "uint8"), ("shard-size", "1MiB"))
    assert made.id == "tfjs-graph:quantize=uint8,shard-size=1MiB"
    assert recipe_of_id(made.id) == made
    assert made.option("quantize", "none") == "uint8"
    assert made.option("absent", "default") == "default"


@pytest.mark.parametrize("text", ["onnx:opset", "onnx:=3", "onnx:a=1,b"])
def test_bad_recipe_ids(text: str) -> None:
    with pytest.raises(ValueError, match="expected key=value"):
        recipe_of_id(text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_directories_are_safe_everywhere(name: str, value: str) -> None:
    directory = Recipe("onnx" + name, (("key", value),)).directory
    assert set(directory) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert directory not in (".", "..")


def test_recipes_that_differ_in_special_characters_alone_have_directories_of_their_own():
    globs = ("dense*", "dense?", "dense/*", "dense[12]", "dense")
    found = {Recipe("tfjs-graph", (("quantize", "uint8"), ("quantize-only", glob))).directory for glob in globs}
    assert len(found) == len(globs)
    assert Recipe("onnx", (("opset", "17"),)).directory == "onnx_opset_17"


def test_artifacts_survive_json() -> None:
    entry = Entry("a/model.onnx", "serve", NameMap({"x": "x:0"}, {"y": "Identity"}), {"x": (1, None, 3)})
    made = Artifact(
        recipe_of_id("onnx:opset=17"), "written", "", "", True, {"serve": entry}, {"other": "why"}, ("Erfc lowered",),
        {"onnx": "1"}, ("MyLayer",), ("kernels",), {"made_by": "onnxruntime"}, 1.5, 42,
    )  # fmt: skip
    assert Artifact.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_an_identity_name_map() -> None:
    names = NameMap.identity(Signature("s", (X,), (Y,)))
    assert (names.inputs, names.outputs) == ({"x": "x"}, {"y": "y"})
    assert NameMap.from_json(names.to_json()) == names


def test_cases_survive_json() -> None:
    made = Case("data", "serve", "cases/x", "references/x", "data", 7)
    assert Case.from_json(made.to_json()) == made


def test_cells_are_keys_with_a_readable_name() -> None:
    a, b = Cell("onnx", "ort", "serve", "data"), Cell("onnx", "ort", "serve", "data")
    assert {a: 1}[b] == 1
    assert str(a) == "onnx/ort/serve/data"


def test_stages_are_those_of_the_protocol() -> None:
    from exporter.protocol.client import schema

    assert set(schema()["$defs"]["error"]["properties"]["stage"]["enum"]) <= set(STAGES)
