"""Outputs that confirm nothing: constant, saturated, not finite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from exporter import tensors
from exporter.bundle import Bundle
from exporter.parity.confirmation import (
    describe_idle_outputs,
    describe_values,
    find_dead_outputs,
    find_idle_signatures,
    is_constant,
)
from exporter.reference import load_module


def strings(*values: bytes) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ([np.full((2, 3), 0.5, np.float32), np.full((1, 3), 0.5, np.float32)], "is 0.5 for every row of every case"),
        ([np.zeros((3,), np.int64)], "is 0 for every row of every case"),
        ([np.array([True, True])], "is 1 for every row of every case"),
        ([strings(b"a", b"a")], "is b'a' for every row of every case"),
        ([np.array([[0, 1], [1, 0]], np.float32)], "is 0 or 1 everywhere, as a saturated activation is"),
        ([np.array([-1.0, 1.0], np.float32)], "is -1 or 1 everywhere, as a saturated activation is"),
        ([np.array([[0.2], [0.3]], np.float32)], ""),
        ([np.array([0, 1], np.int32)], ""),  # labels and masks are integers
        ([np.array([[0.5]], np.float32)], ""),  # one row cannot vary
        ([np.array([np.nan, np.nan], np.float32)], ""),  # another matter
        ([np.zeros((0, 2), np.float32)], ""),
        ([strings(b"a", b"b")], ""),
    ],
)
def test_what_is_said_of_values(arrays: list[np.ndarray], said: str) -> None:
    assert describe_values(arrays) == said


def test_one_case_that_differs_is_enough() -> None:
    assert is_constant([np.ones(3), np.ones(2)])
    assert not is_constant([np.ones(3), np.zeros(2)])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    tiny: ModuleType = load_module(Path(__file__).parents[2] / "fakes" / "tiny.py")
    made: Bundle = tiny.write(tmp_path / "bundle")
    return made


def test_a_bundle_whose_outputs_vary(bundle: Bundle) -> None:
    assert find_dead_outputs(bundle) == ()
    assert find_idle_signatures(bundle) == ()
    assert describe_idle_outputs(bundle) == ()


def test_a_constant_head_is_told_and_a_constant_model_is_idle(bundle: Bundle) -> None:
    for case in bundle.cases:
        outputs = bundle.expected(case)
        tensors.save(bundle.root / case.reference, {**outputs, "count": np.full_like(outputs["count"], 7)})
    assert find_idle_signatures(bundle) == ()
    assert describe_idle_outputs(bundle) == (
        "output 'count' of serve is 7 for every row of every case, so agreeing with it confirms little",
    )
    for case in bundle.cases:
        tensors.save(bundle.root / case.reference, {n: np.ones_like(a) for n, a in bundle.expected(case).items()})
    assert find_idle_signatures(bundle) == ("serve",)
    # a signature without inputs cannot vary
    (signature,) = bundle.signatures
    assert find_idle_signatures(replace(bundle, signatures=(replace(signature, inputs=()),))) == ()


def test_a_case_of_data_that_is_nowhere_finite_is_told(bundle: Bundle) -> None:
    case = bundle.cases[0]
    outputs = bundle.expected(case)
    tensors.save(bundle.root / case.reference, {**outputs, "double": np.full_like(outputs["double"], np.nan)})
    assert describe_idle_outputs(bundle) == ("output 'double' of serve is not finite anywhere in case before",)
    assert find_dead_outputs(bundle) == ()
