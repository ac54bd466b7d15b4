"""exporter formats"""

from __future__ import annotations

from typing import Any

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("formats")
@options.json_option
def command(as_json: bool) -> int:
    """List the formats, their options, and the runtimes that execute them."""
    from exporter.formats import Format
    from exporter.formats.registry import formats
    from exporter.runtimes import Runtime
    from exporter.runtimes.registry import runtimes

    listed: list[dict[str, Any]] = []
    for name, found in formats().items():
        family = found.family if isinstance(found, Format) else name
        running = [n for n, r in runtimes().items() if isinstance(r, Runtime) and family in r.formats]
        if isinstance(found, Format):
            choices = [{"name": k, "default": o.default, "help": o.help} for k, o in found.options.items()]
            listed.append({"name": name, "title": found.title, "options": choices, "runtimes": running, "problem": ""})
        else:
            listed.append({"name": name, "title": "", "options": [], "runtimes": running, "problem": found})
    if as_json:
        output.print_json(listed)
        return 0
    rows = [
        [
            f["name"],
            f["title"] or f["problem"],
            ", ".join(f"{o['name']}={o['default']}" for o in f["options"]),
            ", ".join(f["runtimes"]),
        ]
        for f in listed
    ]
    output.table(["format", "what it is", "options", "runtimes"], rows)
    return 0
