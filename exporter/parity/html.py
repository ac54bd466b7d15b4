"""report.html: one self-contained page with the verdict table, error histograms, reasons and versions.

No script and no outside resource, so that it opens from a disk, a CI artifact store or a mail. Every name is
escaped for HTML; light and dark follow the reader's system.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from exporter.model import Json
from exporter.outcome import CellResult, Mismatched, OutputComparison, Passed
from exporter.parity.compare import HISTOGRAM_DECADES
from exporter.parity.report import Report, Row, cell_json, rows
from exporter.text import human_bytes, human_seconds

_STYLE = Path(__file__).with_name("report.css")


def _e(value: object) -> str:
    return html.escape(str(value), quote=True)


def _tag(word: str) -> str:
    return f'<span class="tag {_e(word)}">{_e(word)}</span>'


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def render(report: Report) -> str:
    """The whole page as one HTML document."""
    source = report.bundle.source
    counts = ", ".join(f"{n} {name}" for name, n in report.counts.items() if n)
    reasons = [*report.problems, *(f"missing: {m}" for m in report.missing)]
    reasons += [f"{u} was written and every runtime for it is missing" for u in report.unconfirmed]
    parts = [
        f"<h1>{_e(source['name'])}</h1>",
        f'<p class="dim">converted from <code>{_e(source["text"])}</code></p>',
        f'<div class="verdict {_e(report.verdict)}">{_e(report.verdict)}: {len(report.planned)} cells, {_e(counts)}</div>',
        *(f'<p><span class="tag failed">why</span> {_e(r)}</p>' for r in reasons),
        *(f'<p class="dim">{_e(n)}</p>' for n in report.bundle.notes),
        _metrics(source.get("metrics", {})),
        "<h2>Verdict</h2>",
        '<p class="dim">error: largest |a−b| over the RMS of the output; needed: share of the allowed bound that was used '
        "(above 1 is a mismatch); dB: signal over error.</p>",
        _verdict_table(rows(report), report),
        "<h2>Where the error lies</h2>",
        '<p class="dim">elements by decade of |a−b| / RMS, over all cases of a recipe in a runtime; the left bar is exact equality.</p>',
        f'<div class="grid">{"".join(_histograms(report))}</div>',
        "<h2>Artifacts</h2>",
        _artifacts(report),
        "<h2>Signatures</h2>",
        _signatures(report),
        "<h2>Cells</h2>",
        *_cells(report),
        "<h2>Environment</h2>",
        _environment(report),
    ]
    title = f"{source['name']}: {report.verdict}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_e(title)}</title><style>{_STYLE.read_text()}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _table(head: Sequence[tuple[str, bool]], body: Iterable[str]) -> str:
    cells = "".join(f'<th class="num">{_e(t)}</th>' if number else f"<th>{_e(t)}</th>" for t, number in head)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _metrics(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return ""
    return f"<p>trained to {_e(', '.join(f'{k} {v:.4g}' for k, v in metrics.items()))}</p>"


def _verdict_table(table: Sequence[Row], report: Report) -> str:
    sizes = {a.recipe.id: human_bytes(a.bytes) if a.status == "written" else "" for a in report.bundle.artifacts}
    body, previous = [], ""
    for row in table:
        first = row.recipe != previous
        previous = row.recipe
        body.append(
            f"<tr{' class=first' if first else ''}><td>{_e(row.recipe) if first else ''}</td>"
            f'<td class="num">{_e(sizes.get(row.recipe, "")) if first else ""}</td><td>{_e(row.runtime)}</td>'
            f'<td>{_tag(row.status)}</td><td class="num">{row.counts.get("passed", 0)}/{sum(row.counts.values())}</td>'
            f'<td class="num">{_number(row.max_rel, ".1e")}</td><td class="num">{_number(row.needed, ".2g")}</td>'
            f'<td class="num">{_number(row.sqnr_db, ".0f")}</td><td class="num">{row.elapsed_ns / 1e6:.0f}</td>'
            f'<td class="why">{"<br>".join(_e(d) for d in row.detail)}</td></tr>'
        )
    head = [("recipe", False), ("size", True), ("runtime", False), ("verdict", False), ("passed", True)]
    head += [("error", True), ("needed", True), ("dB", True), ("ms", True), ("notes", False)]
    return _table(head, body)


def _compared(results: Iterable[CellResult]) -> Iterable[OutputComparison]:
    for result in results:
        if isinstance(result.outcome, Passed | Mismatched):
            yield from result.outcome.comparison.outputs


def _histograms(report: Report) -> Iterable[str]:
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in report.planned:
        if cell in report.results:
            groups.setdefault((cell.recipe, cell.runtime), []).append(report.results[cell])
    for (recipe, runtime), results in groups.items():
        counted = [o.histogram for o in _compared(results)]
        if counted:
            total = [sum(column) for column in zip(*counted, strict=True)]
            yield f'<div class="card"><b>{_e(recipe)}</b> <span class="dim">{_e(runtime)}</span>{_bars(total)}</div>'


def _bars(counts: Sequence[int]) -> str:
    """A bar chart of the histogram: share of elements per decade, square-root scaled so that rare bins show."""
    labels = ["0", f"<1e{HISTOGRAM_DECADES[0]}", *(f"1e{d}" for d in HISTOGRAM_DECADES)]
    total, width, height = sum(counts) or 1, 19, 56
    bars = []
    for i, (count, label) in enumerate(zip(counts, labels, strict=True)):
        size = (count / total) ** 0.5 * height
        size = max(size, 2) if count else 0
        bars.append(
            f'<rect x="{i * width + 2}" y="{height - size:.1f}" width="{width - 4}" height="{size:.1f}">'
            f"<title>{_e(label)}: {count} of {total}</title></rect>"
        )
        if i in (0, 2, 5, 8, 11):
            bars.append(f'<text x="{i * width + width / 2}" y="{height + 12}" text-anchor="middle">{_e(label)}</text>')
    return f'<svg viewBox="0 0 {width * len(counts)} {height + 16}" width="100%" role="img">{"".join(bars)}</svg>'


def _artifacts(report: Report) -> str:
    body = [
        f'<tr><td>{_e(a.recipe.id)}</td><td>{_tag(a.status)}</td><td class="num">{human_bytes(a.bytes) if a.bytes else ""}</td>'
        f'<td class="num">{human_seconds(a.seconds) if a.seconds else ""}</td>'
        f'<td class="why">{_e("; ".join([a.reason, *a.rewrites, *a.unavailable.values()]).strip("; "))}</td>'
        f'<td class="why">{_e(", ".join(f"{k} {v}" for k, v in a.versions.items()))}</td></tr>'
        for a in report.bundle.artifacts
    ]
    return _table(
        [("recipe", False), ("status", False), ("size", True), ("time", True), ("notes", False), ("writers", False)],
        body,
    )


def _signatures(report: Report) -> str:
    body = []
    for signature in report.bundle.signatures:
        for side, specs in (("input", signature.inputs), ("output", signature.outputs)):
            for spec in specs:
                shape = "unknown rank" if spec.shape is None else [("?" if d is None else d) for d in spec.shape]
                body.append(
                    f"<tr><td>{_e(signature.name)}</td><td>{side}</td><td><code>{_e(spec.name)}</code></td>"
                    f"<td>{_e(spec.dtype)}</td><td><code>{_e(str(shape).replace(chr(39), ''))}</code></td></tr>"
                )
    return _table([("signature", False), ("", False), ("name", False), ("dtype", False), ("shape", False)], body)


def _cells(report: Report) -> Iterable[str]:
    groups: dict[str, list[CellResult]] = {}
    for cell in report.planned:
        if cell in report.results:
            groups.setdefault(f"{cell.recipe} in {cell.runtime}", []).append(report.results[cell])
    for name, results in groups.items():
        body = [_cell(r) for r in results]
        red = any(not isinstance(r.outcome, Passed) for r in results)
        head = [("case", False), ("outcome", False), ("output", False), ("max abs", True), ("error", True)]
        head += [("needed", True), ("allowed", False), ("dB", True), ("top-1", True), ("notes", False)]
        yield f"<details{' open' if red else ''}><summary>{_e(name)}</summary>{_table(head, body)}</details>"


def _cell(result: CellResult) -> str:
    data = cell_json(result)
    name = (
        result.cell.case
        if result.cell.signature == "serving_default"
        else f"{result.cell.signature}/{result.cell.case}"
    )
    start = f"<td>{_e(name)}</td><td>{_tag(data['outcome'])}</td>"
    notes = "; ".join(filter(None, [data["reason"], *data["notes"]]))
    log = f"<pre>{_e(data['log'])}</pre>" if data.get("log") else ""
    if not isinstance(result.outcome, Passed | Mismatched) or not result.outcome.comparison.outputs:
        return f'<tr>{start}<td></td><td></td><td></td><td></td><td></td><td></td><td></td><td class="why">{_e(notes)}{log}</td></tr>'
    lines = []
    for output in result.outcome.comparison.outputs:
        top1 = "" if output.top1 is None else f"{output.top1:.0%} of {output.top1_rows}"
        lines.append(
            f'<tr>{start}<td><code>{_e(output.name)}</code></td><td class="num">{output.max_abs:.2e}</td>'
            f'<td class="num">{output.max_rel:.1e}</td><td class="num">{output.needed:.2g}</td><td>{_e(output.allowed)}</td>'
            f'<td class="num">{output.sqnr_db:.0f}</td><td class="num">{_e(top1)}</td><td class="why">{_e(notes)}</td></tr>'
        )
        start, notes = "<td></td><td></td>", ""
    return "".join(lines)


def _environment(report: Report) -> str:
    environment = report.environment
    facts: list[tuple[str, str]] = [
        ("exporter", environment["exporter"]),
        ("time", environment["time"]),
        ("platform", environment["platform"]),
        ("CPU", environment["cpu"]["name"]),
        ("reference", _pairs(report.bundle.reference["versions"])),
        ("source sha256", report.bundle.source.get("digest", "")),
    ]
    for name, runtime in environment["runtimes"].items():
        facts.append((name, _pairs(runtime.get("versions", {})) or f"{runtime['status']}: {runtime.get('reason', '')}"))
    return _table([("", False), ("", False)], (f"<tr><td>{_e(k)}</td><td>{_e(v)}</td></tr>" for k, v in facts))


def _pairs(versions: Json) -> str:
    return ", ".join(f"{k} {v}" for k, v in versions.items())
