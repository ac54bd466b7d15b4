"""Input cases: the model's own data where there is some, else numbers made up honestly and repeatably."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from exporter.errors import InputsError
from exporter.model import Signature, TensorSpec
from exporter.parity.cases import DYNAMIC_SIZE, OTHER_SIZE_STEP, CaseInputs, CaseOptions, check_ranges, fit, make_cases
from exporter.tensors import DTYPES, Tensors, dtype_name

OUT = (TensorSpec("y", "float32", (None, 1)),)
OPTIONS = CaseOptions()


def signature(*specs: tuple[str, str, tuple[int | None, ...] | None], name: str = "serve", out: Any = OUT) -> Signature:
    return Signature(name, tuple(TensorSpec(*s) for s in specs), out)


def cases(made: Signature, own: Tensors | None = None, facts: Any = None, **options: Any) -> dict[str, CaseInputs]:
    found = make_cases(made, own, facts or {}, CaseOptions(**options))
    assert len({c.name for c in found}) == len(found)
    return {c.name: c for c in found}


def same(a: Tensors, b: Tensors) -> bool:
    return a.keys() == b.keys() and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and a[n].tolist() == b[n].tolist() for n in a
    )


def strings(*values: bytes) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


IMAGE = signature(("image", "float32", (None, 4, 4)))
TWO = signature(("left", "float32", (None, 3)), ("right", "float32", (None, 2)))


# -- which cases there are


def test_batched_without_data() -> None:
    made = cases(IMAGE)
    assert {n: c.inputs["image"].shape[0] for n, c in made.items()} == {
        "batch-1": 1,
        "batch-2": 2,
        "batch-5": 5,
        "zeros": 1,
        "extremes": 2,
    }
    assert {c.origin for c in made.values()} == {"generated"}
    assert all(c.optional for c in made.values())


def test_batch_sizes_are_the_users() -> None:
    assert [n for n in cases(IMAGE, batch_sizes=(3, 8)) if n.startswith("batch")] == ["batch-3", "batch-8"]


def test_own_data_comes_first_and_says_so() -> None:
    own = {"image": np.arange(20 * 16, dtype=np.float32).reshape(20, 4, 4)}
    made = cases(IMAGE, own, samples=16)
    assert next(iter(made)) == "data"
    assert np.array_equal(made["data"].inputs["image"], own["image"][:16])
    assert {c.origin for n, c in made.items() if n.startswith(("data", "batch"))} == {"data"}
    assert np.array_equal(made["batch-1"].inputs["image"], own["image"][:1])
    assert np.array_equal(made["batch-2"].inputs["image"], own["image"][1:3])
    assert np.array_equal(made["batch-5"].inputs["image"], own["image"][3:8])


def test_only_own_rows_as_they_were_given_can_veto() -> None:
    own = {"image": np.zeros((3, 4, 4), np.float32)}
    assert [n for n, c in cases(IMAGE, own).items() if not c.optional] == ["data"]
    fixed = signature(("x", "float32", (2, 3)), out=(TensorSpec("y", "float32", ()),))
    assert [n for n, c in cases(fixed, {"x": np.zeros((2, 3), np.float32)}).items() if not c.optional] == ["data"]
    assert all(c.optional for c in cases(fixed).values())


def test_short_own_data_wraps_around_and_keeps_rows_together() -> None:
    own = {"left": np.repeat(np.arange(3.0, dtype=np.float32), 3).reshape(3, 3), "right": np.zeros((3, 2), np.float32)}
    own["right"][:, 0] = [0, 1, 2]
    made = cases(TWO, own)
    five = made["batch-5"].inputs
    assert five["left"][:, 0].tolist() == [0, 1, 2, 0, 1]
    assert five["right"][:, 0].tolist() == [0, 1, 2, 0, 1]
    assert len(made["data"].inputs["left"]) == 3


def test_a_dynamic_inner_dimension_gets_another_size_as_an_optional_case() -> None:
    text = signature(("tokens", "float32", (None, None, 8)))
    made = cases(text)
    assert made["batch-2"].inputs["tokens"].shape == (2, DYNAMIC_SIZE, 8)
    assert made["other-size"].inputs["tokens"].shape == (2, DYNAMIC_SIZE + OTHER_SIZE_STEP, 8)
    assert made["other-size"].optional
    own = {"tokens": np.zeros((4, 5, 8), np.float32)}
    assert cases(text, own)["other-size"].inputs["tokens"].shape == (2, 5 + OTHER_SIZE_STEP, 8)
    assert "other-size" not in cases(IMAGE)


def test_no_inputs_is_one_call() -> None:
    made = cases(Signature("now", (), OUT))
    assert {n: c.inputs for n, c in made.items()} == {"call": {}}


def test_without_a_batch_dimension_shapes_are_kept() -> None:
    fixed = signature(("x", "float32", (2, 3)), out=(TensorSpec("y", "float32", ()),))
    made = cases(fixed)
    assert {n: c.inputs["x"].shape for n, c in made.items()} == {"random": (2, 3), "zeros": (2, 3), "extremes": (2, 3)}
    assert made["extremes"].inputs["x"].reshape(-1).tolist() == [-10, 10, -10, 10, -10, 10]


def test_unknown_rank_needs_inputs() -> None:
    free = signature(("x", "float32", None), out=(TensorSpec("y", "float32", None),))
    with pytest.raises(InputsError, match="unknown rank") as caught:
        cases(free)
    assert caught.value.code == "unknown-rank"
    assert "--inputs" in caught.value.hint
    assert cases(free, {"x": np.ones((2, 2), np.float32)})["zeros"].inputs["x"].shape == (2, 2)


# -- repeatability


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others() -> None:
    a, b, c = cases(IMAGE, seed=3), cases(IMAGE, seed=3), cases(IMAGE, seed=4)
    assert all(same(a[n].inputs, b[n].inputs) for n in a)
    assert not same(a["batch-2"].inputs, c["batch-2"].inputs)


def test_a_case_does_not_depend_on_the_others() -> None:
    alone, among = cases(IMAGE, batch_sizes=(5,)), cases(IMAGE, batch_sizes=(1, 2, 5, 7))
    assert same(alone["batch-5"].inputs, among["batch-5"].inputs)


def test_an_input_does_not_depend_on_the_others() -> None:
    wider = signature(("extra", "float32", (None, 9)), ("left", "float32", (None, 3)), ("right", "float32", (None, 2)))
    assert np.array_equal(cases(TWO)["batch-2"].inputs["left"], cases(wider)["batch-2"].inputs["left"])


def test_inputs_cases_and_signatures_differ_from_each_other() -> None:
    pair = signature(("a", "float32", (None, 3)), ("b", "float32", (None, 3)))
    inputs = cases(pair)["batch-2"].inputs
    assert not np.array_equal(inputs["a"], inputs["b"])
    assert not np.array_equal(inputs["a"][:1], cases(pair)["batch-1"].inputs["a"])
    other = Signature("other", pair.inputs, pair.outputs)
    assert not np.array_equal(inputs["a"], cases(other)["batch-2"].inputs["a"])


# -- values


@pytest.mark.parametrize("dtype", [*DTYPES, "string"])
def test_every_dtype_can_be_generated(dtype: str) -> None:
    made = cases(signature(("x", dtype, (None, 3))), ranges={"x": (0, 5)})
    for case in made.values():
        assert dtype_name(case.inputs["x"]) == dtype, case.name
    zero = made["zeros"].inputs["x"].reshape(-1).tolist()
    assert set(zero) == {b"" if dtype == "string" else 0}


def test_integers_without_a_range_are_refused_with_the_option_to_give() -> None:
    with pytest.raises(InputsError) as caught:
        cases(signature(("ids", "int32", (None, 8))))
    assert caught.value.code == "range-needed"
    assert "--range ids:LOW:HIGH" in caught.value.hint


def test_integers_stay_in_their_range_and_reach_both_ends() -> None:
    made = cases(signature(("ids", "int32", (None, 200))), facts={"ids": {"low": 0, "high": 9, "why": "Embedding"}})
    values = made["batch-5"].inputs["ids"]
    assert (values.min(), values.max()) == (0, 9)
    assert made["extremes"].inputs["ids"][:, 0].tolist() == [0, 9]


def test_the_users_range_wins_over_facts() -> None:
    facts = {"ids": {"low": 0, "high": 9, "why": "Embedding"}}
    made = cases(signature(("ids", "int32", (None, 50))), facts=facts, ranges={"ids": (100, 101)})
    assert set(made["batch-5"].inputs["ids"].reshape(-1).tolist()) == {100, 101}


def test_uint64_reaches_its_upper_half() -> None:
    high = 2**64 - 1
    made = cases(signature(("x", "uint64", (None, 4))), ranges={"x": (2**63, high)})
    assert int(made["batch-5"].inputs["x"].min()) >= 2**63
    assert int(made["extremes"].inputs["x"].max()) == high


@pytest.mark.parametrize(("dtype", "pair"), [("int8", (0, 1000)), ("uint8", (-1, 5)), ("int32", (9, 3))])
def test_a_range_the_dtype_cannot_hold_is_refused_and_not_wrapped(dtype: str, pair: tuple[int, int]) -> None:
    with pytest.raises(InputsError) as caught:
        cases(signature(("x", dtype, (None,))), ranges={"x": pair})
    assert caught.value.code == "bad-range"


def test_integers_of_a_users_file_bring_their_own_range() -> None:
    """--inputs with integer columns, and no Embedding to tell a range: the file's own minimum and maximum are it."""
    made = cases(signature(("ids", "int32", (None, None))), {"ids": np.array([[3, 7], [5, 4]], np.int32)})
    assert made["extremes"].inputs["ids"][:, 0].tolist() == [3, 7]
    assert made["other-size"].inputs["ids"].shape == (2, 2 + OTHER_SIZE_STEP)


def test_extremes_are_the_datas_own() -> None:
    own = {"image": np.linspace(-2, 6, 32, dtype=np.float32).reshape(2, 4, 4)}
    own["image"][0, 0, 1] = np.nan
    extremes = cases(IMAGE, own)["extremes"].inputs["image"]
    assert (extremes[0].min(), extremes[0].max()) == (-2, -2)
    assert (extremes[1].min(), extremes[1].max()) == (6, 6)
    over_all_data = {"image": {"low": -8.0, "high": 8.0, "why": "own data"}}
    assert cases(IMAGE, own, over_all_data)["extremes"].inputs["image"][1, 0, 0] == 8
    assert cases(IMAGE)["extremes"].inputs["image"][:, 0, 0].tolist() == [-10, 10]


def test_bool_takes_both_values() -> None:
    made = cases(signature(("mask", "bool", (None, 64))))
    assert set(made["batch-1"].inputs["mask"].reshape(-1).tolist()) == {True, False}
    assert made["extremes"].inputs["mask"][:, 0].tolist() == [False, True]


def test_strings_are_words_of_the_vocabulary_and_odd_ones() -> None:
    words = signature(("words", "string", (None, 40)))
    made = cases(words, facts={"words": {"words": ["é".encode().decode("latin-1"), "cat"]}})
    found = set(made["batch-5"].inputs["words"].reshape(-1).tolist())
    assert {"é".encode(), b"cat", b""} <= found
    assert any(b"out-of-vocabulary" in w for w in found)
    assert b"out-of-vocabulary" in made["extremes"].inputs["words"][0, 0]
    own = {"words": strings(*[b"dog", b"cow"] * 20).reshape(1, 40)}
    assert set(cases(words, own)["data"].inputs["words"].reshape(-1).tolist()) == {b"dog", b"cow"}


def test_complex_numbers_have_both_parts() -> None:
    values = cases(signature(("z", "complex64", (None, 4))))["batch-5"].inputs["z"]
    assert np.abs(values.imag).max() > 0
    assert np.abs(values.real).max() > 0


def test_a_range_for_an_unknown_input_is_named() -> None:
    other = signature(("tokens", "int32", (None, 4)))
    check_ranges([IMAGE, other], CaseOptions(ranges={"tokens": (1, 9)}))
    with pytest.raises(InputsError, match="did you mean 'image'") as caught:
        check_ranges([IMAGE, other], CaseOptions(ranges={"imege": (0, 1)}))
    assert caught.value.code == "unknown-input"


def test_zeros_stay_inside_the_range_of_an_integer_input() -> None:
    tokens = signature(("tokens", "int32", (None, 4)))
    assert (cases(tokens, ranges={"tokens": (3, 9)})["zeros"].inputs["tokens"] == 3).all()
    assert (cases(tokens, ranges={"tokens": (-9, -2)})["zeros"].inputs["tokens"] == -2).all()
    assert (cases(tokens, ranges={"tokens": (-9, 9)})["zeros"].inputs["tokens"] == 0).all()


# -- fitting the user's data


def code_of(made: Signature, given: Tensors) -> str:
    with pytest.raises(InputsError) as caught:
        fit(made, given)
    return caught.value.code


def test_names_must_fit_and_a_typo_is_named() -> None:
    with pytest.raises(InputsError) as caught:
        fit(TWO, {"lefft": np.zeros((1, 3)), "right": np.zeros((1, 2))})
    assert caught.value.code == "input-names"
    assert "missing: left" in caught.value.message
    assert "'lefft', did you mean 'left'?" in caught.value.message
    assert "left: float32[?,3], right: float32[?,2]" in caught.value.hint
    assert code_of(TWO, {"left": np.zeros((1, 3))}) == "input-names"
    extra = {n: np.zeros((1, 1)) for n in ("left", "right", "more")}
    assert code_of(TWO, extra) == "input-names"


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 1), ()])
def test_shapes_must_fit(shape: tuple[int, ...]) -> None:
    assert code_of(signature(("x", "float32", (None, 3))), {"x": np.zeros(shape, np.float32)}) == "input-shape"


def test_rows_must_agree_and_exist() -> None:
    assert code_of(TWO, {"left": np.zeros((2, 3)), "right": np.zeros((1, 2))}) == "input-rows"
    assert code_of(TWO, {"left": np.zeros((0, 3)), "right": np.zeros((0, 2))}) == "input-rows"


ACCEPTED = [
    ("int32", np.array([1.0, -2.0])),
    ("float32", np.array([1, 2])),
    ("float32", np.array([0.1, np.nan, np.inf])),
    ("float32", np.array([0.5, np.nan], np.float16)),
    ("float16", np.array([0.1, np.nan], np.float32)),
    ("float64", np.array([0.5, np.nan], ml_dtypes.bfloat16)),
    ("bfloat16", np.array([0.3])),
    ("uint8", np.array([255], np.int64)),
    ("int64", np.array([2**63 - 1], np.uint64)),
    ("bool", np.array([0, 1])),
    ("int64", np.array([True])),
    ("complex64", np.array([1 + 2j])),
    ("complex64", np.array([1.5])),
    ("string", np.array(["a"])),
]


@pytest.mark.parametrize(("dtype", "given"), ACCEPTED)
def test_numbers_are_converted_where_every_value_survives(dtype: str, given: np.ndarray) -> None:
    found = fit(signature(("x", dtype, (None,)), out=(TensorSpec("y", "float32", (None,)),)), {"x": given})["x"]
    assert dtype_name(found) == dtype
    if dtype != "string":
        assert np.allclose(found.astype(np.complex128), given.astype(np.complex128), rtol=1e-2, equal_nan=True)


REFUSED = [
    ("int32", np.array([0.5])),
    ("int32", np.array([2**31])),
    ("int32", np.array([np.nan])),
    ("uint8", np.array([256])),
    ("uint8", np.array([-1], np.int8)),
    ("uint64", np.array([-1], np.int64)),
    ("int64", np.array([2**63], np.uint64)),
    ("bool", np.array([2])),
    ("float32", np.array([1e300])),
    ("float16", np.array([1e6], np.float32)),
    ("float32", np.array([2**24 + 1])),
    ("float32", np.array([1 + 2j], np.complex64)),
    ("float32", np.array(["1.0"])),
    ("string", np.array([1.0])),
    ("string", np.array([None], object)),
    ("int32", np.array(["2020-01-01"], "M8[D]")),
]


@pytest.mark.parametrize(("dtype", "given"), REFUSED)
def test_numbers_that_would_change_are_refused(dtype: str, given: np.ndarray) -> None:
    made = signature(("x", dtype, (None,)), out=(TensorSpec("y", "float32", (None,)),))
    assert code_of(made, {"x": given}) == "input-dtype"
