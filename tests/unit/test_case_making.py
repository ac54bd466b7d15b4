"""Which cases a conversion keeps: made-up ones never veto a model, own rows that fail are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter import tensors
from exporter.conversion import Converter
from exporter.convert_options import ConvertOptions
from exporter.errors import SourceError, WorkerFailure
from exporter.model import Json, Signature, TensorSpec
from exporter.parity.cases import CaseOptions, make_cases
from exporter.source_spec import SourceSpec

X = TensorSpec("x", "float32", (None, 1))
SIGNATURE = Signature("s", (X,), (TensorSpec("y", "float32", (None, 1)),))


class Picky:
    """In the place of a source: rejects values above a limit, and dies of those below another."""

    def __init__(self, staging: Path, own: np.ndarray | None, *, limit: float, deadly: float = -1e9) -> None:
        self.staging = staging
        self.signatures = (SIGNATURE,)
        self.facts: Json = {"ranges": {}, "stateful": [], "own": {}}
        self.dropped = 0
        self._limit, self._deadly = limit, deadly
        if own is not None:
            self.facts["own"] = {"s": str(staging / "own.safetensors")}
            tensors.save(staging / "own.safetensors", {"x": own})

    def ask(self, op: str, **fields: Any) -> Json:
        values = tensors.load(fields["inputs"])["x"]
        if (values < self._deadly).any():
            raise SourceError("crash", "computing the reference failed: it ended") from WorkerFailure("crash", "c", "m")
        if (values > self._limit).any():
            words = "the source itself fails on these inputs of signature 's': above the limit"
            raise SourceError("reference", words)
        tensors.save(fields["outputs"], {"y": values})
        return {}

    def drop_worker(self) -> None:
        self.dropped += 1


def converter(tmp_path: Path, own: list[float] | None, **limits: float) -> tuple[Converter, Picky]:
    made = Converter(SourceSpec("keras", tmp_path / "m.keras", "m", "m"), tmp_path, ConvertOptions())
    rows = None if own is None else np.array(own, np.float32)[:, None]
    source = Picky(made.source.staging, rows, **limits)
    made.source = source  # type: ignore[assignment]
    return made, source


def test_made_up_cases_that_the_source_rejects_are_left_out_with_its_own_words(tmp_path: Path) -> None:
    made, _ = converter(tmp_path, None, limit=9)
    names = [case.name for case in made.make_cases()]
    assert "zeros" in names
    assert "extremes" not in names
    assert made.notes == [
        "case extremes of s left out: it is made up, and the source itself fails on it: above the limit"
    ]


def test_a_crash_on_a_made_up_case_ends_the_worker_only(tmp_path: Path) -> None:
    made, source = converter(tmp_path, [1.0, 2.0], limit=9, deadly=0.5)
    assert [case.name for case in made.make_cases() if not case.real] == ["extremes"]
    assert source.dropped == 1
    assert "it ended" in made.notes[0]


def test_no_case_at_all_tells_the_cause_and_the_way_out(tmp_path: Path) -> None:
    made, _ = converter(tmp_path, None, limit=-1e6)
    with pytest.raises(SourceError, match="made up for signature 's': above the limit") as caught:
        made.make_cases()
    assert caught.value.code == "no-cases"
    assert "--inputs" in caught.value.hint


@pytest.mark.parametrize(
    ("own", "which"),
    [([1, 2, 99, 3, 77], "rows 2, 4 .* of its own data"), ([99, 99], "every row of its own data")],
)
def test_own_rows_that_fail_are_named(tmp_path: Path, own: list[float], which: str) -> None:
    made, _ = converter(tmp_path, own, limit=9)
    with pytest.raises(SourceError, match=which) as caught:
        made.make_cases()
    assert caught.value.code == "own-rows"
    assert "above the limit" in caught.value.message


def test_own_rows_are_fed_in_portions_of_a_fixed_batch() -> None:
    signature = Signature("s", (TensorSpec("x", "float32", (2, 3)),), (TensorSpec("y", "float32", (2, 3)),))
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    made = make_cases(signature, {"x": rows}, {}, CaseOptions(samples=16))
    own = {case.name: case.inputs["x"] for case in made if case.origin == "data"}
    assert list(own) == ["data", "data-2"]
    assert np.array_equal(np.concatenate(list(own.values())), rows[:4])
    assert [c.name for c in make_cases(signature, {"x": rows[:2]}, {}, CaseOptions())][:2] == ["data", "zeros"]
