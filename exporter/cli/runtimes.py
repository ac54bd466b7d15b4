"""exporter runtimes"""

from __future__ import annotations

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("runtimes")
@options.json_option
@options.quiet_option
def command(as_json: bool, quiet: bool) -> int:
    """List the runtimes and start each once to see whether it works here."""
    from exporter import doctor

    with output.progress(quiet=quiet) as show:
        found = doctor.runtimes_status(show)
    if as_json:
        output.print_json(found)
        return 0
    rows = [
        [
            r["name"],
            r["status"],
            ", ".join(r["formats"]),
            r["reason"] or ", ".join(f"{k} {v}" for k, v in r["versions"].items()),
        ]
        for r in found
    ]
    output.table(["runtime", "status", "formats", "versions"], rows)
    return 0
