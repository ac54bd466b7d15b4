"""exporter verify BUNDLE"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@options.custom_option
@options.run_options
@options.json_option
@options.quiet_option
def command(bundle: Path, **given: Any) -> int:
    """Run every artifact of BUNDLE again and compare with the references stored in it.

    Every file is checked against its sha256 first. Nothing but the bundle is needed; code is never taken from it.
    """
    from exporter import api

    extra = options.check_reports(given["reports"])
    with output.progress(quiet=given["quiet"]) as show:
        report = api.verify(
            bundle,
            runtime=given["runtime"],
            require=given["require"],
            run_options=options.make_run_options(
                jobs=given["jobs"],
                timeout=given["timeout"],
                custom=given["custom"].absolute() if given["custom"] else None,
                rtol=given["rtol"],
                atol=given["atol"],
            ),
            progress=show,
        )
    api.copy_reports(report, extra)
    if given["as_json"]:
        output.print_json(report.to_json())
    else:
        stored = bundle / "report.html" if os.access(bundle, os.W_OK) else None
        output.print_verdict(report, extra.get("html", stored))
    return report.exit_status
