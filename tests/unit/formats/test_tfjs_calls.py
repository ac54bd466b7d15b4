"""Which graphs the `predict` of TF.js throws on, in words."""

from __future__ import annotations

import pytest

from exporter.formats._tfjs_calls import needs

LAYERS = {"a/while/Enter": ["a", "a/cell"], "a/while/Switch": ["a", "a/cell"], "b/cond/Switch": ["b"]}


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([("x", "Placeholder"), ("y", "MatMul"), ("z", "Unique")], ""),
        ([("a/while/Enter", "Enter"), ("a/while/Switch", "Switch"), ("l", "TensorListStack")], "a loop (layer 'a')"),
        ([("w", "StatelessWhile")], "a loop"),
        ([("b/cond/Switch", "Switch"), ("b/cond/Merge", "Merge")], "a condition (layer 'b')"),
        ([("i", "If")], "a condition"),
        ([("l", "TensorListFromTensor")], "a list of tensors"),
        ([("t", "HashTableV2"), ("f", "LookupTableFindV2"), ("w", "Where")], "a lookup table, Where"),
        ([("n", "NonMaxSuppressionV3"), ("a/while/Enter", "Exit")], "NonMaxSuppressionV3, a loop (layer 'a')"),
    ],
)
def test_what_predict_throws_on_is_said(nodes, said) -> None:
    found = needs(nodes, lambda name: LAYERS.get(name, ()))
    assert found == (f"needs executeAsync: the predict of TF.js throws on {said}" if said else "")


def test_a_signature_among_others_is_named() -> None:
    found = needs([("w", "While")], lambda name: (), "signature 'train'")
    assert found == "signature 'train': needs executeAsync: the predict of TF.js throws on a loop"
