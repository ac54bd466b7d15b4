"""exporter convert SOURCE"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("convert")
@click.argument("source")
@click.option("--to", multiple=True, metavar="RECIPE", help="Recipe to write; repeatable. Default: every format.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Bundle directory. Default: build/<name>.")
@click.option("--signature", help="Convert only this signature.")
@options.custom_option
@click.option("--train/--no-train", default=True, help="Train a reference model first.")
@click.option("--verify/--no-verify", default=True, help="Run every artifact and compare.")
@click.option(
    "--keep-float",
    multiple=True,
    metavar="GLOB",
    help="Layers of these names stay float in quantized recipes. Repeatable.",
)
@options.metadata_option
@options.case_options
@options.calibration_options
@options.evaluation_options
@options.run_options
@options.json_option
@options.quiet_option
def command(source: str, to: tuple[str, ...], **given: Any) -> int:
    """Convert SOURCE to every format, run every artifact in every runtime, and compare.

    SOURCE is a reference model's name, a .keras or .h5 file, a SavedModel or TF.js layers directory, or
    path/to/module.py:callable.
    RECIPE is a format (tflite) or format:key=value,… (tfjs-graph:shard-size=1MiB).
    """
    return _convert(source, to, given)


def _convert(source: str, to: tuple[str, ...], given: dict[str, Any]) -> int:
    from exporter import api

    extra = options.check_reports(given["reports"])
    with output.progress(quiet=given["quiet"]) as show:
        bundle = api.convert(
            source,
            given["output"],
            to=to,
            options=options.make_convert_options(given),
            verify=given["verify"],
            runtime=given["runtime"],
            require=given["require"],
            run_options=options.make_run_options(
                jobs=given["jobs"],
                timeout=given["timeout"],
                custom=None,
                rtol=given["rtol"],
                atol=given["atol"],
            ),
            progress=show,
        )
    report = bundle.report
    if report is None:
        failed = [a for a in bundle.artifacts if a.status == "failed" or (a.status == "refused" and a.explicit)]
        if given["as_json"]:
            output.print_json(bundle.to_json(()))
        else:
            output.print_bundle(bundle)
            click.echo(f"bundle: {bundle.root} (not verified)")
        return 1 if failed else 0
    api.copy_reports(report, extra)
    if given["as_json"]:
        output.print_json(report.to_json())
    else:
        output.print_verdict(report, bundle.root / "report.html")
    return report.exit_status
