"""What a loaded artifact takes against what its signature says: names, dtypes, ranks, fixed dimensions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.model import Entry, Interface, NameMap, Signature, TensorSpec
from exporter.parity.contract import find_broken_input

SIGNATURE = Signature(
    "serve",
    (TensorSpec("a", "float32", (None, 3)), TensorSpec("b", "int64", (None, None)), TensorSpec("c", "string", None)),
    (TensorSpec("y", "float32", (None,)),),
)
ENTRY = Entry("model", "serve", NameMap({"a": "a:0", "b": "b", "c": "c"}, {"y": "y"}))
LOADED = {
    "a:0": TensorSpec("a:0", "float32", (None, 3)),
    "b": TensorSpec("b", "int64", (None, None)),
    "c": TensorSpec("c", "string", (2, 2)),
}


def find(entry: Entry = ENTRY, casts: dict[str, str] | None = None, **changes: TensorSpec) -> str:
    loaded = {**LOADED, **{"a:0" if name == "a" else name: spec for name, spec in changes.items()}}
    return find_broken_input(SIGNATURE, entry, loaded.values(), casts or {})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"a": TensorSpec("a:0", "float32", None)},
        {"a": TensorSpec("a:0", "float32", (1, 3))},
        {"a": TensorSpec("a:0", "float32", (None, None))},
        {"b": TensorSpec("b", "int64", (1, 16))},
    ],
)
def test_what_fits(changes: dict[str, TensorSpec]) -> None:
    assert find(**changes) == ""


def test_a_declared_cast_a_quantized_input_and_a_pinned_shape_are_what_the_artifact_takes() -> None:
    narrow = TensorSpec("b", "int32", (None, None))
    assert find(casts={"int64": "int32"}, b=narrow) == ""
    assert find(b=narrow) == "the artifact takes b: int32[?,?], expected b: int64[?,?]"
    quantized = replace(ENTRY, interface={"a": Interface("int8", 0.5, 3)})
    assert find(quantized, a=TensorSpec("a:0", "int8", (None, 3))) == ""
    assert "expected a:0: int8" in find(quantized)
    pinned = replace(ENTRY, pinned={"b": (1, 16)})
    assert find(pinned, b=TensorSpec("b", "int64", (1, 16))) == ""
    assert "expected b: int64[1,16]" in find(pinned, b=TensorSpec("b", "int64", (1, 30)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"d": TensorSpec("d", "float32", None)}, "takes ['a:0', 'b', 'c', 'd'], its record says ['a:0', 'b', 'c']"),
        ({"a": TensorSpec("a:0", "float64", (None, 3))}, "takes a:0: float64[?,3], expected a:0: float32[?,3]"),
        ({"a": TensorSpec("a:0", "float32", (None, 3, 1))}, "takes a:0: float32[?,3,1], expected a:0: float32[?,3]"),
        ({"a": TensorSpec("a:0", "float32", ())}, "takes a:0: float32[], expected a:0: float32[?,3]"),
        ({"a": TensorSpec("a:0", "float32", (None, 4))}, "takes a:0: float32[?,4], expected a:0: float32[?,3]"),
        ({"c": TensorSpec("c", "int32", None)}, "takes c: int32[?], expected c: string[?]"),
    ],
)
def test_what_is_broken_is_said(changes: dict[str, TensorSpec], said: str) -> None:
    assert find(**changes) == f"the artifact {said}"
