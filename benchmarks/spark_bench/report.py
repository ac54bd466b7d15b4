"""The page, from what the sessions measured."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from .plot import number
from .results import COMMON, RATIOS, Figures, Ratio, Result

_INTRO = """# Scoring in Spark: what a row costs

Written by `make bench-spark`, from one run on one machine. What counts are the ratios, and processor time more than
wall time: on a machine that is shared, the latter measures the others as well.

![Processor time per row](benchmark-spark.svg)

Figures are microseconds per row: the median of {rounds} rounds, and in parentheses the smallest and the largest. *CPU*
is the processor time of the whole process tree: the driver's JVM with its tasks, compilers and garbage collection, the
Python workers, and the driver's Python. *Copies* is how many copies of the model are in memory.
"""

_METHOD = """## What is compared

- **tutorial row UDF**: the function of the TensorFlow tutorials for Spark in Scala: one tensor per row, tensors looked
  up by name in every call, never closed, the model loaded without options, so that each run is handed to a pool of
  threads. Repaired in one point: the model is loaded once in each JVM. The second variant closes its tensors.
- **row by row (our fallback)**: what this library does where a call cannot be batched, forced here where it could be.
- **DataFrame, SQL**: the library as its users call it. With **ONNX Runtime Java** the same statement on the `.onnx`
  artifact of the same model: the engine is the only difference.
- **rdd.mapPartitions**: batches filled by hand from `Row` objects, tensors closed, names resolved once.
- **predict_batch_udf, mapInPandas**: Spark's two ways to Python, with TensorFlow in the Python workers: the
  SavedModel's signature is called, which costs less than `Model.predict`.
- **bare loop**: TensorFlow Java without Spark, on rows that are in arrays already: copy into a tensor, run, read.
- **scan only**: reading the same columns and dropping them.

Every arm reads the same Parquet files (uncompressed, local disk, in the page cache) and computes the id and the whole
output of every row. DataFrames are written to Spark's `noop` sink; the RDD's rows are dropped one by one, without the
conversion back that a DataFrame would need.

## What is fixed

- One Spark application per model, `local[2]`: two task slots, and two threads for the bare loop. One thread inside
  every operation of a model, in all engines, in the JVM and in Python; in the JVM, but for the tutorial's function, the
  thread that calls runs the whole model.
- Models are built from fixed seeds and exported by `exporter`; data come from a fixed seed. The engines run the same
  exported files.
- Before anything is timed every arm scores {checked} rows; each result has to be within the gate of the float32
  runtimes of what Keras computes (|a−b| ≤ 1e-4·S + 1e-4·|b|, S the root mean square of the output).
- In every round each arm runs once, in a random order, after a short run on {checked} rows that is not timed (it keeps
  Python workers and their models alive, which Spark ends when they are idle) and a garbage collection. The first round
  is not counted. Loading the model is not part of the times.
- Arms that run row by row, and those in Python, score fewer rows than the others, so that each run takes a second or
  two. What a query costs as such (planning, starting tasks) is part of the times.
- JavaCPP's flags are the ones that docs/spark.md recommends for executors. With them, tensors that are not closed are
  never freed: the memory that the first arm leaks is not part of its time.
- Python runs TensorFlow {python_tensorflow}, the JVM {java_tensorflow} (the newest that TensorFlow Java has on Maven
  Central); their kernels differ a little, so arms in Python and in the JVM differ by more than the way to the model.
"""


def page(results: Sequence[Result], rounds: int, checked: int) -> str:
    versions = results[0].versions
    method = _METHOD.format(
        checked=checked,
        python_tensorflow=versions["TensorFlow in Python"],
        java_tensorflow=versions["TensorFlow inside TensorFlow Java"],
    )
    parts = [
        _INTRO.format(rounds=rounds),
        "## Ratios of processor time\n",
        _table(
            ["", *(r.title for r in results)],
            ([ratio.title, *(_ratio(ratio, r) for r in results)] for ratio in RATIOS),
        ),
        f"\nAll at a batch size of {COMMON}. In parentheses what was asked for.\n",
    ]
    for result in results:
        parts += [f"\n## {result.title}\n", _arms(result)]
    parts += ["", method, "## Where\n", _machine(), "", ", ".join(f"{k} {v}" for k, v in versions.items()) + "."]
    return "\n".join(parts) + "\n"


def missed(results: Sequence[Result]) -> list[str]:
    """A sentence for every ratio that is not what was asked for."""
    return [
        f"{result.title}: {ratio.title} is {ratio.value(result):.3g}, "
        f"expected {ratio.sign} {ratio.floors[result.name]:g}"
        for result in results
        for ratio in RATIOS
        if ratio.reached(result) is False
    ]


def _ratio(ratio: Ratio, result: Result) -> str:
    value = f"{ratio.value(result):.3g}"
    floor = ratio.floors.get(result.name)
    if floor is None:
        return value
    asked = f"{'≥' if ratio.sign == '>=' else '≤'} {floor:g}"
    return f"**{value}** ({asked})" if ratio.reached(result) else f"**{value}** (missed: {asked})"


def _arms(result: Result) -> str:
    rows = []
    for figures in result.common():
        best = result.best(figures.arm)
        rows.append(
            [
                figures.arm,
                _spread(figures.cpu),
                _spread(figures.wall),
                f"{1e6 / statistics.median(figures.wall):,.0f}",
                "" if figures.copies is None else str(figures.copies),
                _best(figures, best),
            ]
        )
    header = ["arm", "CPU µs/row", "wall µs/row", "rows/s", "copies", "best batch size: CPU µs/row"]
    return _table(header, rows)


def _best(common: Figures, best: Figures) -> str:
    return "" if common.batch is None else f"{best.batch}: {number(statistics.median(best.cpu))}"


def _spread(values: Sequence[float]) -> str:
    return f"**{number(statistics.median(values))}** ({number(min(values))}–{number(max(values))})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine() -> str:
    """Processor, memory and system, without the name of the machine."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.+)$", info, re.M)
    vectors = [flag for flag in ("avx2", "avx512f", "amx_tile") if re.search(rf"\b{flag}\b", info)]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = model[1] if model else platform.machine()
    return (
        f"{os.cpu_count()} cores of {processor} ({', '.join(vectors) or 'no wide vectors'}), {memory:.0f} GiB, "
        f"{platform.system()}."
    )
