"""exporter train NAME"""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("train")
@click.argument("name")
@click.option("-o", "--output", "directory", type=click.Path(path_type=Path), help="Default: build/trained/<name>.")
@options.timeout_option
@options.json_option
@options.quiet_option
def command(name: str, directory: Path | None, timeout: float | None, as_json: bool, quiet: bool) -> int:
    """Train the reference model NAME, seeded, and save it with its metrics."""
    from exporter import api

    with output.progress(quiet=quiet) as show:
        result = api.train(name, directory, timeout=timeout, progress=show)
    if as_json:
        output.print_json(result)
        return 0
    output.table(
        ["metric", "value", "bound"],
        [[k, f"{v:.4g}", result["quality"].get(k, "")] for k, v in result["metrics"].items()],
    )
    click.echo(f"model: {result['model']}")
    return 0
