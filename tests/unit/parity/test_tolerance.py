"""The tolerance table: every row has a reason and a use, every cell a row, and the user's own values win."""

from __future__ import annotations

import math
import tomllib

import pytest

from exporter.formats import Format
from exporter.formats.registry import formats
from exporter.model import Tolerance
from exporter.parity.tolerance import TABLE, Overrides, narrowed, overridden, row_for, rows, widened
from exporter.runtimes import Runtime
from exporter.runtimes.registry import runtimes

COMBINATIONS = sorted(
    {
        (name, runtime.kind)
        for name, found in formats().items()
        if isinstance(found, Format)
        for runtime in runtimes().values()
        if isinstance(runtime, Runtime) and name in runtime.formats
    }
)


def test_every_row_says_why() -> None:
    for row in tomllib.loads(TABLE.read_text())["tolerance"]:
        assert len(row["why"].split()) >= 5, row
        assert set(row) <= {"recipe", "kind", "same_environment", "rtol", "atol", "why"}


def test_no_row_is_stale() -> None:
    """A row that no format in no runtime ever reaches is a leftover, or hidden behind an earlier one."""
    used = {id(row_for(recipe, kind, same_environment=same)) for recipe, kind in COMBINATIONS for same in (True, False)}
    assert [r for r in rows() if id(r) not in used] == []


@pytest.mark.parametrize(("recipe", "kind"), COMBINATIONS)
@pytest.mark.parametrize("same", [True, False])
def test_every_cell_there_can_be_has_a_tolerance_that_can_fail(recipe: str, kind: str, same: bool) -> None:
    tolerance = row_for(recipe, kind, same_environment=same).tolerance
    # the sum of what two correct runtimes round in a deep network, see the head of the table: no row is wider
    assert 0 <= tolerance.rtol <= 1e-4
    assert 0 <= tolerance.atol <= 1e-4


@pytest.mark.parametrize(("recipe", "kind"), COMBINATIONS)
def test_the_same_environment_is_never_judged_more_loosely(recipe: str, kind: str) -> None:
    same = row_for(recipe, kind, same_environment=True).tolerance
    other = row_for(recipe, kind, same_environment=False).tolerance
    assert same.rtol <= other.rtol
    assert same.atol <= other.atol


def test_same_environment_rows_apply_only_there() -> None:
    for row in rows():
        if row.same_environment:
            assert not row_for(row.recipe, row.kind, same_environment=False).same_environment


def test_an_unknown_combination_has_no_verdict() -> None:
    with pytest.raises(LookupError, match="no tolerance for recipe 'onnx' in a runtime of kind 'abacus'"):
        row_for("onnx", "abacus", same_environment=True)
    with pytest.raises(LookupError, match=r"tolerances\.toml"):
        row_for("fancy-new-format", "cpu", same_environment=False)


def test_options_do_not_change_the_row() -> None:
    assert row_for("onnx:opset=17", "cpu", same_environment=False) is row_for("onnx", "cpu", same_environment=False)


BASE = Tolerance(1e-4, 1e-5, "base")


def test_overrides_are_per_output_and_fall_back_to_all() -> None:
    assert overridden(BASE, Overrides(), "y") is BASE
    both = Overrides(rtol={"": 0.5, "y": 0.25}, atol={"z": 0.125})
    assert (overridden(BASE, both, "y").rtol, overridden(BASE, both, "y").atol) == (0.25, 1e-5)
    assert (overridden(BASE, both, "z").rtol, overridden(BASE, both, "z").atol) == (0.5, 0.125)
    assert overridden(BASE, both, "y").why == "given on the command line"


def test_a_zero_of_the_user_is_a_value_and_not_an_absence() -> None:
    exact = overridden(BASE, Overrides({"": 0.0}, {"": 0.0}), "y")
    assert (exact.rtol, exact.atol, exact.text) == (0.0, 0.0, "bit-exact")


@pytest.mark.parametrize(("rtol", "atol"), [(-1e-9, 0), (0, -1), (-math.inf, 0), (math.nan, 0), (0, math.inf)])
def test_a_negative_tolerance_is_refused(rtol: float, atol: float) -> None:
    with pytest.raises(ValueError, match="finite number of at least 0"):
        Tolerance(rtol, atol, "")


def test_the_rule_in_words() -> None:
    assert Tolerance(1e-4, 1e-5, "").text == "rtol 0.0001, atol 1e-05·S"


def test_an_output_of_fewer_digits_gets_steps_of_its_own() -> None:
    tight = Tolerance(1e-4, 1e-4, "float32")
    assert widened(tight, "float32") is tight
    # one that is computed in float64 from end to end is another matter: `narrowed`
    assert widened(tight, "float64") is tight
    half = widened(tight, "float16")
    assert (half.rtol, half.atol) == (4 * 2.0**-10, 4 * 2.0**-10)
    assert "float16" in half.why
    assert widened(tight, "bfloat16").rtol > half.rtol
    wide = Tolerance(0.1, 0.1, "user")
    assert widened(wide, "bfloat16") is wide


def test_what_is_computed_in_float64_is_judged_in_float64() -> None:
    found = narrowed(Tolerance(1e-4, 2e-4, "float32"))
    assert (found.rtol, found.atol) == (1e-4 * 2.0**-29, 2e-4 * 2.0**-29)
    assert found.rtol < 1e-12
    assert "float64" in found.why
