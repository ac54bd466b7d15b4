"""exporter models"""

from __future__ import annotations

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("models")
@options.json_option
def command(as_json: bool) -> int:
    """List the reference models."""
    from exporter import reference

    titles = {name: reference.title(name) for name in reference.names()}
    if as_json:
        output.print_json([{"name": n, "title": t} for n, t in titles.items()])
    else:
        output.table(["model", "what it covers"], [[n, t] for n, t in titles.items()])
    return 0
