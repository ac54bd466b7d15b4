"""exporter sensitivity SOURCE"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exporter.cli import _options as options
from exporter.cli import _output as output

if TYPE_CHECKING:
    from exporter.layerwise import LayerSensitivity


@click.command("sensitivity")
@click.argument("source")
@click.option("--recipe", default="tflite-int8", show_default=True, help="Quantized recipe to measure.")
@click.option("--signature", help="Measure only this signature.")
@options.custom_option
@click.option("--train/--no-train", default=True, help="Train a reference model first.")
@click.option(
    "--inputs", metavar="FILE|file.py:fn", help="Rows to measure on. Default: the model's own data, at most 64 rows."
)
@click.option("--seed", default=7, show_default=True, help="Seed of the choice of calibration rows.")
@options.calibration_options
@options.timeout_option
@options.report_option
@options.json_option
@options.quiet_option
def command(source: str, recipe: str, **given: Any) -> int:
    """Measure what each layer of SOURCE loses by being quantized, and what it would cost to keep it float.

    For each layer: the gain in SQNR of the outputs when only this layer stays float, and the bytes that adds.
    """
    from exporter import api
    from exporter.parity.html import render_sensitivity
    from exporter.text import human_bytes

    reports = options.check_reports(given["reports"])
    with output.progress(quiet=given["quiet"]) as show:
        found = api.sensitivity(
            source,
            recipe,
            options=options.make_convert_options(given),
            progress=show,
        )
    api.write_pages(reports, found.to_json, lambda: render_sensitivity(found, source))
    if given["as_json"]:
        output.print_json(found.to_json())
        return 0
    sizes = f"{human_bytes(found.bytes)}, float {human_bytes(found.float_bytes)}"
    click.echo(f"{found.recipe}, everything quantized: {found.sqnr_db:.1f} dB SQNR, {sizes}")
    output.table(
        ["layer kept float", "SQNR dB", "gain dB", "bytes", "dB per kB"],
        [
            [row.layer, f"{row.sqnr_db:.1f}", f"{row.gain_db:+.2f}", f"{row.bytes:+d}", _share(row)]
            for row in found.layers
        ],
    )
    click.echo(found.command or "no layer gains anything in float")
    return 0


def _share(row: LayerSensitivity) -> str:
    return "free" if row.bytes <= 0 < row.gain_db else f"{row.db_per_kb:+.3f}"
