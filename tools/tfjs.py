"""Regenerate the tables of docs/tfjs.md: options of recipes, kernels of wasm, and what quantized weights cost.

usage: python tools/tfjs.py [DIRECTORY]     DIRECTORY: where bundles and figures are kept; default: a new one

A model whose figures are in DIRECTORY already is not converted again. Takes some five minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))
PAGE = TOP / "docs" / "tfjs.md"
RUNTIME = "tfjs-node-wasm"
Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]  # model -> recipe -> facts


def recipes() -> list[str]:
    """The quantized recipes of TF.js, one dtype for all weights."""
    from exporter.formats.registry import quantized_recipes

    return [recipe.id for recipe in quantized_recipes() if recipe.format.startswith("tfjs")]


def measure(name: str, directory: Path) -> dict[str, dict[str, Any]]:
    """Convert one model; recipe -> what the table says of it."""
    from exporter import api
    from exporter.parity.quantized import prices

    bundle = api.convert(name, directory / name, to=recipes(), runtime=[RUNTIME], progress=print)
    assert bundle.report is not None
    counts = bundle.report.counts
    assert counts["mismatched"] == counts["failed"] == 0, counts  # refused by tfjs-layers is what some models are
    found = {p.recipe: {"share": p.share, "db": p.noise_db, "top1": p.top1} for p in prices(bundle.report)}
    return {a.recipe.id: {"bytes": a.bytes, **found[a.recipe.id]} for a in bundle.artifacts if a.status == "written"}


def option_table() -> str:
    """The options of graphs, which are those of both formats and one more, with their defaults."""
    from exporter.formats.registry import format_named

    lines = ["| option | default | what it is |", "|---|---|---|"]
    for name, option in format_named("tfjs-graph").options.items():
        lines.append(f"| `{name}` | `{option.default}` | {option.help} |")
    return "\n".join(lines)


def kernel_table() -> str:
    """What our module of wasm kernels has the cpu backend compute, and why."""
    from exporter import resources
    from exporter.formats._tfjs_kernels import BEYOND_MODULE, LACKING
    from exporter.runtimes._node import node

    script = "import('./src/wasm-kernels/borrowed.mjs').then(({WRONG}) => console.log(JSON.stringify(WRONG)))"
    command = [node(), "-e", script]
    done = subprocess.run(command, cwd=resources.js_sources(), capture_output=True, text=True, check=True)
    lacking = sorted(LACKING["wasm"] - BEYOND_MODULE - {"Einsum"})
    rows = [(name, facts["why"]) for name, facts in sorted(json.loads(done.stdout).items())]
    rows += [(name, "is missing") for name in lacking]
    return "\n".join(["| kernel | the backend's own |", "|---|---|", *(f"| `{name}` | {why} |" for name, why in rows)])


def result_table(figures: Figures) -> str:
    """Every model and recipe: size, loss, agreement."""
    from exporter.text import human_bytes

    lines = ["| model | recipe | size | of float | SQNR dB | top-1 |", "|---|---|--:|--:|--:|--:|"]
    for model, found in figures.items():
        for recipe, facts in found.items():
            top1 = "" if facts["top1"] is None else f"{facts['top1']:.1%}"
            size, share = human_bytes(facts["bytes"]), f"{facts['share']:.0%}"
            lines.append(f"| {model} | `{recipe}` | {size} | {share} | {facts['db']:.1f} | {top1} |")
    return "\n".join(lines)


def main() -> None:
    import readme

    from exporter import reference

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        figures = {}
        for name in reference.names():
            file = directory / f"{name}.json"
            if not file.exists():
                file.write_text(json.dumps(measure(name, directory)))
            figures[name] = json.loads(file.read_text())
    text = PAGE.read_text()
    tables = {"options": option_table(), "kernels": kernel_table(), "results": result_table(figures)}
    for name, content in tables.items():
        text = readme.replace(text, name, content)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
