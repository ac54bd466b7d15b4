"""The library: what the commands do, as functions. Each command of the command line is one of these plus printing."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import exporter
from exporter.bundle import Bundle, building, publish, write_bytes, write_json
from exporter.convert import ConvertOptions, choose_recipes, write_bundle
from exporter.errors import UsageError
from exporter.model import CellResult, Json
from exporter.parity.environment import cpu
from exporter.parity.plan import NO_RUNTIME, plan
from exporter.parity.report import Report
from exporter.parity.run import RunOptions, RunResult, run_cells
from exporter.runtimes import Runtime
from exporter.runtimes.registry import runtime_named, runtimes
from exporter.source_spec import SourceSpec, parse_source

Progress = Callable[[str], None]
PathLike = str | os.PathLike[str]


def _silent(message: str) -> None:
    pass


def convert(
    source: Any,
    output: PathLike | None = None,
    *,
    to: Sequence[str] | None = None,
    options: ConvertOptions | None = None,
    verify: bool = True,
    runtime: Sequence[str] = (),
    require: Sequence[str] = (),
    run_options: RunOptions | None = None,
    progress: Progress = _silent,
) -> tuple[Bundle, Report | None]:
    """Convert a source to every recipe and, unless told not to, run every artifact and compare.

    Args:
        source: a Keras model object, or what the command line takes: a reference model's name, a `.keras` or `.h5`
            file, a SavedModel directory, or `path/to/module.py:callable`.
        output: the bundle's directory; default `build/<name>`. An existing bundle there is replaced at the end.
        to: recipe ids; default every format that can represent the source.
        runtime, require: as in `verify`.

    Returns:
        the published bundle, and the report (None without verification).

    Raises:
        ExporterError: the source, the inputs or the destination cannot be used. An existing bundle is untouched.
    """
    options = options or ConvertOptions()
    model = None
    if isinstance(source, str | os.PathLike):
        spec = parse_source(os.fspath(source))
    else:
        model = source
        name = str(getattr(model, "name", "") or "model")
        spec = SourceSpec("object", Path(), name, f"a {type(model).__name__} object")
    destination = Path(output) if output is not None else Path("build") / spec.name
    recipes = choose_recipes(to)
    chosen = choose_runtimes(runtime)
    began = time.monotonic()
    with building(destination) as work:
        bundle = write_bundle(spec, work, recipes, options, progress, model)
        report = None
        if verify:
            code = options.custom or (spec.path if spec.kind in ("reference", "callable") else None)
            report = _verify(
                bundle,
                chosen,
                require,
                replace(run_options or RunOptions(), custom=code),
                progress,
                root=destination,
                explicit=bool(runtime),
            )
        progress(f"done in {time.monotonic() - began:.1f} s")
        publish(bundle.root, destination)
    return replace(bundle, root=destination), report


def verify(
    bundle: Bundle | PathLike,
    *,
    runtime: Sequence[str] = (),
    require: Sequence[str] = (),
    run_options: RunOptions | None = None,
    progress: Progress = _silent,
) -> Report:
    """Run every artifact of a bundle again, from the bundle alone, and write its reports.

    Args:
        bundle: a loaded bundle or its directory; every file is checked against its sha256 first.
        runtime: run only these; naming one makes it required. Default: every runtime that runs by default.
        require: runtimes that must not be missing (`all`: every default runtime that has something to run).

    Raises:
        ExporterError: the bundle is not intact, or a name is unknown.
    """
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    chosen = choose_runtimes(runtime)
    return _verify(loaded, chosen, require, run_options or RunOptions(), progress, explicit=bool(runtime))


def choose_runtimes(names: Sequence[str]) -> dict[str, Runtime]:
    """Runtimes by name: those named, else every default one. Raises `UsageError` for an unknown name."""
    if names:
        return {n: runtime_named(n) for n in names}
    return {n: r for n, r in runtimes().items() if isinstance(r, Runtime) and r.default}


def _verify(
    bundle: Bundle,
    chosen: Mapping[str, Runtime],
    require: Iterable[str],
    run_options: RunOptions,
    progress: Progress,
    root: Path | None = None,
    *,
    explicit: bool,
) -> Report:
    formats = {a.recipe.format for a in bundle.artifacts}
    usable = {n: r for n, r in chosen.items() if formats & set(r.formats)}
    if explicit:
        useless = [n for n in chosen if n not in usable]
        if useless:
            raise UsageError(
                "useless-runtime",
                f"{useless[0]} runs {', '.join(chosen[useless[0]].formats)}, and the bundle holds none of that",
                f"it holds: {', '.join(sorted(formats))}",
            )
    required = tuple(chosen) if explicit else ()
    for name in require:
        required += tuple(usable) if name == "all" else (runtime_named(name).name,)
    cells = plan(bundle, usable.values())
    if explicit:
        cells = tuple(c for c in cells if c.runtime != NO_RUNTIME)
    done = 0

    def count(result: CellResult) -> None:
        nonlocal done
        done += 1
        progress(f"verified {done} of {len(cells)} cells: {result.cell.recipe} in {result.cell.runtime}")

    logs = bundle.root / "logs"
    result = run_cells(bundle, cells, usable, logs, run_options, count)
    report = Report(
        bundle if root is None else replace(bundle, root=root),
        cells,
        result.cells,
        _environment(result),
        tuple(dict.fromkeys(required)),
    )
    write_reports(report, bundle.root)
    return report


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
    from exporter.parity.html import render

    write_json(directory / "report.json", report.to_json())
    write_bytes(directory / "report.html", render(report).encode())
