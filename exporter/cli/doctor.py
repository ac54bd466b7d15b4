"""exporter doctor"""

from __future__ import annotations

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("doctor")
@click.option(
    "--install",
    type=click.Choice(["node", "jvm"]),
    help="Fetch the JavaScript packages, or build the JVM workers, into the user's cache.",
)
@options.json_option
@options.quiet_option
def command(install: str | None, as_json: bool, quiet: bool) -> int:
    """Say what works here, and give the command that fixes what does not."""
    from exporter import doctor

    with output.progress(quiet=quiet) as show:
        if install:
            show(f"installing what the {install} workers need")
            show(f"installed: {doctor.install(install)}")
        checks = doctor.checks(show)
    if as_json:
        output.print_json(checks)
    else:
        output.table(
            ["what", "status", "found", "fix"], [[c["name"], c["status"], c["found"], c["fix"]] for c in checks]
        )
    return 0 if all(c["status"] != "missing" and c["status"] != "broken" for c in checks) else 3
