"""exporter compare A B"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--inputs", metavar="FILE", help="What to feed when A and B are artifacts.")
@click.option("--runtime", metavar="R", help="Run both artifacts in R. Default: the first of each format.")
@click.option("--signature", help="Needed when the artifacts have several.")
@options.custom_option
@options.tolerance_options
@options.timeout_option
@options.json_option
@options.quiet_option
def command(a: Path, b: Path, **given: Any) -> int:
    """Compare A with B, the expected one: two output files, or two artifacts on the same inputs."""
    from exporter import api
    from exporter.parity.report import output_json
    from exporter.parity.tolerance import Overrides

    with output.progress(quiet=given["quiet"]) as show:
        comparison = api.compare_files(
            a,
            b,
            inputs=given["inputs"],
            runtime=given["runtime"],
            signature=given["signature"],
            custom=given["custom"],
            overrides=Overrides(given["rtol"], given["atol"]),
            timeout=given["timeout"],
            progress=show,
        )
    outputs = {o.name: output_json(o) for o in comparison.outputs}
    if given["as_json"]:
        output.print_json(
            {
                "outcome": "mismatched" if comparison.code else "passed",
                "code": comparison.code,
                "reason": comparison.problem,
                "outputs": outputs,
            }
        )
    else:
        output.table(
            ["output", "error", "needed", "dB", "worst", "got", "expected"],
            [
                [
                    o.name,
                    f"{o.max_rel:.1e}",
                    f"{o.needed:.2g}",
                    f"{o.sqnr_db:.0f}",
                    str(list(o.worst_index)),
                    str(o.worst_got),
                    str(o.worst_expected),
                ]
                for o in comparison.outputs
            ],
        )
        click.secho(comparison.problem or "equal within tolerance", fg="red" if comparison.code else "green")
    return 1 if comparison.code else 0
