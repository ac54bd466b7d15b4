"""What commands print: progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from exporter.bundle import Bundle
    from exporter.parity.report import Report

_WIDE = 92  # columns that the whole verdict table takes with the longest names there are
_NUMERIC = (
    *("error", "dB", "needed", "ms", "size", "cells", "params"),
    *("of float", "SQNR dB", "asked dB", "top-1", "weights"),
    *("bytes", "gain dB", "dB per kB"),
)
_STYLES = {
    "passed": "green",
    "partial": "yellow",
    "mismatched": "bold red",
    "failed": "bold red",
    "unsupported": "yellow",
    "not-run": "yellow",
}


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=1, allow_nan=False))


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A function that shows what is going on: a spinner on a terminal, nothing but milestones elsewhere."""
    if quiet:
        yield lambda message: None
        return
    if not sys.stderr.isatty():
        yield lambda message: None if message.startswith("verified") else click.echo(message, err=True)
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:

        def show(message: str) -> None:
            if not message.startswith(
                ("verified", "writing", "opening", "computing", "running", "reading", "starting")
            ):
                console.print(message, highlight=False, markup=False)
            from rich.markup import escape

            status.update(escape(message))

        yield show


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table that also reads well in a file."""
    from rich.text import Text

    made = _table(columns)
    for row in rows:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    print_table(made)


def _table(columns: Sequence[str], figures: Collection[str] = ()) -> Table:
    """A table without rows; `figures` are columns of numbers besides those that always are."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        numeric = column in (*_NUMERIC, *figures)
        made.add_column(
            column,
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=column in ("runtime", "verdict") or numeric,
        )
    return made


def _console() -> Console:
    from rich.console import Console

    # a pipe has no width; a table folded at 80 columns would be unreadable there
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def print_table(made: Table) -> None:
    _console().print(made)


def print_verdict(report: Report, html: Path | None) -> None:
    """The verdict table, the reasons for what is not passed, the summary line, and where the report is."""
    from rich.text import Text

    from exporter.parity.made_up import made_up_sentences
    from exporter.parity.plan import NO_RUNTIME
    from exporter.parity.report import rows
    from exporter.parity.scores import evaluation_sentence, score_columns
    from exporter.text import human_bytes

    sizes = {a.recipe.id: human_bytes(a.bytes) for a in report.bundle.artifacts if a.status == "written"}
    columns = ["recipe", "size", "runtime", "verdict", "cells", "error", "needed", "ms"]
    measured = score_columns(report.bundle.evaluation)
    titles = [title for title, _ in measured]
    if _console().width < _WIDE + sum(2 + max(6, len(title)) for title in titles):
        columns = [c for c in columns if c not in ("size", "ms")]
    made = _table([*columns, *titles], titles)
    notes: dict[str, list[str]] = {}
    previous = ""
    for row in rows(report):
        first = row.recipe if row.recipe != previous else ""
        previous = row.recipe
        passed = row.counts.get("passed", 0)
        cells: dict[str, str | Text] = {
            "recipe": first,
            "size": sizes.get(row.recipe, "") if first else "",
            "runtime": row.runtime,
            "verdict": Text(row.status, style=_STYLES[row.status]),
            "cells": f"{passed}/{sum(row.counts.values())}",
            "error": "" if row.max_rel is None else f"{row.max_rel:.1e}",
            "needed": "" if row.needed is None else f"{row.needed:.2g}",
            "ms": f"{row.elapsed_ns / 1e6:.0f}" if row.elapsed_ns else "",
        }
        made.add_row(*(cells[c] for c in columns), *(text(row.scores) for _, text in measured))
        for line in row.detail:
            notes.setdefault(f"{row.recipe}: {line}", []).append(row.runtime)
    print_table(made)
    console = _console()
    for text, where in notes.items():
        recipe, _, reason = text.partition(": ")
        place = recipe if len(where) > 1 or where == [NO_RUNTIME] else f"{recipe} in {where[0]}"
        console.print(Text(f"  {place}: {reason}"))
    if report.bundle.evaluation is not None:
        console.print(Text(f"  {evaluation_sentence(report.bundle.evaluation)}"))
    for note in (*made_up_sentences(report.bundle), *report.bundle.notes):
        console.print(Text(f"  {note}"))
    _print_prices(report)
    console.print(Text(summary_line(report), style="bold green" if report.exit_status == 0 else "bold red"))
    for artifact in report.bundle.artifacts:
        for need in artifact.needs:
            console.print(Text(f"  {artifact.recipe.id}: {need}", style="yellow"))
    for problem in report.problems:
        console.print(Text(f"  {problem if len(problem) <= 150 else problem[:149] + '…'}", style="red"))
    legend = "columns: error, largest |a-b| over the output's RMS; needed, share of the allowed bound"
    if measured:
        legend += "; drop, how much worse than the source"
    console.print(Text(legend, style="dim"))
    if html is not None:
        console.print(Text(f"report: {html}", style="dim"))


def _print_prices(report: Report) -> None:
    """What quantization cost, and who is to blame."""
    from rich.text import Text

    from exporter.parity.quantized import blame, prices

    found = prices(report)
    if not found:
        return
    console = _console()
    console.print()
    rows = [
        [
            price.recipe,
            price.maker,
            f"{price.share:.0%}",
            "" if price.noise_db is None else f"{price.noise_db:.1f}",
            f"{price.gate_db:g}",
            "" if price.top1 is None else f"{price.top1:.1%}",
            "" if price.weights is None else f"{price.weights.worst:.2f}",
            price.remarks,
        ]
        for price in found
    ]
    console.print(Text("what quantization cost; weights: the farthest stored weight, in its steps", style="dim"))
    table(["quantized", "maker", "of float", "SQNR dB", "asked dB", "top-1", "weights", "stayed float"], rows)
    for line in blame(report):
        console.print(Text(f"  {line}", style="red"))


def summary_line(report: Report) -> str:
    """One line with every count."""
    counts = ", ".join(f"{n} {name}" for name, n in report.counts.items() if n)
    refused = [a.recipe.id for a in report.bundle.artifacts if a.status == "refused"]
    parts = [f"{report.verdict.upper()}: {len(report.planned)} cells ({counts or 'none'})"]
    if refused:
        parts.append(f"refused: {', '.join(refused)}")
    if report.needing_code:
        parts.append(f"not reloaded without --custom: {', '.join(report.needing_code)}")
    if report.missing:
        parts.append(f"missing: {', '.join(report.missing)}")
    if report.unconfirmed:
        parts.append(f"written but not run: {', '.join(report.unconfirmed)}")
    return "; ".join(parts)


def print_bundle(bundle: Bundle) -> None:
    """What was written, when nothing was run."""
    from exporter.text import human_bytes, human_seconds

    table(
        ["recipe", "status", "size", "time", "note"],
        [
            [
                a.recipe.id,
                a.status,
                human_bytes(a.bytes) if a.bytes else "",
                human_seconds(a.seconds) if a.seconds else "",
                a.reason or "; ".join([*a.needs, *a.rewrites]),
            ]
            for a in bundle.artifacts
        ],
    )
