"""The verdict on a bundle: its cells are run, its stored weights compared, and its reports written."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import exporter
from exporter import tensors
from exporter.bundle import Bundle, weights_path, write_bytes, write_json
from exporter.errors import ExporterError, UsageError
from exporter.formats.registry import family_of, is_quantized
from exporter.model import Json, Recipe, Signature
from exporter.outcome import CellResult
from exporter.parity.confirmation import find_dead_outputs, find_idle_signatures
from exporter.parity.environment import cpu
from exporter.parity.html import render
from exporter.parity.plan import NO_RUNTIME, executes, plan
from exporter.parity.report import Report
from exporter.parity.run import RunResult, run_cells
from exporter.parity.session import RunOptions
from exporter.parity.tolerance import Overrides
from exporter.parity.weights import WeightCheck, check_weights
from exporter.runtimes import Runs, Runtime
from exporter.runtimes.registry import runtime_named, runtimes
from exporter.source_worker import read_weights
from exporter.text import did_you_mean

Progress = Callable[[str], None]


def choose_runtimes(names: Sequence[str]) -> dict[str, Runtime]:
    """Runtimes by name: those named, else every default one. Raises `UsageError` for an unknown name."""
    if names:
        return {n: runtime_named(n) for n in names}
    return {n: r for n, r in runtimes().items() if isinstance(r, Runtime) and r.runs != Runs.ON_REQUEST}


def check_runtimes(formats: set[str], chosen: Mapping[str, Runtime], require: Iterable[str], *, explicit: bool) -> None:
    """Raises `UsageError` for an unknown name, and for a runtime that was named and has nothing to run."""
    named = [runtime_named(name) for name in require if name != "all"]
    for runtime in [*named, *(chosen.values() if explicit else ())]:
        if not formats & set(runtime.formats):
            raise UsageError(
                "useless-runtime",
                f"the runtime {runtime.name} executes {', '.join(runtime.formats)}, and there is none of that",
                f"there is: {', '.join(sorted(formats))}",
            )


def check_tolerances(recipes: Sequence[Recipe], overrides: Overrides) -> None:
    """Raises `UsageError` when tolerances are given and every recipe is judged by its noise."""
    if (overrides.rtol or overrides.atol) and recipes and all(is_quantized(recipe) for recipe in recipes):
        raise UsageError(
            "useless-tolerance",
            "a tolerance is given, and every recipe is quantized: those are judged by their SQNR and their own weights",
            "leave --rtol and --atol out; --metric with --max-drop gates what the task loses",
        )


def check_outputs(signatures: Sequence[Signature], overrides: Overrides) -> None:
    """Raises `UsageError` when a tolerance is given for an output that does not exist: it would do nothing."""
    known = list(dict.fromkeys(o.name for s in signatures for o in s.outputs))
    for name in (*overrides.rtol, *overrides.atol):
        if name and name not in known:
            raise UsageError(
                "unknown-output",
                f"a tolerance is given for the output {name!r}{did_you_mean(name, known)}",
                f"the outputs: {', '.join(known)}",
            )


def verdict(
    bundle: Bundle,
    chosen: Mapping[str, Runtime],
    require: Iterable[str],
    run_options: RunOptions,
    progress: Progress,
    root: Path | None = None,
    *,
    explicit: bool,
) -> Report:
    formats = {family_of(a.recipe) for a in bundle.artifacts}
    check_runtimes(formats, chosen, require, explicit=explicit)
    recipes = [a.recipe for a in bundle.artifacts]
    check_tolerances(recipes, run_options.overrides)
    usable = {n: r for n, r in chosen.items() if any(executes(r, recipe, named=explicit) for recipe in recipes)}
    required = tuple(chosen) if explicit else ()
    for name in require:
        required += tuple(usable) if name == "all" else (runtime_named(name).name,)
    cells = plan(bundle, usable.values(), named=explicit)
    if explicit:
        cells = tuple(c for c in cells if c.runtime != NO_RUNTIME)
    done = 0

    def count(result: CellResult) -> None:
        nonlocal done
        done += 1
        progress(f"verified {done} of {len(cells)} cells: {result.cell.recipe} in {result.cell.runtime}")

    checks = _check_weights(bundle, {c.recipe for c in cells}, run_options.timeout or 300.0)
    if (run_options.overrides.rtol or run_options.overrides.atol) and any(is_quantized(r) for r in recipes):
        progress("--rtol and --atol mean nothing to quantized recipes: those are judged by their SQNR")
    progress(f"running {len(cells)} cells in {len({c.runtime for c in cells} - {NO_RUNTIME})} runtimes")
    with tempfile.TemporaryDirectory(prefix="exporter-logs-") as logs:
        result = run_cells(bundle, cells, usable, Path(logs), run_options, count, checks)
        report = Report(
            bundle if root is None else replace(bundle, root=root),
            cells,
            result.cells,
            _environment(result),
            tuple(dict.fromkeys(required)),
            find_dead_outputs(bundle),
            find_idle_signatures(bundle),
            checks,
        )
        _store(report, Path(logs), bundle.root, progress)
    return report


@dataclass(frozen=True, eq=False)
class _Stored:
    """A file with quantized weights: its recipe, where the bundle keeps the source's, and what the reader is asked."""

    recipe: str
    source: Path
    asked: Mapping[str, str]

    @property
    def found(self) -> Path:
        return Path(self.asked["outputs"])


def _check_weights(bundle: Bundle, recipes: set[str], timeout: float) -> dict[str, WeightCheck]:
    """Recipe -> whether the weights it stores are the source's; for what is quantized."""
    found: dict[str, WeightCheck] = {}
    with tempfile.TemporaryDirectory(prefix="exporter-weights-") as scratch:
        files = _stored_files(bundle, recipes, Path(scratch))
        unreadable = _read_stored(files, timeout)
        for file in files:
            check = _check_file(file, unreadable)
            known = found.get(file.recipe)
            if known is None or (check.problem and not known.problem):
                found[file.recipe] = check
    return found


def _stored_files(bundle: Bundle, recipes: set[str], scratch: Path) -> list[_Stored]:
    """Each file once, also where several signatures are in it."""
    files: dict[str, _Stored] = {}
    for artifact in bundle.artifacts:
        if artifact.recipe.id in recipes and artifact.quantization:
            for name in artifact.entries:
                opened = str(bundle.artifact_path(artifact, name).absolute())
                outputs = str(scratch / f"{len(files)}.safetensors")
                asked = {"artifact": opened, "format": family_of(artifact.recipe), "outputs": outputs}
                source = bundle.root / weights_path(artifact, name)
                files.setdefault(opened, _Stored(artifact.recipe.id, source, asked))
    return list(files.values())


def _read_stored(files: Sequence[_Stored], timeout: float) -> dict[_Stored, str]:
    """Have the stored weights of all files read. Returns why it cannot be done, for those that cannot be read."""
    if not files:
        return {}
    try:
        read_weights([file.asked for file in files], timeout)
    except ExporterError as error:
        if len(files) == 1:
            return {files[0]: error.message}
        # one of them broke the reader: each alone
        alone = [_read_stored([file], timeout) for file in files]
        return {file: reason for unreadable in alone for file, reason in unreadable.items()}
    return {}


def _check_file(file: _Stored, unreadable: Mapping[_Stored, str]) -> WeightCheck:
    if not file.source.exists():
        lost = "stored weights cannot be judged: the bundle does not hold the source's; convert the source again"
        return WeightCheck(0, 0.0, "", lost)
    if file in unreadable:
        return WeightCheck(0, 0.0, "", f"stored weights cannot be read: {unreadable[file]}")
    return check_weights(tensors.load(file.source), tensors.load(file.found))


def _store(report: Report, logs: Path, root: Path, progress: Progress) -> None:
    """Put the reports and the runtimes' logs into the bundle, in place of an earlier run's."""
    if not os.access(root, os.W_OK):
        progress(f"{root} is read-only: its report stays as it was (--report json=PATH writes one elsewhere)")
        return
    (root / "logs").mkdir(exist_ok=True)
    for log in sorted(logs.iterdir()):
        write_bytes(root / "logs" / log.name, log.read_bytes())
    write_reports(report, root)


def _environment(result: RunResult) -> Json:
    broken = {n: {"status": "broken", "reason": r} for n, r in runtimes().items() if isinstance(r, str)}
    return {
        "exporter": exporter.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runtimes": {**broken, **dict(sorted(result.runtimes.items()))},
    }


def write_reports(report: Report, directory: Path) -> None:
    """Write `report.json` and `report.html`, each atomically."""
    write_json(directory / "report.json", report.to_json())
    write_bytes(directory / "report.html", render(report).encode())
