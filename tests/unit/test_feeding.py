"""A case reaches an artifact with a pinned batch or integer tensors, and its outputs come back by the signature."""

from __future__ import annotations

import numpy as np
import pytest

from exporter import feeding
from exporter.model import Entry, Interface, NameMap, Signature, TensorSpec

SIGNATURE = Signature("s", (TensorSpec("x", "float32", (None, None, 2)),), (TensorSpec("y", "float32", (None, 2)),))
NAMES = NameMap({"x": "in"}, {"y": "out"})


def entry(**options: object) -> Entry:
    return Entry("model.tflite", "s", NAMES, **options)  # type: ignore[arg-type]


def sums(fed: list[tuple[int, ...]]):
    def call(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        fed.append(inputs["in"].shape)
        return {"out": inputs["in"].sum(axis=1, dtype=inputs["in"].dtype)}

    return call


X = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


@pytest.mark.parametrize(
    ("pinned", "shapes"),
    [({}, [(3, 2, 2)]), ({"x": (None, 2, 2)}, [(3, 2, 2)]), ({"x": (1, 2, 2)}, [(1, 2, 2)] * 3)],
)
def test_rows_are_fed_one_by_one_only_where_the_batch_is_pinned(pinned: dict, shapes: list) -> None:
    fed: list[tuple[int, ...]] = []
    found = feeding.run(SIGNATURE, entry(pinned=pinned), {"x": X}, sums(fed))
    assert fed == shapes
    np.testing.assert_array_equal(found["y"], X.sum(axis=1))


def test_another_length_than_the_pinned_one_is_refused() -> None:
    assert feeding.refusal(SIGNATURE, entry(pinned={"x": (None, 2, 2)}), {"x": X}) == ""
    words = feeding.refusal(SIGNATURE, entry(pinned={"x": (None, 5, 2)}), {"x": X})
    assert "pinned to [None, 5, 2]" in words
    assert "[3, 2, 2]" in words


def test_floats_become_the_artifacts_integers_and_back() -> None:
    given = entry(interface={"x": Interface("int8", 0.5, 3), "y": Interface("int8", 0.25, -1)})
    fed = feeding.encoded(given, {"x": np.array([0, 1.2, -1.3, 1000, -1000], np.float32)})["x"]
    assert fed.dtype == np.int8
    assert fed.tolist() == [3, 5, 0, 127, -128]
    back = feeding.decoded(given, {"y": np.array([-1, 0, 127], np.int8)})["y"]
    assert back.dtype == np.float32
    assert back.tolist() == [0.0, 0.25, 32.0]


def test_floats_become_the_nearest_integer_on_either_side_of_zero() -> None:
    given = entry(interface={"x": Interface("int8", 0.5, 0)})
    values = np.array([0.7, 1.3, -0.7, -1.2, 0.9], np.float32)  # 1.4, 2.6, -1.4, -2.4 and 1.8 steps
    assert feeding.encoded(given, {"x": values})["x"].tolist() == [1, 3, -1, -2, 2]


def test_a_wrong_dtype_is_left_for_the_comparison() -> None:
    given = entry(interface={"y": Interface("int8", 0.25, 0)})
    outputs = {"y": np.array([1, 2], np.int16)}
    assert feeding.decoded(given, outputs)["y"].dtype == np.int16


def test_rows_that_differ_in_their_outputs_do_not_join() -> None:
    with pytest.raises(ValueError, match="different outputs"):
        feeding.joined([{"y": X}, {"z": X}])
