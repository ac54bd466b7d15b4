"""Running cells: one worker per runtime, every planned cell ending in exactly one outcome.

The worker gets inputs and gives outputs; it never sees what is expected. A crash, hang or broken reply costs the
cell at hand, and the rest go on in a fresh worker.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from exporter.bundle import Bundle
from exporter.model import Cell, Json
from exporter.outcome import CellResult, NotRun
from exporter.parity.plan import NO_RUNTIME
from exporter.parity.session import Reference, RunOptions, RuntimeSession, without_artifact
from exporter.parity.weights import WeightCheck
from exporter.protocol.crew import Crew
from exporter.protocol.slot import Slot
from exporter.runtimes import Runtime


@dataclass
class RunResult:
    cells: dict[Cell, CellResult] = field(default_factory=dict)
    runtimes: dict[str, Json] = field(default_factory=dict)


def run_cells(
    bundle: Bundle,
    cells: Iterable[Cell],
    runtimes: Mapping[str, Runtime],
    logs: Path,
    options: RunOptions,
    progress: Callable[[CellResult], None] = lambda result: None,
    weights: Mapping[str, WeightCheck] | None = None,
) -> RunResult:
    """Run every cell; processes go side by side, the cells of the runtimes in one process one after the other."""
    result = RunResult()
    by_process: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells:
        process = runtimes[cell.runtime].process if cell.runtime != NO_RUNTIME else ""
        by_process.setdefault(process or cell.runtime, {}).setdefault(cell.runtime, []).append(cell)
    reference = Reference.of(bundle)

    def record(outcome: CellResult) -> None:
        if outcome.cell in result.cells:
            raise AssertionError(f"two outcomes for {outcome.cell}")
        result.cells[outcome.cell] = outcome
        progress(outcome)

    def work_without_runtime(own: Mapping[str, list[Cell]]) -> None:
        for cell in own[NO_RUNTIME]:
            record(CellResult(cell, without_artifact(bundle, cell) or NotRun("no runtime executes this format")))

    def work(slot: Slot, own: Mapping[str, list[Cell]]) -> None:
        sessions = {
            name: RuntimeSession(bundle, runtimes[name], slot, options, reference, weights or {}) for name in own
        }
        try:
            for name, session in sessions.items():
                for outcome in session.run(own[name]):
                    record(outcome)
        finally:
            if options.crew is None:
                slot.close()
            for name, session in sessions.items():
                peak = {"peak_bytes": slot.peak_bytes} if slot.peak_bytes else {}
                result.runtimes[name] = {**session.facts, **peak}

    with contextlib.ExitStack() as stack:
        crew = options.crew
        if crew is None:
            crew = Crew(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exporter-run-"))), logs)
        pool = stack.enter_context(ThreadPoolExecutor(max(1, options.jobs)))
        futures = []
        try:
            # an interrupt can come while a thread is being started, so the pool may not know of it: stop them all
            for process, own in by_process.items():
                if process == NO_RUNTIME:
                    work_without_runtime(own)
                else:
                    futures.append(pool.submit(work, crew.slot(process), own))
            for future in futures:
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            crew.stop()
            raise
    return result
