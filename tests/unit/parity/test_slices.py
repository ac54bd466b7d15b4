"""An output that joins numbers of different scales is judged by part: lost scores are red by their index."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from exporter.model import Signature, TensorSpec, Tolerance
from exporter.outcome import Comparison
from exporter.parity.compare import compare, scales
from exporter.parity.quality import Measured, Quality, judge
from exporter.parity.slices import find_lost_slice, find_slicings, is_distribution

FLOAT = Tolerance(1e-4, 1e-4, "float32")
INT8 = Quality("*", 17, "test")
Array = np.ndarray


def joined(rows: int = 32, seed: int = 0) -> Array:
    """A detector's output [rows, 16, 9]: four coordinates in pixels, five scores."""
    rng = np.random.default_rng(seed)
    boxes = 640 * rng.uniform(0.2, 0.8, (rows, 16, 4))
    return np.concatenate([boxes, rng.uniform(0, 1, (rows, 16, 5))], axis=-1).astype(np.float32)


def in_steps(values: Array, step: float) -> Array:
    return (np.rint(values / step) * step).astype(np.float32)


def parts(values: Array) -> list[list[str]]:
    (found,) = find_slicings({"data": {"y": values}}).values()
    return [[slicing.name("y", part.indices) for part in slicing.parts] for slicing in found]


def compare_float(got: Array, expected: Array, *, whole: bool = False) -> Comparison:
    references = {"data": {"y": expected}}
    slicings = {} if whole else find_slicings(references)
    signature = Signature("s", (), (TensorSpec("y", "float32", (None,) * expected.ndim),))
    return compare(signature, {"y": got}, {"y": expected}, scales(references), lambda output: FLOAT, slicings)


def judge_int8(got: Array, expected: Array) -> Comparison:
    references = {"data": {"y": expected}}
    signature = Signature("s", (), (TensorSpec("y", "float32", (None,) * expected.ndim),))
    measured = Measured(True, scales(references, floor=0.0), slicings=find_slicings(references))
    return judge(signature, {"y": got}, {"y": expected}, scales(references), INT8, measured)


# where the scores are -> how a joined output becomes that
LAYOUTS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "last": (lambda y: y, "y[..., 4:9]"),
    "first": (lambda y: np.roll(y, 5, axis=-1), "y[..., 0:5]"),
    "middle": (lambda y: np.roll(y, 2, axis=-1), "y[..., 0:2, 6:9]"),
    "axis-1": (lambda y: y.transpose(0, 2, 1), "y[:, 4:9]"),
    "flat": (lambda y: y[:, :2].reshape(len(y), 18), "y[..., 4:9, 13:18]"),
    "pictures": (lambda y: y.transpose(0, 2, 1).reshape(len(y), 9, 4, 4), "y[:, 4:9]"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_beside_boxes_are_a_part_of_their_own(layout: str) -> None:
    arrange, name = LAYOUTS[layout]
    assert any(name in found for found in parts(arrange(joined())))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_that_share_the_step_of_boxes_are_red_by_their_index(layout: str) -> None:
    arrange, name = LAYOUTS[layout]
    expected = arrange(joined())
    got = in_steps(expected, 640 / 255)
    found = judge_int8(got, expected)
    assert found.code == "quality"
    assert re.match(rf"{re.escape(name)}: -?0\.\d dB", found.problem)
    assert found.outputs[0].slice.startswith(name.partition(",")[0].partition("[")[0])
    # as one cloud of numbers it is as good as new
    error = got.astype(np.float64) - expected
    assert 20 * math.log10(float(np.sqrt(np.mean(expected.astype(np.float64) ** 2) / np.mean(error**2)))) > 40


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_part_in_steps_of_its_own_is_fine(layout: str) -> None:
    arrange, _ = LAYOUTS[layout]
    whole = joined()
    got = np.concatenate([in_steps(whole[..., :4], 640 / 255), in_steps(whole[..., 4:], 1 / 255)], axis=-1)
    found = judge_int8(arrange(got), arrange(whole))
    assert found.problem == ""
    assert found.outputs[0].noise_db > 35  # type: ignore[operator]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_float_artifacts_are_judged_by_part_too(layout: str) -> None:
    arrange, _ = LAYOUTS[layout]
    expected = arrange(joined())
    got = arrange(joined() + np.float32([0] * 4 + [0.02] * 5))
    assert compare_float(got, expected, whole=True).problem == ""
    assert compare_float(got, expected).code == "values"
    rounded = expected * np.float32(1 + 2e-7)
    assert compare_float(rounded, expected).problem == ""


def test_what_is_not_bounded_has_no_unit_but_its_own_size() -> None:
    rng = np.random.default_rng(3)
    time = 1.7e12 + rng.uniform(0, 1e9, (20, 1))
    expected = np.concatenate([time, rng.normal(0, 5, (20, 2))], axis=1).astype(np.float32)
    got = expected * np.float32([1, 1, 0])
    assert compare_float(got, expected, whole=True).problem == ""
    assert compare_float(got, expected).code == "values"
    assert "y[..., 1:3]" in compare_float(got, expected).outputs[0].slice


def test_rare_classes_of_one_distribution_are_one_scale() -> None:
    logits = np.random.default_rng(1).normal(0, 6, (40, 50)) - np.arange(50) / 3
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = rows.astype(np.float32)
    assert [len(found) for found in parts(expected)] == [1]
    assert judge_int8(in_steps(expected, 1 / 255), expected).problem == ""


def test_logits_of_one_head_are_one_scale_on_whatever_level() -> None:
    """A thousand logits that vary alike: the levels of some are near zero, and their noise is that of the others."""
    rng = np.random.default_rng(8)
    expected = (rng.normal(0, 5, 1000) + rng.normal(0, 0.5, (40, 1000))).astype(np.float32)
    assert [len(found) for found in parts(expected)] == [1]
    levels = np.float32([300, 0.01, 0.01]) + rng.normal(0, 0.5, (40, 3)).astype(np.float32)
    assert [len(found) for found in parts(levels)] == [2]


def test_heads_whose_scales_follow_each_other_are_apart() -> None:
    scales = np.float32([1000, 150, 20, 3])
    expected = np.random.default_rng(9).normal(0, 1, (60, 4)).astype(np.float32) * scales
    found = judge_int8(in_steps(expected, 8000 / 255), expected)
    assert found.code == "quality"
    assert "y[..., 2:4]" in found.problem or "y[..., 3]" in found.problem


def test_zeros_everywhere_are_judged_beside_the_largest() -> None:
    expected = np.random.default_rng(2).normal(0, 100, (20, 4)).astype(np.float32) * np.float32([1, 1, 0, 1])
    assert parts(expected) == [["y[..., 0:4]"]]
    assert compare_float(expected + np.float32(1e-4), expected).problem == ""


def test_a_slice_that_became_constant_is_red() -> None:
    expected = np.random.default_rng(4).normal(0, 1, (64, 6)).astype(np.float32)
    got = expected.copy()
    got[:, 3] = 0.25
    found = judge_int8(got, expected)
    assert found.code == "quality"
    slicings = find_slicings({"data": {"y": expected}})["y"]
    lost = find_lost_slice(got, expected, slicings)
    assert lost is not None
    assert lost[1] == 3
    assert lost[2].startswith("is the constant 0.25, where the source varies from -")


def test_a_slice_that_lost_more_than_half_of_its_levels_is_red() -> None:
    """50 dB, and every score takes one of nine values."""
    expected = np.random.default_rng(5).uniform(0, 1, (400, 3)).astype(np.float32)
    got = expected.copy()
    got[:, 1] = in_steps(expected[:, 1], 1 / 32)
    found = judge_int8(got, expected)
    assert found.code == "quality"
    assert found.problem.startswith("y[..., 1] takes 33 distinct values, where the source takes ")
    assert judge_int8(in_steps(expected, 1 / 200), expected).problem == ""


def test_labels_have_few_levels_by_nature() -> None:
    expected = np.random.default_rng(6).integers(0, 10, (400, 3)).astype(np.float32)
    assert judge_int8(expected.copy(), expected).problem == ""


def test_a_slice_that_hardly_varies_may_be_constant() -> None:
    """What it varies by is below the noise that the gates allow."""
    expected = np.random.default_rng(7).uniform(0, 1, (64, 3)).astype(np.float32)
    expected[:, 2] = 0.5 + 0.01 * expected[:, 2]
    got = expected.copy()
    got[:, 2] = 0.505
    assert judge_int8(got, expected).problem == ""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.float32([[0.2, 0.8], [1, 0]]), True),
        (np.float32([[3, -1], [0.5, 0.1]]), False),
        (np.float32([[0.2, 0.2], [0.9, 0.9]]), False),
        (np.float32([[np.nan, 1]]), False),
        (np.float32([0.5, 0.5]), False),
        (np.float32([[1], [1]]), False),
    ],
)
def test_top1_is_only_for_rows_that_are_one_distribution(rows: Array, expected: bool) -> None:
    assert is_distribution(rows) is expected
    compared = compare_float(rows, rows).outputs[0]
    assert (compared.top1 is not None) is (expected and compared.top1_rows > 0)
    assert (judge_int8(rows, rows).outputs[0].top1 is not None) is expected


def test_a_floating_output_without_a_scale_cannot_be_judged() -> None:
    signature = Signature("s", (), (TensorSpec("y", "float32", (None, 2)),))
    rows = np.zeros((1, 2), np.float32)
    with pytest.raises(KeyError):
        compare(signature, {"y": rows}, {"y": rows}, {}, lambda output: FLOAT)


@pytest.mark.parametrize("kind", [np.int32, np.complex64])
def test_what_is_no_real_number_is_not_sliced(kind: type) -> None:
    assert find_slicings({"a": {"y": np.ones((2, 3), kind)}}) == {"y": ()}


def test_cases_of_other_lengths_are_sliced_where_they_agree() -> None:
    made = [np.ones((2, n, 2), np.float32) * np.float32([1, 1000]) for n in (3, 5)]
    (found,) = find_slicings({str(i): {"y": y} for i, y in enumerate(made)})["y"]
    assert (found.axis, len(found.parts)) == (2, 2)
