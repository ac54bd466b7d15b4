"""What was made up, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exporter.model import Entry, NameMap, Signature, TensorSpec
from exporter.parity.cases import CaseOptions, make_cases
from exporter.parity.made_up import made_up, pinned_needs

OUT = (TensorSpec("y", "float32", (None, 1)),)


def signature(dtype: str, shape: tuple[int | None, ...] = (None, 3)) -> Signature:
    return Signature("s", (TensorSpec("x", dtype, shape),), OUT)


@pytest.mark.parametrize(
    ("dtype", "fact", "said"),
    [
        ("float32", {}, "standard normal"),
        ("int32", {"low": 0, "high": 6, "why": "a CategoryEncoding of 7"}, "0..6 (a CategoryEncoding of 7)"),
        ("string", {}, "the words alpha, beta, gamma"),
        ("string", {"words": ["a"], "why": "the vocabulary of a Lookup"}, "words of the vocabulary of a Lookup"),
        ("bool", {}, "true and false"),
    ],
)  # fmt: skip
def test_values(dtype: str, fact: dict[str, Any], said: str) -> None:
    assert made_up(signature(dtype), {"x": fact}, CaseOptions()) == {"x": said}


def test_ranges_that_were_given_and_lengths() -> None:
    given = CaseOptions(ranges={"x": (1, 9)})
    assert made_up(signature("int32", (None, None, 5)), {}, given) == {
        "x": "1..9 (--range), 16 for the open size of axis 1"
    }


def test_only_listed_numbers_are_fed_and_floats_that_are_indices_are_whole() -> None:
    listed = {"x": {"low": 10, "high": 30, "values": [10, 20, 30], "whole": True, "why": "vocabulary"}}
    for case in make_cases(signature("int64"), None, listed, CaseOptions()):
        assert set(case.inputs["x"].reshape(-1).tolist()) <= {10, 20, 30}, case.name
    whole = {"x": {"low": 0, "high": 99, "whole": True, "why": "an Embedding of 100 rows"}}
    for case in make_cases(signature("float32", (None, 50)), None, whole, CaseOptions()):
        assert np.array_equal(case.inputs["x"], np.rint(case.inputs["x"]))


def test_a_length_that_became_the_shape_of_a_file_is_told() -> None:
    signature = Signature("s", (TensorSpec("x", "float32", (None, None, 5)),), (TensorSpec("y", "float32", (None, 2)),))
    entries = {"s": Entry("m", "s", NameMap({"x": "x"}, {"y": "y"}), {"x": (1, 16, 5)})}
    (said,) = pinned_needs([signature], entries, {"s"})
    assert said.startswith("accepts exactly [1, 16, 5] for 'x', whose length was made up; choose another with --shape")
    (said,) = pinned_needs([signature], entries, ())
    assert "whose length is that of the rows" in said
    only_batch = Signature("s", (TensorSpec("x", "float32", (None, 16, 5)),), signature.outputs)
    assert pinned_needs([only_batch], entries, {"s"}) == []
    assert pinned_needs([signature], {}, {"s"}) == []
