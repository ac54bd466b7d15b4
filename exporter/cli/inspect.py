"""exporter inspect PATH"""

from __future__ import annotations

from pathlib import Path

import click

from exporter.cli import _options as options
from exporter.cli import _output as output


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path))
@options.timeout_option
@options.json_option
@options.quiet_option
def command(path: Path, timeout: float | None, as_json: bool, quiet: bool) -> int:
    """Show signatures, ops, dtypes, sizes and quantization of an artifact or bundle at PATH."""
    from exporter import api
    from exporter.text import human_bytes

    with output.progress(quiet=quiet) as show:
        facts = api.inspect(path, timeout=timeout, progress=show)
    if as_json:
        output.print_json(facts)
        return 0
    click.echo(f"{path}: {facts['title']}, {human_bytes(facts['bytes'])}")
    for key, value in facts.get("facts", {}).items():
        click.echo(f"  {key}: {value}")
    for signature in facts["signatures"]:
        click.echo(f"signature {signature['name']}")
        numbered = facts["positional"]
        rows = [
            [
                f"{side[:-1]} {i}" if numbered else side[:-1],
                s["name"],
                s["dtype"],
                "?" if s["shape"] is None else str(s["shape"]).replace("None", "?"),
            ]
            for side in ("inputs", "outputs")
            for i, s in enumerate(signature[side])
        ]
        output.table(["", "name", "dtype", "shape"], rows)
    if facts.get("ops"):
        ops = sorted(facts["ops"].items(), key=lambda item: (-item[1], item[0]))
        click.echo(f"ops: {', '.join(f'{n} {op}' for op, n in ops)}")
    if facts.get("dtypes"):
        click.echo(f"weights: {', '.join(f'{dtype} {human_bytes(size)}' for dtype, size in facts['dtypes'].items())}")
    for tensor in facts.get("quantization", []):
        click.echo(f"quantized: {tensor['name']} {tensor['dtype']} scales {tensor['scales']} axis {tensor['axis']}")
    return 0
