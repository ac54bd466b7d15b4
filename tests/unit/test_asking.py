"""What is asked of a source by running it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exporter.asking import cause_of, has_independent_rows, numbered, rejected_rows
from exporter.errors import SourceError
from exporter.tensors import Tensors


def positive(inputs: Tensors) -> Tensors:
    if (inputs["x"] < 0).any():
        raise SourceError("reference", "the source itself fails on these inputs of signature 's': is negative")
    return {"y": inputs["x"]}


def test_rows_that_are_rejected_alone_are_named() -> None:
    assert rejected_rows(positive, {"x": np.array([1.0, -1, 2, -3])}) == [1, 3]
    assert rejected_rows(positive, {"x": np.array([1.0])}) == []


def test_a_crash_is_no_rejection() -> None:
    def crash(inputs: Tensors) -> Tensors:
        raise SourceError("crash", "the worker ended")

    with pytest.raises(SourceError, match="the worker ended"):
        rejected_rows(crash, {"x": np.array([1.0])})


def test_words() -> None:
    assert numbered([3]) == "row 3 (counted from 0)"
    assert numbered([1, 2, 3, 4, 5, 6, 7]) == "rows 1, 2, 3, 4, 5 and 2 more (counted from 0)"
    with pytest.raises(SourceError) as caught:
        positive({"x": np.array([-1.0])})
    assert cause_of(caught.value, "s") == "is negative"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda q, c: q @ c.T, True),  # queries against candidates
        (lambda q, c: q + c, False),
        (lambda q, c: np.concatenate([q, c], axis=1), False),
        (lambda q, c: q, False),  # one of them is not read: still a batch for who calls it
        (lambda q, c: q * c.mean(axis=0), False),
    ],
)
def test_rows_of_their_own_show_in_sizes_beyond_the_first(function: Callable[..., Any], expected: bool) -> None:
    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return {"y": function(inputs["q"], inputs["c"])}
        except ValueError as error:
            raise SourceError("reference", str(error)) from error

    rows = {size: {"q": np.ones((size, 4)), "c": np.ones((size, 4))} for size in (2, 3)}
    assert has_independent_rows(run, rows[2], rows[3]) is expected
