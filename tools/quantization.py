"""Regenerate the tables of docs/quantization.md: every reference model in every quantized recipe, by both makers.

usage: python tools/quantization.py [DIRECTORY]     DIRECTORY: where bundles and figures are kept; default: a new one

A model whose figures are in DIRECTORY already is not converted again. Takes some ten minutes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))
PAGE = TOP / "docs" / "quantization.md"
RUNTIMES = ("litert", "litert-no-delegate", "onnxruntime")
MAKERS = ("tflite-float16", "tflite-dynamic", "tflite-int8", "tflite-int16x8")
# rows of own data, where more would keep the machine busy for minutes
SAMPLES = {"imdb-bilstm": 4, "mobilenet-v2": 4}
Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]  # model -> recipe -> facts


def recipes() -> list[str]:
    """The quantized recipes in their default variants."""
    from exporter.formats.registry import quantized_formats

    return quantized_formats()


def measure(name: str, directory: Path) -> dict[str, dict[str, Any]]:
    """Convert one model; recipe -> what the tables say of it."""
    from exporter import api
    from exporter.convert_options import ConvertOptions
    from exporter.parity.cases import CaseOptions
    from exporter.parity.quantized import prices

    to = [*recipes(), *(f"{recipe}:maker=tensorflow" for recipe in MAKERS)]
    options = ConvertOptions(cases=CaseOptions(samples=SAMPLES.get(name, 16)))
    bundle = api.convert(name, directory / name, to=to, options=options, runtime=RUNTIMES, progress=print)
    assert bundle.report is not None
    price = {p.recipe: p for p in prices(bundle.report)}
    found: dict[str, dict[str, Any]] = {}
    for artifact in bundle.artifacts:
        recipe = artifact.recipe.id
        outcomes = [r for r in bundle.report.results.values() if r.cell.recipe == recipe]
        red = [r for r in outcomes if type(r.outcome).__name__ in ("Mismatched", "Failed")]
        known = price.get(recipe)
        found[recipe] = {
            "status": "red" if red and artifact.status == "written" else artifact.status,
            "reason": artifact.reason or (str(getattr(red[0].outcome, "comparison", red[0].outcome)) if red else ""),
            "bytes": artifact.bytes,
            "seconds": artifact.seconds,
            "rewrites": list(artifact.rewrites),
            **(
                {}
                if known is None
                else {"share": known.share, "db": known.noise_db, "top1": known.top1, "left": known.left}
            ),
        }
    return found


def recipe_table() -> str:
    """Recipes, what they are, and their options with the defaults."""
    from exporter.formats.registry import format_named

    lines = ["| recipe | what it is | options |", "|---|---|---|"]
    for name in recipes():
        found = format_named(name)
        options = ", ".join(f"`{key}={option.default}`" for key, option in found.options.items())
        lines.append(f"| `{name}` | {found.title} | {options} |")
    return "\n".join(lines)


def gate_table() -> str:
    """The gates of quality.toml."""
    from exporter.parity.quality import rows

    lines = ["| recipe | SQNR | own weights | reference kernels | why |", "|---|--:|---|---|---|"]
    for row in rows():
        own = f"≥ {row.own_db:g} dB" if row.own_db is not None else (row.own.text if row.own else "")
        kernels = f"{row.kernel_steps:g} steps or {row.kernel_db:g} dB" if row.kernel_steps is not None else ""
        lines.append(f"| `{row.recipe}` | ≥ {row.sqnr_db:g} dB | {own} | {kernels} | {row.why} |")
    return "\n".join(lines)


def result_table(figures: Figures) -> str:
    """Every model and recipe: size, loss, agreement, time."""
    from exporter.text import human_bytes

    head = ["model", "recipe", "size", "of float", "SQNR dB", "top-1", "written in s", "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|--:|--:|--:|--:|--:|---|"]
    for model, found in figures.items():
        for recipe in recipes():
            facts = found[recipe]
            written = facts["status"] == "written"
            cells = [
                model,
                f"`{recipe}`",
                human_bytes(facts["bytes"]) if written else "",
                f"{facts['share']:.0%}" if written else "",
                _number(facts.get("db"), ".1f"),
                _number(facts.get("top1"), ".1%"),
                f"{facts['seconds']:.1f}" if written else "",
                "passed" if written else facts["status"],
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def maker_table(figures: Figures) -> str:
    """dB and seconds of ai-edge-quantizer and of TensorFlow's converter."""
    lines = [
        "| model | " + " | ".join(f"`{recipe.removeprefix('tflite-')}`" for recipe in MAKERS) + " |",
        "|---|" + "---|" * len(MAKERS),
    ]
    for model, found in figures.items():
        cells = []
        for recipe in MAKERS:
            both = [found[name] for name in (recipe, f"{recipe}:maker=tensorflow")]
            decibels = " / ".join(_number(f.get("db"), ".1f") or f["status"] for f in both)
            seconds = " / ".join(f"{f['seconds']:.1f}" if f["status"] == "written" else "–" for f in both)
            cells.append(f"{decibels} dB, {seconds} s")
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def reasons(figures: Figures, chosen: Iterable[str]) -> str:
    """Why a cell is not written: one line per reason."""
    lines: dict[str, list[str]] = {}
    wanted: Sequence[str] = tuple(chosen)
    for model, found in figures.items():
        for recipe, facts in found.items():
            if facts["status"] != "written" and recipe in wanted:
                lines.setdefault(facts["reason"].splitlines()[0], []).append(f"{model} `{recipe}`")
    return "\n".join(f"- {', '.join(where)}: {reason}" for reason, where in lines.items()) or "None."


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def blocks(figures: Figures) -> dict[str, str]:
    """Marker -> its content."""
    return {
        "recipes": recipe_table(),
        "gates": gate_table(),
        "results": result_table(figures),
        "refused": reasons(figures, recipes()),
        "makers": maker_table(figures),
        "makers refused": reasons(figures, [f"{recipe}:maker=tensorflow" for recipe in MAKERS]),
    }


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
    for name, content in blocks(figures).items():
        text = readme.replace(text, name, content)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
