"""The comparison: the order of its steps, and properties that no input may break."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter.model import Signature, TensorSpec, Tolerance
from exporter.outcome import Comparison
from exporter.parity.compare import HISTOGRAM_DECADES, SCALE_FLOOR, accept_casts, compare, number, scales
from exporter.tensors import DTYPES, dtype_name, zeros

EXACT = Tolerance(0.0, 0.0, "test")
LOOSE = Tolerance(1e-3, 1e-3, "test")
FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")

profile = settings(max_examples=60)


def signature_of(expected: Mapping[str, np.ndarray], shapes: Mapping[str, Any] | None = None) -> Signature:
    shapes = shapes or {}
    specs = (TensorSpec(n, dtype_name(a), shapes.get(n, (None,) * a.ndim)) for n, a in expected.items())
    return Signature("serve", (), tuple(specs))


def judge(
    got: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: Tolerance = LOOSE,
    scale: Mapping[str, float] | None = None,
    shapes: Mapping[str, Any] | None = None,
) -> Comparison:
    found = scales({"case": dict(expected)}) if scale is None else scale
    return compare(signature_of(expected, shapes), dict(got), dict(expected), found, lambda name: tolerance)


def one(got: Any, expected: Any, tolerance: Tolerance = LOOSE, **options: Any) -> Comparison:
    return judge({"y": np.asarray(got)}, {"y": np.asarray(expected)}, tolerance, **options)


# -- order of the steps: each case breaks its own step and every later one


GOOD = {"a": np.array([[1.0, 2.0, np.nan]], np.float32), "b": np.array([[3.0, 4.0, 5.0]], np.float32)}


def test_names_come_first() -> None:
    result = judge({"a": np.zeros((9, 9), np.int8), "c": GOOD["b"]}, GOOD)
    assert result.code == "names"
    assert result.problem == "missing outputs: b; unexpected outputs: c"


def test_an_extra_output_is_a_mismatch_and_not_ignored() -> None:
    assert judge({**GOOD, "c": GOOD["a"]}, GOOD).problem == "unexpected outputs: c"


def test_dtype_comes_before_shape() -> None:
    result = judge({"a": np.zeros((9,), np.float32), "b": GOOD["b"].astype(np.float64)}, GOOD)
    assert result.code == "dtype"
    assert result.problem == "b: dtype float64, expected float32"


def test_shape_comes_before_values_and_broadcasting_is_no_excuse() -> None:
    result = one(np.ones((1, 3), np.float32), np.ones((4, 3), np.float32))
    assert result.code == "shape"
    assert result.problem == "y: shape [1, 3], expected [4, 3]"


@pytest.mark.parametrize(
    ("got", "expected"), [((3, 2), (2, 3)), ((6,), (2, 3)), ((3, 1), (3,)), ((1,), ()), ((), (1,)), ((1, 3), (3,))]
)
@pytest.mark.parametrize("dtype", ["float32", "int64", "string"])
def test_as_many_elements_in_another_shape_are_a_mismatch(got: Any, expected: Any, dtype: str) -> None:
    assert one(zeros(dtype, got), zeros(dtype, expected)).code == "shape"


def test_the_non_finite_pattern_comes_before_values() -> None:
    result = judge({"a": np.array([[9.0, 2.0, 0.0]], np.float32), "b": GOOD["b"]}, GOOD)
    assert result.code == "non-finite"
    assert result.problem.startswith("a[0, 2] is 0.0, expected NaN: NaN in 1 places")


def test_values_come_last_and_name_the_worst_element() -> None:
    result = judge({"a": GOOD["a"], "b": np.array([[3.0, 4.5, 5.0]], np.float32)}, GOOD)
    assert result.code == "values"
    assert result.problem.startswith("b[0, 1] is 4.5, expected 4.0: ")
    assert [o.name for o in result.outputs] == ["a", "b"]
    assert result.outputs[1].worst_index == (0, 1)


def test_an_earlier_output_cannot_hide_a_later_ones_earlier_step() -> None:
    """Output a has wrong values, b a wrong dtype: the dtype decides, because it is the earlier step."""
    got = {"a": GOOD["b"], "b": GOOD["b"].astype(np.float16)}
    assert judge(got, GOOD).code == "dtype"


# -- emptiness


def test_an_empty_output_is_equal_only_where_its_signature_allows_none() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert one(empty, empty).code == ""
    assert one(empty, empty, shapes={"y": (0, 3)}).code == ""
    assert one(empty, empty, shapes={"y": None}).code == ""
    refused = one(empty, empty, shapes={"y": (2, 3)})
    assert refused.code == "empty"
    assert "no zero dimension" in refused.problem


def test_an_empty_answer_to_a_full_reference_is_a_shape_mismatch() -> None:
    assert one(np.zeros((0, 3), np.float32), np.zeros((2, 3), np.float32)).code == "shape"


@pytest.mark.parametrize("dtype", [*DTYPES, "string"])
def test_empty_outputs_have_figures(dtype: str) -> None:
    empty = zeros(dtype, (0, 3))
    (figures,) = one(empty, empty).outputs
    assert (figures.elements, figures.needed, figures.max_abs, sum(figures.histogram)) == (0, 0.0, 0.0, 0)
    assert figures.worst_index == ()
    assert figures.worst_got is None


# -- properties


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)


def finite(dtype: str, shapes: Any = SHAPES) -> st.SearchStrategy[np.ndarray]:
    kind = DTYPES[dtype][1]
    if dtype == "bfloat16":
        return finite("float32", shapes).map(lambda a: np.clip(a, -1e38, 1e38).astype(kind))
    if dtype == "complex64":
        part = st.floats(-(2.0**100), 2.0**100, width=32)
        elements: Any = st.builds(complex, part, part)
    else:
        elements = st.floats(allow_nan=False, allow_infinity=False, width=kind.itemsize * 8)
    return hnp.arrays(kind, shapes, elements=elements)


anything = st.one_of(
    *(finite(d) for d in FLOATS),
    *(hnp.arrays(DTYPES[d][1], hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)) for d in (*INTEGERS, "bool")),
)


@profile
@given(anything)
def test_equal_arrays_pass_the_strictest_gate_and_need_nothing(array: np.ndarray) -> None:
    result = one(array.copy(), array, EXACT)
    assert result.code == ""
    (figures,) = result.outputs
    assert (figures.needed, figures.max_abs, figures.max_rel) == (0.0, 0.0, 0.0)
    assert figures.sqnr_db == math.inf
    assert figures.histogram[0] == figures.elements == array.size


@profile
@given(
    st.tuples(st.sampled_from(FLOATS), SHAPES).flatmap(lambda p: st.tuples(finite(*p), finite(*p))),
    st.just(0.0) | st.floats(1e-9, 1),
    st.floats(1e-9, 1),
)
def test_needed_is_exactly_the_factor_that_just_passes(
    pair: tuple[np.ndarray, np.ndarray], rtol: float, atol: float
) -> None:
    got, expected = pair
    (figures,) = one(got, expected, Tolerance(rtol, atol, "t")).outputs
    assume(1e-200 < figures.needed < 1e290)  # outside, the scaled tolerance itself is subnormal or infinite

    def scaled(factor: float) -> str:
        f = figures.needed * factor
        return one(got, expected, Tolerance(rtol * f, atol * f, "t")).code

    assert scaled(1 + 1e-12) == ""
    assert scaled(1 - 1e-6) == "values"
    assert (one(got, expected, Tolerance(rtol, atol, "t")).code == "") == (figures.needed <= 1)


@profile
@given(finite("float32"), st.floats(1e-6, 1e6))
def test_the_verdict_does_not_depend_on_the_unit(array: np.ndarray, unit: float) -> None:
    """Scaling reference, answer and S alike leaves `needed` alone: the gate is relative to S, not absolute."""
    expected = array.astype(np.float64)
    assume(array.size and np.abs(expected).max() < 1e30 and scales({"c": {"y": expected}})["y"] > 1)
    got = expected + 1e-3 * np.abs(expected).max()
    before = one(got, expected).outputs[0].needed
    after = one(got * unit, expected * unit).outputs[0].needed
    assume(scales({"c": {"y": expected * unit}})["y"] > SCALE_FLOOR)
    assert after == pytest.approx(before, rel=1e-6)


@profile
@given(st.permutations(["a", "b", "c", "d"]), st.sampled_from(["a", "b", "c", "d"]))
def test_the_order_of_the_answer_does_not_matter(order: list[str], wrong: str) -> None:
    rng = np.random.default_rng(0)
    expected = {n: rng.normal(size=(2, 3)).astype(np.float32) for n in "abcd"}
    got = {n: expected[n] + (n == wrong) for n in order}
    result = judge(got, expected)
    assert result == judge({n: got[n] for n in "abcd"}, expected)
    assert result.problem.startswith(f"{wrong}[")


@profile
@given(
    st.sampled_from(FLOATS),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]),
    st.data(),
)
def test_a_one_sided_non_finite_value_is_a_mismatch(
    dtype: str, shape: tuple[int, ...], odd: float, other: float, data: st.DataObject
) -> None:
    assume(not (odd == other or (math.isnan(odd) and math.isnan(other))))
    a = zeros(dtype, shape).reshape(-1)
    b = a.copy()
    at = data.draw(st.integers(0, a.size - 1))
    a[at], b[at] = odd, other
    a, b = a.reshape(shape), b.reshape(shape)
    unlimited = Tolerance(1e300, 1e300, "t")
    assert one(a, b, unlimited).code == "non-finite"
    assert one(b, a, unlimited).code == "non-finite"
    assert one(a, a.copy(), EXACT).code == ""


@profile
@given(st.sampled_from(["float16", "bfloat16", "float32", "float64"]).flatmap(finite), st.data(), st.booleans())
def test_one_ulp_fails_a_bit_exact_gate(array: np.ndarray, data: st.DataObject, up: bool) -> None:
    bits = array.copy().reshape(-1)
    assume(bits.size)
    at = data.draw(st.integers(0, bits.size - 1))
    with np.errstate(over="ignore"):
        moved = np.nextafter(bits[at], np.array(np.inf if up else -np.inf, bits.dtype))
    assume(np.isfinite(np.float64(moved)))
    bits[at] = moved
    result = one(bits.reshape(array.shape), array, EXACT)
    assert result.code == "values"
    assert result.outputs[0].needed == math.inf
    assert one(bits.reshape(array.shape), array, EXACT).outputs[0].allowed == "bit-exact"


@profile
@given(st.sampled_from(INTEGERS).flatmap(lambda d: hnp.arrays(DTYPES[d][1], st.integers(1, 6))), st.data())
def test_integers_are_exact_whatever_the_tolerance(array: np.ndarray, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, array.size - 1))
    limits = np.iinfo(array.dtype)
    got = array.copy()
    got[at] = int(array[at]) + (-1 if array[at] == limits.max else 1)
    result = one(got, array, Tolerance(1e9, 1e9, "t"))
    assert result.code == "values"
    (figures,) = result.outputs
    assert figures.worst_index == (at,)
    assert figures.max_abs == 1
    assert figures.allowed == "equal"
    assert (figures.worst_got, figures.worst_expected) == (int(got[at]), int(array[at]))


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (np.array([2**53 + 1], np.int64), np.array([2**53], np.int64)),
        (np.array([2**63 - 1], np.int64), np.array([2**63 - 2], np.int64)),
        (np.array([2**64 - 1], np.uint64), np.array([2**64 - 2], np.uint64)),
        (np.array([-(2**63)], np.int64), np.array([2**63 - 1], np.int64)),
        (np.array(5, np.int64), np.array(6, np.int64)),
        (np.array([True]), np.array([False])),
        (np.array([255], np.uint8), np.array([0], np.uint8)),
    ],
)
def test_exact_kinds_beyond_what_float64_can_tell_apart(got: np.ndarray, expected: np.ndarray) -> None:
    result = one(got, expected, Tolerance(1e9, 1e9, "t"))
    assert result.code == "values"
    assert result.outputs[0].max_abs == float(abs(int(got.reshape(-1)[0]) - int(expected.reshape(-1)[0])))
    assert one(expected, expected, EXACT).code == ""


def strings(*values: bytes) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def test_strings_are_exact_and_readable_in_the_message() -> None:
    result = one(strings(b"a", b"\xff\x00"), strings(b"a", b"\xff"))
    assert result.code == "values"
    assert result.problem.startswith("y[1] is \\xff\x00, expected \\xff: ")
    assert one(strings(b"a\x00"), strings(b"a")).code == "values"
    assert one(strings(b"a", b""), strings(b"a", b""), EXACT).code == ""
    assert one(strings(b"x").reshape(()), strings(b"y").reshape(())).code == "values"


# -- the gate


def test_zero_tolerance_passes_equal_values_only() -> None:
    values = np.array([1.0, -0.0, 3.0], np.float32)
    assert one(values, values, EXACT).code == ""
    assert one(values, np.array([1.0, 0.0, 3.0], np.float32), EXACT).code == ""
    assert one(np.nextafter(values, np.float32(9)), values, EXACT).code == "values"


def test_the_gate_is_atol_times_s_plus_rtol_times_b() -> None:
    expected = np.array([0.0, 4.0, -8.0], np.float64)
    scale = {"y": 2.0}
    tolerance = Tolerance(rtol=0.25, atol=0.5, why="t")
    bound = np.array([1.0, 2.0, 3.0])
    assert one(expected + bound, expected, tolerance, scale=scale).outputs[0].needed == 1.0
    assert one(expected - bound, expected, tolerance, scale=scale).code == ""
    for i in range(3):
        over = expected.copy()
        over[i] += bound[i] * 1.001
        result = one(over, expected, tolerance, scale=scale)
        assert result.code == "values"
        assert result.outputs[0].worst_index == (i,)
        assert result.outputs[0].needed == pytest.approx(1.001)


def test_s_is_the_rms_over_all_cases_and_not_of_the_case_at_hand() -> None:
    references = {
        "big": {"y": np.array([3.0, 4.0], np.float32)},
        "small": {"y": np.array([[0.0, 0.0]], np.float32)},
    }
    assert scales(references)["y"] == pytest.approx(math.sqrt(25 / 4))


def test_s_has_a_floor_and_ignores_what_is_not_finite() -> None:
    assert scales({"c": {"y": np.zeros(3, np.float32)}}) == {"y": SCALE_FLOOR}
    assert scales({"c": {"y": np.full(3, 1e-6)}})["y"] == pytest.approx(1e-6)  # small is not floored
    assert scales({"c": {"y": np.zeros(0, np.float32)}}) == {"y": SCALE_FLOOR}
    assert scales({"c": {"y": np.array([np.nan, np.inf, 2.0])}})["y"] == 2.0
    assert scales({"c": {"y": np.array([3 + 4j], np.complex64)}})["y"] == 5.0
    assert scales({"c": {"s": strings(b"x")}}) == {}


def test_huge_float64_values_do_not_make_the_bound_infinite() -> None:
    """1e200 squared overflows: with S = inf every wrong answer would pass."""
    expected = np.array([1e200, -1e200, 1e308])
    assert math.isfinite(scales({"c": {"y": expected}})["y"])
    assert one(-expected, expected).code == "values"
    assert one(np.array([1e200, -1e200, -1.7e308]), expected).outputs[0].needed == math.inf


def test_the_other_part_of_a_half_infinite_complex_number_is_compared() -> None:
    got = np.array([complex(math.inf, 1)], np.complex64)
    assert one(got, np.array([complex(math.inf, 2)], np.complex64)).code == "values"
    assert one(got, got, EXACT).code == ""


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [lambda odd: complex(odd, 1), lambda odd: complex(1, odd)], ids=["real", "imaginary"])
def test_either_part_of_a_complex_number_that_is_not_finite_is_a_mismatch(odd: float, place: Any) -> None:
    got, expected = np.array([place(odd)], np.complex64), np.array([place(1.0)], np.complex64)
    unlimited = Tolerance(1e300, 1e300, "t")
    assert one(got, expected, unlimited).code == "non-finite"
    assert one(expected, got, unlimited).code == "non-finite"
    assert one(got, got, EXACT).code == ""


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_dtype_at_rank_zero(dtype: str) -> None:
    kind = DTYPES[dtype][1]
    assert one(np.array(2.0, kind), np.array(2.0, kind), EXACT).code == ""
    result = one(np.array(2.5, kind), np.array(2.0, kind))
    assert result.code == "values"
    assert result.outputs[0].worst_index == ()
    assert result.outputs[0].max_abs == 0.5
    assert result.problem.startswith("y[] is ")


def test_half_floats_are_compared_in_float64() -> None:
    big = np.array([60000.0], np.float16)
    assert one(big, -big).outputs[0].max_abs == 120000.0
    assert one(np.array([3e38], ml_dtypes.bfloat16), np.array([-3e38], ml_dtypes.bfloat16)).outputs[0].max_abs > 5e38


# -- figures


def test_sqnr_and_cosine() -> None:
    expected = np.array([3.0, 4.0])
    (figures,) = one(expected * 1.1, expected).outputs
    assert figures.sqnr_db == pytest.approx(20.0)
    assert figures.cosine == pytest.approx(1.0)
    assert one(-expected, expected).outputs[0].cosine == pytest.approx(-1.0)
    assert one(np.array([-4.0, 3.0]), expected).outputs[0].cosine == pytest.approx(0.0)
    assert one(np.array([1.0]), np.array([0.0])).outputs[0].sqnr_db == -math.inf


@profile
@given(st.tuples(*[hnp.arrays(np.float64, 7, elements=st.floats(-1e300, 1e300))] * 2))
def test_figures_are_always_numbers(pair: tuple[np.ndarray, np.ndarray]) -> None:
    (figures,) = one(*pair).outputs
    assert sum(figures.histogram) == 7
    assert len(figures.histogram) == len(HISTOGRAM_DECADES) + 2
    assert -1 <= figures.cosine <= 1
    for value in (figures.max_abs, figures.max_rel, figures.needed, figures.sqnr_db):
        assert not math.isnan(value)


def test_histogram_counts_by_decade_of_the_error_relative_to_s() -> None:
    expected = np.zeros(6)
    got = np.array([0.0, 1e-10, 5e-9, 0.05, 1.0, 1e9])
    histogram = one(got, expected, scale={"y": 1.0}).outputs[0].histogram
    assert histogram[0] == 1  # exact
    assert histogram[1] == 1  # below 1e-9
    assert histogram[2] == 1  # 1e-9 to 1e-8
    assert histogram[2 - HISTOGRAM_DECADES[0] - 2] == 1  # 1e-2 to 1e-1
    assert histogram[-1] == 2  # 1 and above
    assert sum(histogram) == 6


def test_top1_counts_only_rows_whose_margin_exceeds_twice_the_allowed_error() -> None:
    expected = np.array([[1.0, 0.0], [0.500001, 0.5], [0.0, 1.0]])
    got = np.array([[0.0, 1.0], [0.5, 0.500001], [0.0, 1.0]])
    (figures,) = one(got, expected, scale={"y": 1.0}).outputs
    assert (figures.top1, figures.top1_rows) == (0.5, 2)


def test_top1_is_absent_where_it_means_nothing() -> None:
    assert one(np.ones((3, 1)), np.ones((3, 1))).outputs[0].top1 is None
    assert one(np.ones(3), np.ones(3)).outputs[0].top1 is None
    assert one(np.ones((2, 2)), np.ones((2, 2))).outputs[0].top1 is None
    nan = np.array([[np.nan, 1.0]])
    assert one(nan, nan).outputs[0].top1 is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.float32(math.nan), "NaN"),
        (np.float64(math.inf), "Infinity"),
        (-math.inf, "-Infinity"),
        (np.float32(0.5), 0.5),
        (ml_dtypes.bfloat16(0.5), 0.5),
        (np.int64(2**53 + 1), 2**53 + 1),
        (np.bool_(True), True),
        (b"\xffa", "\\xffa"),
        (np.complex64(1 + 2j), "(1+2j)"),
    ],
)
def test_number_is_what_json_can_carry(value: Any, shown: Any) -> None:
    assert number(value) == shown
    assert type(number(value)) is type(shown)


# -- declared casts


def test_a_declared_cast_is_undone_and_said() -> None:
    signature = Signature("s", (), (TensorSpec("n", "int64", (None,)),))
    got, notes = accept_casts(signature, {"n": np.array([1, -(2**31)], np.int32)}, {"int64": "int32"})
    assert got["n"].dtype == np.int64
    assert got["n"].tolist() == [1, -(2**31)]
    assert notes == ("output n: int32 read as int64 (declared cast)",)


def test_an_undeclared_cast_is_left_to_the_comparison() -> None:
    signature = Signature("s", (), (TensorSpec("n", "int64", (None,)),))
    got, notes = accept_casts(signature, {"n": np.array([1], np.int32)}, {})
    assert (got["n"].dtype, notes) == (np.int32, ())
    got, notes = accept_casts(signature, {"n": np.array([1], np.int16)}, {"int64": "int32"})
    assert (got["n"].dtype, notes) == (np.int16, ())


def test_a_cast_that_would_change_a_value_is_not_undone() -> None:
    signature = Signature("s", (), (TensorSpec("n", "int8", (None,)),))
    got, notes = accept_casts(signature, {"n": np.array([300], np.int32)}, {"int8": "int32"})
    assert (got["n"].dtype, notes) == (np.int32, ())


def test_nan_passes_through_a_declared_float_cast() -> None:
    signature = Signature("s", (), (TensorSpec("y", "float64", (None,)),))
    got, notes = accept_casts(signature, {"y": np.array([np.nan, 0.5], np.float32)}, {"float64": "float32"})
    assert got["y"].dtype == np.float64
    assert len(notes) == 1
