"""Everything that a conversion can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter import labelled
from exporter.labelled import Asked
from exporter.parity.cases import CaseOptions


@dataclass(frozen=True)
class ConvertOptions:
    """Everything `convert` can be told. Times are seconds; None means the default of 900 per request.

    `evaluation` holds labelled rows: a file, `file.py:function`, or a pair ({input: rows}, {output: labels}); a
    reference model brings its own. `metric` is a name of `exporter.task.METRICS` for every output that has labels, or
    one by output name; so is `max_drop`, by which an artifact may be worse than the source, in the metric's unit.
    `eval_rows` of the rows are used.
    `keep_float` are globs over layer names: those layers stay float in every quantized recipe.
    `shapes` fixes the shapes of inputs by name, with None for a size that stays open.
    `metadata` are JSON values by key, written into every artifact whose format carries any (TF.js).
    """

    signature: str | None = None
    custom: Path | None = None
    inputs: str | None = None
    train: bool = True
    timeout: float | None = None
    cases: CaseOptions = field(default_factory=CaseOptions)
    calibration: str | Mapping[str, Any] | None = None
    strict_calibration: bool = False
    image_range: tuple[float, float] = (0.0, 255.0)
    evaluation: str | tuple[Mapping[str, Any], Any] | None = None
    metric: str | Mapping[str, str] | None = None
    max_drop: float | Mapping[str, float] | None = None
    eval_rows: int = labelled.ROWS
    keep_float: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def asked(self, *, own_data: bool) -> Asked | None:
        """What is to be measured on labelled rows. Raises `UsageError` as `labelled.asked_for`."""
        return labelled.asked_for(
            self.metric, self.max_drop, rows=self.eval_rows, data=self.evaluation is not None, own_data=own_data
        )
