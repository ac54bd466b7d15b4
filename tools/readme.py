"""Regenerate what README.md and docs/ state as measured or listed: the tables between `generated` markers, docs/cli.md.

usage: python tools/readme.py [BUNDLES]     BUNDLES: a directory of bundles by model name; default: convert them all
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
Reports = Mapping[str, Mapping[str, Any]]


def grouped(report: Mapping[str, Any]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """(recipe, runtime) -> cells, in the report's order."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in report["cells"]:
        groups.setdefault((cell["recipe"], cell["runtime"]), []).append(cell)
    return groups


def verdict_table(report: Mapping[str, Any]) -> str:
    """One model's verdict as Markdown."""
    from exporter.text import human_bytes

    sizes = {a["recipe"]: human_bytes(a["bytes"]) for a in report["artifacts"]}
    lines = ["| recipe | size | runtime | verdict | cells | error | needed |", "|---|--:|---|---|--:|--:|--:|"]
    previous = ""
    for (recipe, runtime), cells in grouped(report).items():
        outputs = [o for c in cells for o in c["outputs"].values()]
        passed = sum(c["outcome"] == "passed" for c in cells)
        states = sorted({c["outcome"] for c in cells})
        shown = recipe if recipe != previous else ""
        size = sizes[recipe] if shown else ""
        error = f"{max(o['max_rel'] for o in outputs):.1e}" if outputs else ""
        needed = f"{max(o['needed'] for o in outputs):.2g}" if outputs else ""
        verdict = ", ".join(states)
        lines.append(f"| {shown} | {size} | {runtime} | {verdict} | {passed}/{len(cells)} | {error} | {needed} |")
        previous = recipe
    return "\n".join(lines)


def matrix(reports: Reports) -> str:
    """Recipe and runtime by model: passed cells of planned ones, or a dash."""
    names = list(reports)
    lines = ["| recipe | runtime | " + " | ".join(names) + " |", "|---|---|" + "--:|" * len(names)]
    keys = dict.fromkeys(k for r in reports.values() for k in grouped(r))
    for recipe, runtime in keys:
        row = []
        for name in names:
            cells = grouped(reports[name]).get((recipe, runtime), [])
            passed = sum(c["outcome"] == "passed" for c in cells)
            row.append(f"{passed}/{len(cells)}" if passed else "–")
        lines.append(f"| {recipe} | {runtime} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def agreement(reports: Reports) -> str:
    """Recipe and runtime: in how many models every output is the reference's bit for bit, and the largest error."""
    lines = ["| recipe | runtime | models | bit-exact | largest error | in |", "|---|---|--:|--:|--:|---|"]
    for recipe, runtime in dict.fromkeys(k for r in reports.values() for k in grouped(r)):
        errors = {
            name: [o["max_rel"] for c in grouped(report).get((recipe, runtime), []) for o in c["outputs"].values()]
            for name, report in reports.items()
        }
        worst = {name: max(found) for name, found in errors.items() if found}
        exact = sum(error == 0 for error in worst.values())
        where = max(worst, key=lambda name: worst[name])
        largest = f"{worst[where]:.1e}" if worst[where] else "0"
        lines.append(f"| {recipe} | {runtime} | {len(worst)} | {exact} | {largest} | {where if worst[where] else ''} |")
    return "\n".join(lines)


def reasons(reports: Reports) -> str:
    """Why cells are not passed: one line per model, recipe and reason."""
    lines: dict[str, list[str]] = {}
    for name, report in reports.items():
        for cell in report["cells"]:
            if cell["outcome"] != "passed":
                where = lines.setdefault(f"{name}, {cell['recipe']}: {cell['reason']}", [])
                if cell["runtime"] not in where:
                    where.append(cell["runtime"])
    return "\n".join(f"- {text}" for text in lines)


def cli_reference() -> str:
    """docs/cli.md: the help text of every command."""
    from click.testing import CliRunner

    from exporter.cli import COMMANDS, group

    parts = ["# Command line\n\nGenerated from `--help` by `make readme`.\n"]
    for name in ("", *COMMANDS):
        arguments = [name, "--help"] if name else ["--help"]
        text = CliRunner().invoke(group, arguments, prog_name="exporter", terminal_width=110).output.rstrip()
        parts.append(f"## exporter {name}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def replace(text: str, name: str, content: str) -> str:
    """`text` with the block of one marker replaced."""
    pattern = re.compile(rf"(<!-- begin generated: {re.escape(name)} -->\n).*?(<!-- end generated -->)", re.S)
    replaced, count = pattern.subn(lambda m: f"{m[1]}{content}\n{m[2]}", text)
    if count != 1:
        raise ValueError(f"README.md has {count} blocks {name!r}, expected 1")
    return replaced


def blocks(reports: Reports) -> dict[str, Callable[[], str]]:
    """Marker -> its content."""
    return {
        "verdict digits-cnn": lambda: verdict_table(reports["digits-cnn"]),
        "matrix": lambda: matrix(reports),
        "agreement": lambda: agreement(reports),
        "reasons": lambda: reasons(reports),
    }


def main() -> None:
    from exporter import reference

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        reports = {}
        for name in reference.names():
            file = directory / name / "report.json"
            if not file.exists():
                command = [sys.executable, "-m", "exporter", "convert", name, "-o", str(directory / name)]
                subprocess.run([*command, "--require", "all"], check=True)
            reports[name] = json.loads(file.read_text())
    text = (TOP / "README.md").read_text()
    for name, content in blocks(reports).items():
        text = replace(text, name, content())
    (TOP / "README.md").write_text(text)
    (TOP / "docs" / "cli.md").write_text(cli_reference())


if __name__ == "__main__":
    main()
