"""Options that several commands share, and what they mean as library values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from exporter.convert_options import ConvertOptions
    from exporter.parity.session import RunOptions

F = TypeVar("F", bound=Callable[..., Any])


def _apply(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
custom_option = click.option(
    "--custom",
    metavar="FILE.py",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Module that defines custom layers.",
)
timeout_option = click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Per request.")


def _ranges(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    out = {}
    for value in values:
        name, low, high = ([*value.rsplit(":", 2), "", ""])[:3]
        try:
            out[name] = (float(low), float(high))
        except ValueError:
            raise click.BadParameter(f"{value!r}: expected NAME:LOW:HIGH, for example tokens:0:9999") from None
        if out[name][0] > out[name][1]:
            raise click.BadParameter(f"{value!r}: the low end is above the high end")
    return out


def _shapes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[int | None, ...]]:
    out: dict[str, tuple[int | None, ...]] = {}
    for value in values:
        name, colon, sizes = value.rpartition(":")
        try:
            out[name] = tuple(None if size.strip() == "?" else int(size) for size in sizes.split(",") if sizes)
        except ValueError:
            name = ""
        if not colon or not name or any(size is not None and size < 1 for size in out[name]):
            raise click.BadParameter(
                f"{value!r}: expected NAME:SIZE,SIZE,… with ? for an open size, for example image:1,24,24,3"
            )
    return out


def _sizes(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(v) for v in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}: expected sizes such as 1,2,5") from None
    if not sizes or min(sizes) < 1 or len(set(sizes)) != len(sizes):
        raise click.BadParameter(f"{value!r}: expected different sizes of at least 1")
    return sizes


def _pair(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, float]:
    try:
        low, high = (float(text) for text in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}: expected two numbers, such as -1,1") from None
    return low, high


def _per_output(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    out = {}
    for value in values:
        name, _, number = value.rpartition(":")
        try:
            out[name] = float(number)
        except ValueError:
            raise click.BadParameter(f"{value!r}: expected a number or OUTPUT:NUMBER") from None
    return out


def _tolerances(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    out = _per_output(ctx, param, values)
    for value, number in zip(values, out.values(), strict=False):
        if not 0 <= number < float("inf"):
            raise click.BadParameter(f"{value!r}: a tolerance is a finite number of at least 0")
    return out


def _words_per_output(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    return {name: word for name, _, word in (value.rpartition(":") for value in values)}


def read_metadata(values: Iterable[str]) -> dict[str, Any]:
    """JSON values of KEY:FILE pairs, by key. Raises `click.BadParameter`."""
    import json

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    out: dict[str, Any] = {}
    for value in values:
        key, _, path = value.partition(":")
        if not key or not path:
            raise click.BadParameter(f"{value!r}: expected KEY:FILE, for example labels:labels.json")
        if key in out:
            raise click.BadParameter(f"{value!r}: the key {key!r} is given twice")
        try:
            out[key] = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse)
        except OSError as error:
            raise click.BadParameter(f"{value!r}: {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise click.BadParameter(f"{value!r}: {path} is not JSON: {error}") from None
    return out


def _metadata(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    return read_metadata(values)


metadata_option = click.option(
    "--metadata",
    multiple=True,
    metavar="KEY:FILE",
    callback=_metadata,
    help="JSON for the userDefinedMetadata of TF.js files, under a key. Repeatable.",
)

tolerance_options = _apply(
    [
        click.option("--rtol", multiple=True, metavar="[OUTPUT:]X", callback=_tolerances, help="Relative tolerance."),
        click.option(
            "--atol",
            multiple=True,
            metavar="[OUTPUT:]X",
            callback=_tolerances,
            help="Absolute tolerance, times the output's RMS.",
        ),
    ]
)

report_option = click.option(
    "--report", "reports", multiple=True, metavar="FORMAT=PATH", help="Also write json=… or html=… there."
)

run_options = _apply(
    [
        click.option("--runtime", multiple=True, metavar="R", help="Run only R, and require it. Repeatable."),
        click.option("--require", multiple=True, metavar="R", help="R must not be missing; 'all' for every one."),
        tolerance_options,
        timeout_option,
        click.option("--jobs", type=click.IntRange(min=1), help="Runtimes side by side. Default: the cores."),
        report_option,
    ]
)

case_options = _apply(
    [
        click.option(
            "--inputs", metavar="FILE|file.py:fn", help="Own inputs: npz, npy, csv, json, safetensors or a function."
        ),
        click.option("--samples", default=16, show_default=True, type=click.IntRange(min=1), help="Rows of own data."),
        click.option(
            "--batch-sizes", default="1,2,5", show_default=True, callback=_sizes, help="Batches to compare at."
        ),
        click.option(
            "--range", "ranges", multiple=True, metavar="NAME:LOW:HIGH", callback=_ranges, help="Values of an input."
        ),
        click.option(
            "--shape",
            "shapes",
            multiple=True,
            metavar="NAME:1,24,24,3",
            callback=_shapes,
            help="Fix the shape of an input in every format; ? leaves a size open. Repeatable.",
        ),
        click.option("--seed", default=7, show_default=True, help="Seed of generated inputs."),
    ]
)


calibration_options = _apply(
    [
        click.option(
            "--calibration",
            metavar="FILE|DIR|file.py:fn",
            help="Rows to measure activations on: a file as for --inputs, a directory of images or a function.",
        ),
        click.option(
            "--image-range",
            default="0,255",
            show_default=True,
            metavar="BLACK,WHITE",
            callback=_pair,
            help="What black and white of a directory of images become.",
        ),
        click.option("--strict-calibration", is_flag=True, help="Suspicious calibration data are an error."),
    ]
)


evaluation_options = _apply(
    [
        click.option(
            "--eval",
            "evaluation",
            metavar="FILE|file.py:fn",
            help="Labelled rows: inputs by name, labels by output name or as `labels`. A reference model has its own.",
        ),
        click.option(
            "--metric",
            multiple=True,
            metavar="[OUTPUT:]M",
            callback=_words_per_output,
            help="accuracy, top5, mae, rmse or auc on those rows, of every artifact beside the source.",
        ),
        click.option(
            "--max-drop",
            multiple=True,
            metavar="[OUTPUT:]X",
            callback=_per_output,
            help="An artifact whose metric is worse than the source's by more is red.",
        ),
        click.option(
            "--eval-rows", default=1000, show_default=True, type=click.IntRange(min=1), help="Labelled rows to use."
        ),
    ]
)


def make_run_options(
    *, jobs: int | None, timeout: float | None, custom: Path | None, rtol: dict[str, float], atol: dict[str, float]
) -> RunOptions:
    import os

    from exporter.parity.session import RunOptions
    from exporter.parity.tolerance import Overrides

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return RunOptions(jobs=jobs or cores, timeout=timeout, custom=custom, overrides=Overrides(rtol, atol))


def make_convert_options(given: Mapping[str, Any]) -> ConvertOptions:
    """Out of what a command was given; the default of `ConvertOptions` for options that the command has not."""
    from dataclasses import fields

    from exporter.convert_options import ConvertOptions
    from exporter.parity.cases import CaseOptions

    def known(kind: type) -> dict[str, Any]:
        return {field.name: given[field.name] for field in fields(kind) if field.name in given}

    custom = given["custom"].absolute() if given["custom"] else None
    return ConvertOptions(**{**known(ConvertOptions), "custom": custom, "cases": CaseOptions(**known(CaseOptions))})


def check_reports(reports: tuple[str, ...]) -> dict[str, Path]:
    """FORMAT=PATH pairs of --report, before any work is done."""
    out = {}
    for item in reports:
        kind, equals, path = item.partition("=")
        if not equals or kind not in ("json", "html"):
            raise click.BadParameter(f"{item!r}: expected json=PATH or html=PATH", param_hint="--report")
        out[kind] = Path(path)
    return out
