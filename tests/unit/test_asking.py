"""What is asked of a source by running it."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.asking import cause_of, numbered, rejected_rows
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
