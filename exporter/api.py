"""The library: what the commands do, as functions. Each command of the command line is one of these plus printing."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.artifact_path import missing_path
from exporter.bundle import Bundle, building, publish, write_bytes, write_json
from exporter.conversion import write_bundle
from exporter.convert_options import ConvertOptions
from exporter.errors import UsageError
from exporter.formats.registry import check_metadata, choose_recipes, family_of, is_quantized, parse_recipe
from exporter.inputs import check_inputs_name
from exporter.layerwise import Sensitivity
from exporter.model import Json, Signature, TensorSpec, Tolerance
from exporter.outcome import Comparison
from exporter.parity.report import Report
from exporter.parity.session import RunOptions
from exporter.parity.tolerance import Overrides
from exporter.source_spec import SourceSpec, parse_source
from exporter.text import did_you_mean
from exporter.verification import check_outputs, check_runtimes, check_tolerances, choose_runtimes, verdict

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
) -> Bundle:
    """Convert a source to every recipe and, unless told not to, run every artifact and compare.

    Args:
        source: a Keras model object, or what the command line takes: a reference model's name, a `.keras` or `.h5`
            file, a SavedModel directory, or `path/to/module.py:callable`.
        output: the bundle's directory; default `build/<name>`. An existing bundle there is replaced at the end.
        to: recipe ids; default every format that can represent the source.
        runtime, require: as in `verify`.

    Returns:
        the published bundle; its `report` is the verdict (None without verification).

    Raises:
        ExporterError: the source, the inputs or the destination cannot be used. An existing bundle is untouched.
    """
    options = options or ConvertOptions()
    spec, model = _spec_of(source)
    destination = Path(output) if output is not None else Path("build") / spec.name
    recipes = choose_recipes(to)
    chosen = choose_runtimes(runtime)
    run_options = run_options or RunOptions()
    # before an hour of work, not after it
    check_runtimes({family_of(r) for r, _ in recipes}, chosen, require, explicit=bool(runtime))
    check_tolerances([r for r, _ in recipes], run_options.overrides)
    _check_data(options, functions=model is None)
    options.asked(own_data=spec.kind == "reference")
    if isinstance(options.evaluation, str):
        check_inputs_name(options.evaluation, functions=model is None)
    if options.keep_float and not any(is_quantized(recipe) for recipe, _ in recipes):
        raise UsageError(
            "useless-keep-float",
            "--keep-float is given, and no recipe quantizes",
            "name one with --to, for example --to tflite-int8 (exporter formats lists them)",
        )
    check_metadata(options.metadata, [recipe for recipe, _ in recipes])
    began = time.monotonic()
    with building(destination) as work:
        bundle = write_bundle(
            spec, work, recipes, options, progress, model, lambda found: check_outputs(found, run_options.overrides)
        )
        report = None
        if verify:
            code = (
                run_options.custom or options.custom or (spec.path if spec.kind in ("reference", "callable") else None)
            )
            report = verdict(
                bundle,
                chosen,
                require,
                replace(run_options, custom=code),
                progress,
                root=destination,
                explicit=bool(runtime),
            )
        progress(f"done in {time.monotonic() - began:.1f} s")
        publish(bundle.root, destination)
    return replace(bundle, root=destination, report=report)


def _spec_of(source: Any) -> tuple[SourceSpec, Any]:
    """A source before it is opened, and the model object if it is one."""
    if isinstance(source, str | os.PathLike):
        return parse_source(os.fspath(source)), None
    name = str(getattr(source, "name", "") or "model")
    return SourceSpec("object", Path(), name, f"a {type(source).__name__} object"), source


def _check_data(options: ConvertOptions, *, functions: bool) -> None:
    """Raises `UsageError` where inputs or calibration name nothing that can be read."""
    if options.inputs is not None:
        check_inputs_name(options.inputs, functions=functions)
    if isinstance(options.calibration, str) and not Path(options.calibration).is_dir():
        check_inputs_name(options.calibration, functions=functions)


def sensitivity(
    source: Any,
    recipe: str = "tflite-int8",
    *,
    options: ConvertOptions | None = None,
    progress: Progress = _silent,
) -> Sensitivity:
    """Measure what each layer loses by being quantized, and what it would cost to keep it float.

    Args:
        source: as in `convert`; the rows of its own data are run, or those of `options.inputs`.
        recipe: a TensorFlow Lite recipe made by ai-edge-quantizer.

    Returns:
        SQNR in dB and bytes of everything quantized, and a row for each layer with quantized weights, those first
        that gain most for their bytes.

    Raises:
        UsageError: the layers of the recipe cannot be measured.
        ExporterError: the source or the inputs cannot be used, or the recipe is refused for this source.
    """
    from exporter import layerwise

    options = options or ConvertOptions()
    found = parse_recipe(recipe)
    layerwise.check_recipe(found)
    spec, model = _spec_of(source)
    _check_data(options, functions=model is None)
    with tempfile.TemporaryDirectory(prefix="exporter-sensitivity-") as work:
        return layerwise.sensitivity(spec, Path(work), found, options, progress, model)


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
    chosen = choose_runtimes(runtime)
    if not isinstance(bundle, Bundle) and not Path(bundle).exists():
        raise missing_path(Path(bundle), "directory")
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    run_options = run_options or RunOptions()
    check_outputs(loaded.signatures, run_options.overrides)
    return verdict(loaded, chosen, require, run_options, progress, explicit=bool(runtime))


def copy_reports(report: Report, extra: Mapping[str, Path]) -> None:
    """Write the report to further places: `json` and `html` -> path."""
    from exporter.parity.html import render

    write_pages(extra, report.to_json, lambda: render(report))


def write_pages(extra: Mapping[str, Path], document: Callable[[], Json], page: Callable[[], str]) -> None:
    """Write a JSON document and an HTML page where they are asked for: `json` and `html` -> path."""
    for kind, path in extra.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "json":
            write_json(path, document())
        else:
            write_bytes(path, page().encode())


def train(
    name: str, output: PathLike | None = None, *, timeout: float | None = None, progress: Progress = _silent
) -> Json:
    """Train a reference model and save it beside its metrics.

    Returns:
        {"name", "metrics", "quality", "model": path, "seconds"}; `metrics.json` in the directory holds the same.

    Raises:
        UsageError: no such model. SourceError: training failed or missed its quality.
    """
    import shutil

    from exporter import reference
    from exporter.source_worker import train_reference

    if name not in reference.names():
        raise UsageError(
            "unknown-model",
            f"there is no reference model {name!r}{did_you_mean(name, reference.names())}",
            f"they are: {', '.join(reference.names())}",
        )
    destination = Path(output) if output is not None else Path("build") / "trained" / name
    progress(f"training {name}")
    with tempfile.TemporaryDirectory(prefix="exporter-train-") as scratch:
        facts = train_reference(name, Path(scratch), timeout or 3600.0)
        staged = Path(scratch) / "staging"
        destination.mkdir(parents=True, exist_ok=True)
        keras_file = staged / "model.keras"
        if keras_file.exists():
            model = destination / "model.keras"
            write_bytes(model, keras_file.read_bytes())
        else:
            model = destination / "saved_model"
            shutil.rmtree(model, ignore_errors=True)
            shutil.copytree(staged / "saved_model", model)
    result = {
        "name": name,
        "metrics": facts["metrics"],
        "quality": facts["quality"],
        "model": str(model),
        "seconds": facts["seconds"],
    }
    write_json(destination / "metrics.json", result)
    return result


def run(
    artifact: PathLike,
    inputs: str,
    outputs: PathLike,
    *,
    runtime: str | None = None,
    signature: str | None = None,
    custom: Path | None = None,
    timeout: float | None = None,
    progress: Progress = _silent,
) -> Json:
    """Run one artifact in one runtime on a file of inputs, and write its outputs.

    Returns:
        {"runtime", "versions", "elapsed_ns", "outputs": [{"name", "dtype", "shape"}]}.
    """
    from exporter.single import check_output_kind, run_single, write_outputs
    from exporter.tensors import dtype_name

    check_output_kind(Path(outputs))
    check_inputs_name(inputs, functions=False)
    target = Path(outputs).resolve()
    if target in (Path(inputs).resolve(), Path(artifact).resolve()) or Path(artifact).resolve() in target.parents:
        raise UsageError("overwrites", f"{outputs} is what this command reads", "choose another file with --outputs")
    progress(f"running {artifact}")
    done = run_single(Path(artifact), inputs, runtime=runtime, signature=signature, custom=custom, timeout=timeout)
    write_outputs(Path(outputs), done.outputs)
    return {
        "runtime": done.runtime,
        "versions": dict(done.versions),
        "elapsed_ns": done.elapsed_ns,
        "outputs": [{"name": n, "dtype": dtype_name(a), "shape": list(a.shape)} for n, a in done.outputs.items()],
    }


def compare_files(
    a: PathLike,
    b: PathLike,
    *,
    inputs: str | None = None,
    runtime: str | None = None,
    signature: str | None = None,
    custom: Path | None = None,
    overrides: Overrides | None = None,
    timeout: float | None = None,
    progress: Progress = _silent,
) -> Comparison:
    """Compare two output files, or two artifacts run on the same inputs; `b` is the expected one.

    The gate is rtol 1e-4, atol 1e-5 of the RMS unless `overrides` says otherwise.
    """
    from exporter.parity.compare import compare, scales
    from exporter.parity.slices import find_slicings
    from exporter.parity.tolerance import overridden
    from exporter.single import OUTPUT_KINDS, in_terms_of, read_outputs, run_single
    from exporter.tensors import Tensors, dtype_name

    def outputs_of(path: Path) -> Tensors:
        if path.suffix in OUTPUT_KINDS and path.name != "model.json":
            return read_outputs(path)
        if inputs is None:
            raise UsageError(
                "inputs-needed", f"{path} is an artifact, and nothing says what to feed it", "give --inputs FILE"
            )
        progress(f"running {path}")
        return run_single(path, inputs, runtime=runtime, signature=signature, custom=custom, timeout=timeout).outputs

    for path in (Path(a), Path(b)):
        if not path.exists():
            raise missing_path(path)
    if inputs is not None:
        check_inputs_name(inputs, functions=False)
    got, expected = outputs_of(Path(a)), outputs_of(Path(b))
    got = in_terms_of(Path(a), got, expected)
    expected = in_terms_of(Path(b), expected, got)
    specs = tuple(TensorSpec(n, dtype_name(x), tuple(x.shape)) for n, x in expected.items())
    if not any(x.size for x in expected.values()):
        raise UsageError("no-outputs", f"{b} holds no values, so there is nothing to compare", "give other outputs")
    overrides = overrides or Overrides()
    check_outputs([Signature("compare", (), specs)], overrides)
    gate = Tolerance(1e-4, 1e-5, "default of exporter compare: float32 in another order of sums")
    return compare(
        Signature("compare", (), specs),
        got,
        expected,
        scales({"only": expected}),
        lambda output: overridden(gate, overrides, output),
        find_slicings({"only": expected}),
    )


def inspect(path: PathLike, *, timeout: float | None = None, progress: Progress = _silent) -> Json:
    """Signatures, ops, dtypes, sizes and quantization of an artifact or a bundle, read in a process of its own.

    Returns:
        {"title", "format", "bytes", "signatures", "ops", "dtypes", "quantization", "facts"}.
    """
    from exporter.source_worker import inspect_path

    progress(f"reading {path}")
    return inspect_path(Path(path), timeout or 300.0)
