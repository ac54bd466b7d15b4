"""What one session measured, and the ratios that are asked of it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMON = 256  # the batch size that every arm is measured with

# names of arms; the page shows them
TUTORIAL = "tutorial row UDF"
CLOSING = "tutorial row UDF, closing its tensors"
FALLBACK = "row by row (our fallback)"
TRANSFORMER = "DataFrame: `TensorFlowModel.transform`"
SQL = "SQL: `tfpredict`"
BY_HAND = "`rdd.mapPartitions`, batched by hand"
PREDICT_BATCH = "`predict_batch_udf`, Python TensorFlow"
IN_PANDAS = "`mapInPandas`, Python TensorFlow"
ONNX = "SQL: `tfpredict`, ONNX Runtime Java"
BARE = "bare TensorFlow Java loop (the limit)"
SCAN = "scan only"


@dataclass(frozen=True)
class Figures:
    """Microseconds per row of an arm with one batch size, one entry per round."""

    arm: str
    batch: int | None
    rows: int
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    copies: int | None


@dataclass(frozen=True)
class Result:
    name: str
    title: str
    figures: tuple[Figures, ...]
    versions: Mapping[str, str]

    @staticmethod
    def load(path: Path) -> Result:
        data: Any = json.loads(path.read_text())
        figures = tuple(Figures(**{**f, "wall": tuple(f["wall"]), "cpu": tuple(f["cpu"])}) for f in data["times"])
        return Result(data["case"]["name"], data["case"]["title"], figures, data["versions"])

    def common(self) -> list[Figures]:
        """One per arm, at the common batch size."""
        return [f for f in self.figures if f.batch in (None, COMMON)]

    def best(self, arm: str) -> Figures:
        """At the batch size that takes the least processor time."""
        return min((f for f in self.figures if f.arm == arm), key=lambda f: statistics.median(f.cpu))

    def cpu(self, arm: str) -> float:
        """Median, at the common batch size."""
        (found,) = (f for f in self.common() if f.arm == arm)
        return statistics.median(found.cpu)


@dataclass(frozen=True)
class Ratio:
    """Of processor time per row. `floors` by model: at least (>=) or at most (<=) this much."""

    title: str
    value: Callable[[Result], float]
    sign: str
    floors: Mapping[str, float]

    def reached(self, result: Result) -> bool | None:
        """None where nothing is asked."""
        floor = self.floors.get(result.name)
        if floor is None:
            return None
        return self.value(result) >= floor if self.sign == ">=" else self.value(result) <= floor


RATIOS = (
    Ratio("tutorial row UDF / SQL", lambda r: r.cpu(TUTORIAL) / r.cpu(SQL), ">=", {"mlp": 10, "linear": 30}),
    Ratio("`predict_batch_udf` / SQL", lambda r: r.cpu(PREDICT_BATCH) / r.cpu(SQL), ">=", {"mlp": 2, "linear": 2}),
    Ratio("SQL / (scan + bare loop)", lambda r: r.cpu(SQL) / (r.cpu(SCAN) + r.cpu(BARE)), "<=", {"mlp": 1.25}),
    Ratio("SQL / `rdd.mapPartitions`", lambda r: r.cpu(SQL) / r.cpu(BY_HAND), "<=", {"linear": 1}),
)
