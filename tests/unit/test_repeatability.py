"""Whether two answers are one answer, and which rows a source is asked again on."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.repeatability import count_rows, differs, identical, other_batch, pooled_rows, taken


def strings(*values: bytes) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def test_rows_of_every_kind_are_pooled_once() -> None:
    cases = [
        {"a": np.array([1, 2, 1]), "s": strings(b"x", b"y", b"x")},
        {"a": np.array([2, 3]), "s": strings(b"y", b"z")},
    ]
    found = pooled_rows(cases)
    assert found["a"].tolist() == [1, 2, 3]
    assert found["s"].tolist() == [b"x", b"y", b"z"]
    assert [len(v) for v in pooled_rows(cases, most=2).values()] == [2, 2]


def test_what_has_no_rows_is_taken_as_it_is() -> None:
    case = {"a": np.array(1.0), "b": np.ones((2, 2))}
    assert pooled_rows([case]) is case
    assert count_rows(case) is None


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
def test_another_batch_has_another_order_and_size(rows: int) -> None:
    numbers = other_batch(rows)
    assert set(numbers) <= set(range(rows))
    assert rows == 1 or (len(numbers) == rows - 1 and numbers != list(range(rows - 1)))
    assert taken({"a": np.arange(rows)}, numbers)["a"].tolist() == numbers


def test_rounding_is_no_difference_and_noise_is() -> None:
    one = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert identical(one, one.copy())
    assert not identical(one, one + np.float32(1e-6))
    assert not differs(one, one * np.float32(1 + 3e-7), same_call=True)
    assert differs(one, one + np.float32(1e-3), same_call=True)
    assert not differs(one, one + np.float32(1e-4), same_call=False)
    assert differs(one, one + np.float32(0.02), same_call=False)
    assert differs(one, one[:3], same_call=True)
    assert differs(np.array([1, 2]), np.array([1, 3]), same_call=False)
    assert differs(strings(b"a"), strings(b"b"), same_call=True)
    assert not differs(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]), same_call=True)
    assert differs(np.array([np.nan, 1.0]), np.array([2.0, 1.0]), same_call=True)
