"""Bad calibration data are named before they are used."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.calibration import calibration, gathered, with_open_rows
from exporter.errors import InputsError
from exporter.model import Signature, TensorSpec
from exporter.tensors import Tensors

IMAGE = Signature(
    "serving_default",
    (TensorSpec("image", "float32", (None, 8, 8, 1)),),
    (TensorSpec("scores", "float32", (None, 3)),),
)


def images(rows: int, seed: int, scale: float = 1.0) -> Tensors:
    """Pictures with a background, an edge and a little noise."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((rows, 8, 8, 1))
    for picture in pictures:
        left = rng.integers(1, 7)
        picture[:, left:] = rng.uniform(0.5, 1)
    return {"image": np.clip(pictures + rng.normal(0, 0.05, pictures.shape), 0, 1).astype(np.float32) * scale}


def codes(given: Tensors, evaluation: Tensors | None = None, **options: int) -> list[str]:
    judged = {"serving_default": evaluation if evaluation is not None else images(16, 2)}
    found = calibration("test", {"serving_default": given}, [IMAGE], judged, seed=7, **options)
    return [finding.code for finding in found.findings]


def test_good_data_are_not_suspicious() -> None:
    assert codes(images(200, 1)) == []


def test_each_defect_has_its_name() -> None:
    noise = {"image": np.random.default_rng(1).uniform(0, 1, (200, 8, 8, 1)).astype(np.float32)}
    one = images(1, 1)
    assert codes(images(20, 1)) == ["few-samples"]
    assert codes(one) == ["few-samples"]
    assert codes({"image": np.repeat(one["image"], 200, axis=0)}) == ["identical-samples"]
    assert codes(noise) == ["uniform-noise"]
    assert codes(images(200, 1, 255)) == ["range-mismatch"]
    assert codes(images(200, 1, 1 / 255)) == ["range-mismatch"]
    assert codes(images(200, 1), images(200, 1)) == ["calibration-is-evaluation"]


def test_the_range_finding_has_the_factor() -> None:
    given = {"serving_default": images(200, 1, 255)}
    found = calibration("test", given, [IMAGE], {"serving_default": images(16, 2)}, seed=7)
    assert "a factor of 2" in found.findings[0].message
    assert "'image'" in found.findings[0].message


def test_data_that_are_uniform_themselves_are_not_noise() -> None:
    rng = np.random.default_rng(3)
    signature = Signature("s", (TensorSpec("x", "float32", (None, 2)),), (TensorSpec("y", "float32", (None, 1)),))
    rows = {"x": rng.uniform(-10, 10, (200, 2)).astype(np.float32)}
    for count in (64, 16):
        judged = {"x": rng.uniform(-10, 10, (count, 2)).astype(np.float32)}
        assert calibration("test", {"s": rows}, [signature], {"s": judged}, seed=7).findings == ()
    bell = {"x": rng.normal(0, 2, (64, 2)).astype(np.float32)}
    found = calibration("test", {"s": rows}, [signature], {"s": bell}, seed=7).findings
    assert [finding.code for finding in found] == ["uniform-noise"]


def test_rows_are_drawn_by_the_seed_and_hashed() -> None:
    given = {"serving_default": images(400, 1)}
    first, again, other = (calibration("t", given, [IMAGE], {}, seed=seed) for seed in (7, 7, 8))
    assert first.to_json() == again.to_json()
    assert first.sha256 != other.sha256
    assert first.to_json()["samples"] == {"serving_default": 256}


def test_data_that_do_not_fit_are_refused() -> None:
    for given, code in (
        ({"picture": images(2, 1)["image"]}, "input-names"),
        ({"image": np.zeros((2, 9, 9, 1), np.float32)}, "input-shape"),
        ({"image": np.full((2, 8, 8, 1), np.nan, np.float32)}, "calibration-not-finite"),
    ):
        with pytest.raises(InputsError) as error:
            calibration("test", {"serving_default": given}, [IMAGE], {}, seed=7)
        assert error.value.code == code
        assert "calibration" in str(error.value)


def test_what_artifacts_are_judged_by_is_gathered_from_all_cases() -> None:
    rows = np.arange(12.0).reshape(6, 2)
    found = gathered([{"x": rows[:1]}, {"x": rows[1:5]}, {"x": rows[:, :1]}, {"x": rows[5:]}])
    assert found["x"].shape == (6, 1), "the rows of the largest case"
    assert gathered([{"x": rows[:1]}, {"x": rows[1:5]}, {"x": rows[5:]}])["x"].tolist() == rows.tolist()


def test_zeros_of_both_signs_are_one_row() -> None:
    """Pairs of rows that differ in the sign of their zeros alone: a hundred rows among two hundred."""
    rows = images(200, 1)["image"] * np.where(np.arange(200) % 2, 0.0, -0.0).reshape(-1, 1, 1, 1)
    rows[:, 0, 0, 0] = 1 + np.arange(200) // 2
    assert len({row.tobytes() for row in rows.astype(np.float32)}) == 200
    assert "identical-samples" in codes({"image": rows.astype(np.float32)})


def test_without_rows_to_judge_by_the_report_says_so() -> None:
    found = calibration("test", {"serving_default": images(200, 1)}, [IMAGE], {}, seed=7).findings
    assert [finding.code for finding in found] == ["no-evaluation"]
    assert "give --inputs" in found[0].message


def test_rows_of_a_fixed_batch_are_any_number_of_it() -> None:
    outputs = (TensorSpec("y", "float32", (2, 1)),)
    fixed = Signature("s", (TensorSpec("x", "float32", (2, 3)), TensorSpec("z", "float32", (2,))), outputs)
    assert [spec.shape for spec in with_open_rows(fixed).inputs] == [(None, 3), (None,)]
    other = Signature("s", (TensorSpec("x", "float32", (2, 3)), TensorSpec("z", "float32", (4,))), outputs)
    assert with_open_rows(other) is other
