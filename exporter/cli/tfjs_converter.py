"""exporter-tfjs-converter INPUT OUTPUT: the published converter's command line, so that scripts need another name only.

Flags, spellings and defaults are those of tensorflowjs 4.22 (converters/converter.py), older spellings included. What
is written is what `exporter convert` writes, and it was run in TF.js first: nothing is written that computed something
else. Flags that choose between ways of upstream's own implementation are taken and change nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from exporter.cli import _options as options
from exporter.cli import _output as output
from exporter.cli import run_command
from exporter.errors import ExporterError, UsageError

if TYPE_CHECKING:
    from exporter.bundle import Bundle
    from exporter.model import Artifact

F = TypeVar("F", bound=Callable[..., Any])
LAYERS, GRAPH, KERAS, SAVED_MODEL = "tfjs_layers_model", "tfjs_graph_model", "keras", "keras_saved_model"
_ALIASES = {"tf_layers_model": LAYERS, "tensorflowjs": LAYERS, "tf_graph_model": GRAPH, "keras_keras": KERAS}
_SOURCES = (KERAS, SAVED_MODEL, "tf_saved_model", "tf_hub", LAYERS)
_UNREADABLE = {
    "tf_frozen_model": "a frozen graph has no signature; convert the SavedModel that it was made from",
}
_DEFAULT_OUTPUT = {KERAS: LAYERS, SAVED_MODEL: LAYERS, "tf_saved_model": GRAPH, "tf_hub": GRAPH, LAYERS: KERAS}
_RECIPES = {LAYERS: "tfjs-layers", GRAPH: "tfjs-graph", SAVED_MODEL: "saved-model"}
_BYTES = {"1": "uint8", "2": "uint16"}
_NO_EFFECT = {
    "split_weights_by_layer": "all weights are in one group",
    "skip_op_check": "operations without a kernel are refused, because they could not run",
    "control_flow_v2": "loops run either way",
    "experiments": "there are none",
    "strip_debug_ops": "debugging operations are always removed",
}


def _quantized(name: str) -> Callable[[F], F]:
    return click.option(
        f"--quantize_{name}",
        is_flag=False,
        flag_value="*",
        metavar="[NAMES]",
        help=f"Store weights as {name}: all, or those of the names (globs, separated by commas).",
    )


@click.command("exporter-tfjs-converter", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("input_path", required=False)
@click.argument("output_path", required=False, type=click.Path(path_type=Path))
@click.option("--input_format", default="tf_saved_model", show_default=True, help=f"{', '.join(_SOURCES)}.")
@click.option("--output_format", help=f"{LAYERS}, {GRAPH}, {KERAS}, {SAVED_MODEL}. Default: by the input's format.")
@click.option("--signature_name", help="Signature of a SavedModel. Default: serving_default.")
@click.option("--saved_model_tags", default="serve", help="Only serve.")
@_quantized("float16")
@_quantized("uint8")
@_quantized("uint16")
@click.option("--quantization_bytes", type=click.Choice(list(_BYTES)), help="Old: 1 is uint8, 2 is uint16.")
@click.option("--weight_shard_size_bytes", type=click.IntRange(min=1), help="Largest size of one weight file.")
@click.option("--weight_shared_size_bytes", type=click.IntRange(min=1), hidden=True)
@click.option("--metadata", help="KEY:FILE of JSON, several separated by commas.")
@click.option("--output_node_names", hidden=True)
@click.option("--use_structured_outputs_names", is_flag=True, help="predict returns an object with names for keys.")
@click.option("--split_weights_by_layer", is_flag=True, hidden=True)
@click.option("--skip_op_check", is_flag=True, hidden=True)
@click.option("--strip_debug_ops", hidden=True)
@click.option("--control_flow_v2", hidden=True)
@click.option("--experiments", hidden=True)
@click.option("--verify/--no-verify", default=True, help="Run what is written in TF.js first.")
@options.custom_option
@options.quiet_option
@click.option("--version", "-v", "show_version", is_flag=True, help="Show the versions and exit.")
def command(input_path: str | None, output_path: Path | None, **given: Any) -> int:
    """Convert INPUT_PATH to OUTPUT_PATH with the flags of tensorflowjs_converter."""
    if given["show_version"]:
        _print_versions()
        return 0
    if not input_path or output_path is None:
        raise UsageError("missing-path", "INPUT_PATH and OUTPUT_PATH are expected", _who_took_it(given) or "see --help")
    source, target = _format(given["input_format"], _SOURCES), _target(given)
    if (source, target) not in _pairs():
        raise UsageError(
            "no-such-conversion",
            f"{source} is not converted to {target}",
            f"{source} becomes {', '.join(_ends(source))}",
        )
    for flag, words in _NO_EFFECT.items():
        if given[flag]:
            click.echo(f"warning: --{flag} changes nothing: {words}", err=True)
    recipe = _recipe(target, output_path, given)
    _check_output(output_path, one_file=target == KERAS)
    written = _convert(input_path, output_path, recipe, given)
    click.echo(written)
    return 0


def _who_took_it(given: Mapping[str, Any]) -> str:
    """A flag with an optional value takes the path behind it, here as in the published converter."""
    flags = [f"--{key}" for key, value in given.items() if key.startswith("quantize_") and value not in (None, "*")]
    return f"{flags[0]} took the word behind it; write {flags[0]}=*" if flags else ""


def _format(name: str, known: tuple[str, ...]) -> str:
    from exporter.text import did_you_mean

    name = _ALIASES.get(name, name)
    if name in _UNREADABLE:
        raise UsageError("unsupported-format", f"{name} is not read", _UNREADABLE[name])
    if name not in known:
        raise UsageError(
            "unknown-format", f"unknown format {name!r}{did_you_mean(name, known)}", f"one of {', '.join(known)}"
        )
    return name


def _target(given: Mapping[str, Any]) -> str:
    source = _format(given["input_format"], _SOURCES)
    if given["output_format"] is None:
        return _DEFAULT_OUTPUT[source]
    return _format(given["output_format"], (LAYERS, GRAPH, KERAS, SAVED_MODEL))


def _pairs() -> set[tuple[str, str]]:
    models = {(source, end) for source in (KERAS, SAVED_MODEL) for end in (LAYERS, GRAPH)}
    graphs = {(source, GRAPH) for source in ("tf_saved_model", "tf_hub")}
    return models | graphs | {(LAYERS, end) for end in (KERAS, SAVED_MODEL, LAYERS, GRAPH)}


def _ends(source: str) -> list[str]:
    return sorted(end for start, end in _pairs() if start == source)


def _recipe(target: str, path: Path, given: Mapping[str, Any]) -> str:
    """The recipe of `exporter convert` that writes it."""
    quantized = {name: given[f"quantize_{name}"] for name in ("float16", "uint8", "uint16")}
    quantized = {name: globs for name, globs in quantized.items() if globs is not None}
    if given["quantization_bytes"]:
        if quantized:
            raise UsageError("two-quantizations", "--quantization_bytes and --quantize_* are given", "give one of them")
        kind = _BYTES[given["quantization_bytes"]]
        click.echo(f"warning: --quantization_bytes is old; write --quantize_{kind}", err=True)
        quantized = {kind: "*"}
    size = given["weight_shard_size_bytes"]
    if given["weight_shared_size_bytes"]:
        click.echo("warning: --weight_shared_size_bytes is taken as --weight_shard_size_bytes", err=True)
        size = size or given["weight_shared_size_bytes"]
    if target in (KERAS, SAVED_MODEL):
        if quantized or size:
            raise UsageError(
                "no-weight-files", f"{target} has no weight files to cut or quantize", "leave those flags out"
            )
        return ("keras" if path.suffix == ".keras" else "h5") if target == KERAS else _RECIPES[target]
    terms = [f"{kind}:{glob}" for kind, globs in quantized.items() for glob in globs.split(",")]
    settings = ([f"shard-size={size}B"] if size else []) + ([f"quantize={'+'.join(terms)}"] if terms else [])
    if given["use_structured_outputs_names"] and target == GRAPH:
        settings.append("outputs=named")
    return _RECIPES[target] + (f":{','.join(settings)}" if settings else "")


def _convert(source: str, path: Path, recipe: str, given: Mapping[str, Any]) -> str:
    """Convert in a temporary bundle, and put the files where they are wanted. Returns what to say of it."""
    import tempfile

    from exporter import api
    from exporter.convert_options import ConvertOptions

    if given["saved_model_tags"] != "serve":
        raise UsageError("tags", f"tags {given['saved_model_tags']!r}", "SavedModels are read by the tag serve only")
    settings = ConvertOptions(
        signature=given["signature_name"],
        custom=given["custom"].absolute() if given["custom"] else None,
        metadata=options.read_metadata((given["metadata"] or "").split(",") if given["metadata"] else ()),
    )
    with tempfile.TemporaryDirectory(prefix="exporter-tfjs-") as scratch:
        with output.progress(quiet=given["quiet"]) as show:
            bundle = api.convert(
                source, Path(scratch) / "bundle", to=[recipe], options=settings, verify=given["verify"], progress=show
            )
        (artifact,) = bundle.artifacts
        if artifact.status != "written":
            raise ExporterError(artifact.code or artifact.status, f"{recipe} is {artifact.status}: {artifact.reason}")
        confirmed = _confirmed(bundle)
        _put(bundle, artifact, path, given["signature_name"])
    return f"wrote {path}{confirmed}"


def _confirmed(bundle: Bundle) -> str:
    """Where the artifact was confirmed, in words. Raises `ExporterError` where it computed something else."""
    from exporter.outcome import Failed, Mismatched, Passed
    from exporter.parity.report import summary_line

    if bundle.report is None:
        return ", not run anywhere"
    results = list(bundle.report.results.values())
    for result in results:
        if isinstance(result.outcome, Mismatched | Failed):
            raise ExporterError(
                "not-confirmed",
                f"nothing was written: in {result.cell.runtime}, {summary_line(result)}",
                "use --no-verify to look at it",
            )
    runtimes = sorted({r.cell.runtime for r in results if isinstance(r.outcome, Passed)})
    return f", confirmed in {', '.join(runtimes)}" if runtimes else ", not run anywhere: no runtime of it works here"


def _check_output(path: Path, *, one_file: bool) -> None:
    """Say before the work what would stop `_put`. Raises `ExporterError`."""
    if one_file and path.is_dir():
        raise ExporterError("occupied", f"{path} is a directory", "give the path of the file to write")
    above = next(p for p in (path, *path.absolute().parents) if p.exists() and (p != path or not one_file))
    if not above.is_dir():
        raise ExporterError("occupied", f"{above} exists and is not a directory", "choose another OUTPUT_PATH")


def _put(bundle: Bundle, artifact: Artifact, path: Path, signature: str | None) -> None:
    """Put the files of one signature where they are wanted, or none of them. Raises `ExporterError`.

    What names the others is moved last, so that no reader sees half of it.
    """
    name = signature or ("serving_default" if "serving_default" in artifact.entries else next(iter(artifact.entries)))
    opened = bundle.artifact_path(artifact, name)
    if opened.is_file() and opened.suffix in (".h5", ".keras"):
        copies = {path: opened}
    else:
        directory = opened.parent if opened.is_file() else opened
        files = (f for f in directory.rglob("*") if f.is_file())
        ordered = sorted(files, key=lambda f: f.name in ("model.json", "saved_model.pb"))
        copies = {path / f.relative_to(directory): f for f in ordered}
    staged = {target: target.with_name(f".{target.name}.{os.getpid()}") for target in copies}
    try:
        for target, file in copies.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, staged[target])
        for target, copy in staged.items():
            os.replace(copy, target)
    except OSError as error:
        reason = error.strerror or str(error)
        where = error.filename2 or error.filename or path
        raise ExporterError("cannot-write", f"cannot write {where}: {reason}", "choose another OUTPUT_PATH") from error
    finally:
        for copy in staged.values():
            with contextlib.suppress(OSError):
                copy.unlink(missing_ok=True)


def _print_versions() -> None:
    from importlib.metadata import version

    import exporter

    click.echo(f"exporter {exporter.__version__}")
    for name in ("keras", "tensorflow-cpu", "tensorflow"):
        try:
            click.echo(f"{name} {version(name)}")
        except ImportError:
            continue


def main() -> None:
    """Entry point of the `exporter-tfjs-converter` script."""
    run_command(command)


if __name__ == "__main__":
    main()
