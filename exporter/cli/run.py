"""exporter run ARTIFACT --inputs F --outputs G"""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("run")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--inputs", required=True, metavar="FILE", help="npz, npy, csv, json or safetensors.")
@click.option(
    "--outputs", required=True, metavar="FILE", type=click.Path(path_type=Path), help="npz, npy, json or safetensors."
)
@click.option("--runtime", metavar="R", help="Default: the first runtime of the artifact's format.")
@click.option("--signature", help="Needed when the artifact has several.")
@options.custom_option
@options.timeout_option
@options.json_option
@options.quiet_option
def command(
    artifact: Path,
    inputs: str,
    outputs: Path,
    runtime: str | None,
    signature: str | None,
    custom: Path | None,
    timeout: float | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run one ARTIFACT in one runtime on a file of inputs and write its outputs."""
    from exporter import api

    with output.progress(quiet=quiet) as show:
        result = api.run(
            artifact,
            inputs,
            outputs,
            runtime=runtime,
            signature=signature,
            custom=custom,
            timeout=timeout,
            progress=show,
        )
    if as_json:
        output.print_json(result)
        return 0
    output.table(["output", "dtype", "shape"], [[o["name"], o["dtype"], str(o["shape"])] for o in result["outputs"]])
    click.echo(f"{result['runtime']}: {result['elapsed_ns'] / 1e6:.1f} ms, written to {outputs}")
    return 0
