"""How a cell ends: the closed union of outcomes, and the figures behind a comparison.

A mismatch is data (`Mismatched` carries the comparison), an exception is "we could not find out" (`Failed` carries
the stage). Neither is ever turned into the other, nor into silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exporter.model import Cell

STAGES = ("build", "convert", "load", "run", "compare", "timeout", "crash", "protocol")
Stage = Literal["build", "convert", "load", "run", "compare", "timeout", "crash", "protocol"]


@dataclass(frozen=True)
class Score:
    """A task metric of one output: `drop` is by how much `value` is worse than the source's own, negative if better.

    All in the metric's unit; `max_drop` is None where any drop is allowed.
    """

    metric: str
    value: float
    source: float
    drop: float
    max_drop: float | None


@dataclass(frozen=True)
class OutputComparison:
    """Figures of one output, computed in float64.

    `max_rel` is the largest |a-b| divided by S, the RMS of the reference output over all cases of the signature.
    `needed` is the factor on the allowed bound that would just pass; `allowed` is the rule in words.
    Of quantized artifacts only: `noise_db` is S over the RMS of the error in dB, `steps` the largest distance from the
    reference kernels in steps of the output, `kl` the mean divergence (nats) of rows that are probabilities, and
    `flip_margin` the largest margin (first minus second of the reference row) of a row whose argmax changed, `follows`
    the correlation of what varies from row to row with what varies in the reference, and `gated` says whether the
    quality counts: made-up inputs are outside of what was calibrated.
    `slice` names the slices that the figures are of, where those of an output differ in scale: each part of alike scale
    is judged by an S of its own, and these are the worst.
    `task` is set on labelled rows.
    `histogram` counts elements by decade of |a-b|/S: exact zeros, then <1e-9 … >=1.
    """

    name: str
    max_abs: float
    max_rel: float
    sqnr_db: float
    cosine: float
    top1: float | None
    top1_rows: int
    allowed: str
    needed: float
    worst_index: tuple[int, ...]
    worst_got: Any
    worst_expected: Any
    elements: int
    histogram: tuple[int, ...]
    noise_db: float | None = None
    steps: float | None = None
    kl: float | None = None
    flip_margin: float | None = None
    follows: float | None = None
    gated: bool = True
    slice: str = ""
    task: Score | None = None


@dataclass(frozen=True)
class Comparison:
    """The result of comparing one set of outputs: `problem` is empty when every gate held."""

    outputs: tuple[OutputComparison, ...]
    problem: str = ""
    code: str = ""


@dataclass(frozen=True)
class Passed:
    comparison: Comparison


@dataclass(frozen=True)
class Mismatched:
    """The runtime answered, and the answer is wrong. `comparison.code` says at which step: names, dtype, …"""

    comparison: Comparison


@dataclass(frozen=True)
class Failed:
    """We could not find out: something broke at `stage`. `tail` is the end of the worker's log."""

    stage: Stage
    code: str
    message: str
    tail: str = ""


@dataclass(frozen=True)
class Unsupported:
    """The format or runtime cannot carry this, and says why."""

    reason: str


@dataclass(frozen=True)
class NotRun:
    """Nothing was tried: the runtime is missing, or an earlier step made the cell moot."""

    reason: str


Outcome = Passed | Mismatched | Failed | Unsupported | NotRun

OUTCOME_NAMES: Mapping[type, str] = {
    Passed: "passed",
    Mismatched: "mismatched",
    Failed: "failed",
    Unsupported: "unsupported",
    NotRun: "not-run",
}


@dataclass(frozen=True)
class CellResult:
    """A cell with its one outcome. `notes` lists what the reader must know (casts, row by row, S floor)."""

    cell: Cell
    outcome: Outcome
    elapsed_ns: int = 0
    notes: tuple[str, ...] = ()
