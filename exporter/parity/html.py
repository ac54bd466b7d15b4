"""report.html: one self-contained page with the verdict table, error histograms, reasons and versions.

No script and no outside resource, so that it opens from a disk, a CI artifact store or a mail. Every name is
escaped for HTML; light and dark follow the reader's system.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.model import Json
from exporter.outcome import CellResult, Mismatched, OutputComparison, Passed
from exporter.parity.compare import HISTOGRAM_DECADES
from exporter.parity.made_up import made_up_sentences
from exporter.parity.quantized import Price, blame, prices
from exporter.parity.report import Report, Row, cell_json, rows
from exporter.parity.scores import evaluation_sentence, score_columns
from exporter.text import human_bytes, human_seconds

if TYPE_CHECKING:
    from exporter.layerwise import Sensitivity

_STYLE = Path(__file__).with_name("report.css")


def _e(value: object) -> str:
    return html.escape(str(value), quote=True)


def _name(text: str) -> str:
    """A recipe or runtime: lines may break after its colons and commas, and not after its hyphens."""
    return "<wbr>".join(f'<span class="name">{_e(part)}</span>' for part in re.findall(r"[^:,]*[:,]|[^:,]+", text))


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
        *(f'<p class="dim">{_e(n)}</p>' for n in (*made_up_sentences(report.bundle), *report.bundle.notes)),
        _metrics(source.get("metrics", {})),
        "<h2>Verdict</h2>",
        '<p class="dim">error: largest |a−b| over the RMS of the output; needed: share of the allowed bound that was used '
        "(above 1 is a mismatch); dB: signal over error.</p>",
        _verdict_table(rows(report), report),
        *(f"<p>{_e(evaluation_sentence(e))}</p>" for e in (report.bundle.evaluation,) if e is not None),
        *_quantization(report),
        "<h2>Where the error lies</h2>",
        '<p class="dim">elements by decade of |a−b| / RMS, over all cases of a recipe in a runtime, by output; the left bar is exact equality.</p>',
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
    return _page(f"{source['name']}: {report.verdict}", parts)


def render_sensitivity(found: Sensitivity, source: str) -> str:
    """A page of its own for `exporter sensitivity`: what each layer gains in float, as bars, and what that costs."""
    most = max((abs(row.gain_db) for row in found.layers if math.isfinite(row.gain_db)), default=0.0) or 1.0
    body = []
    for row in found.layers:
        width = min(abs(row.gain_db) / most, 1.0) * 100
        bar = f'<div class="gain{" loss" if row.gain_db < 0 else ""}" style="width:{width:.1f}%"></div>'
        body.append(
            f'<tr><td><code>{_e(row.layer)}</code></td><td class="num">{row.sqnr_db:.1f}</td>'
            f'<td class="num">{row.gain_db:+.2f}</td><td class="wide-bar">{bar}</td><td class="num">{row.bytes:+,}</td>'
            f'<td class="num">{row.db_per_kb:+.3f}</td></tr>'
        )
    head = [("layer kept float", False), ("SQNR dB", True), ("gain dB", True), ("", False), ("bytes", True)]
    sizes = f"{human_bytes(found.bytes)}, in float {human_bytes(found.float_bytes)}"
    parts = [
        f"<h1>{_e(source)}</h1>",
        f'<p class="dim">{_e(found.recipe)}, everything quantized: {found.sqnr_db:.1f} dB SQNR, {_e(sizes)}</p>',
        '<p class="dim">gain: how much nearer the outputs are to the source when only this layer stays float.</p>',
        _table([*head, ("dB per kB", True)], body),
        f"<pre>{_e(found.command)}</pre>" if found.command else "<p>no layer gains anything in float</p>",
    ]
    return _page(f"{source}: sensitivity of {found.recipe}", parts)


def _page(title: str, parts: Iterable[str]) -> str:
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
    measured = score_columns(report.bundle.evaluation)
    body, previous = [], ""
    for row in table:
        first = row.recipe != previous
        previous = row.recipe
        body.append(
            f"<tr{' class=first' if first else ''}><td>{_name(row.recipe) if first else ''}</td>"
            f'<td class="num">{_e(sizes.get(row.recipe, "")) if first else ""}</td><td>{_name(row.runtime)}</td>'
            f'<td>{_tag(row.status)}</td><td class="num">{row.counts.get("passed", 0)}/{sum(row.counts.values())}</td>'
            f'<td class="num">{_number(row.max_rel, ".1e")}</td><td class="num">{_number(row.needed, ".2g")}</td>'
            f'<td class="num">{_number(row.sqnr_db, ".0f")}</td><td class="num">{row.elapsed_ns / 1e6:.0f}</td>'
            f"{''.join(f'<td class=num>{_e(text(row.scores))}</td>' for _, text in measured)}"
            f'<td class="why">{"<br>".join(_e(d) for d in row.detail)}</td></tr>'
        )
    head = [("recipe", False), ("size", True), ("runtime", False), ("verdict", False), ("passed", True)]
    head += [("error", True), ("needed", True), ("dB", True), ("ms", True)]
    head += [*((title, True) for title, _ in measured), ("notes", False)]
    return _table(head, body)


def _quantization(report: Report) -> Iterable[str]:
    found = prices(report)
    if not found:
        return
    yield "<h2>Quantization</h2>"
    yield (
        '<p class="dim">of float: size of the files over that of the float ones they were made from; dB: least signal '
        "over error on data, in the runtimes that compute what the file says, and what is asked for; top-1: rows with the same largest score, and the "
        "largest margin of a row that changed; KL: mean divergence of probabilities; steps: farthest runtime from the "
        "reference kernels; weights: farthest stored weight from the source's, in steps.</p>"
    )
    yield from (f'<p><span class="tag failed">blame</span> {_e(line)}</p>' for line in blame(report))
    calibration = report.bundle.source.get("calibration")
    if calibration:
        measured = ", ".join(f"{count} rows of {name}" for name, count in calibration["samples"].items())
        yield (
            f'<p class="dim">calibrated on {_e(measured)} from {_e(calibration["origin"])}, seed '
            f"{_e(calibration['seed'])}, sha256 <code>{_e(calibration['sha256'][:16])}</code></p>"
        )
    body = [
        f"<tr><td>{_name(price.recipe)}</td><td>{_e(price.maker)}</td>"
        f'<td class="num">{_e(human_bytes(price.bytes))}</td><td class="num">{price.share:.0%}</td>'
        f'<td class="num">{_number(price.noise_db, ".1f")} / {price.gate_db:g}</td>'
        f'<td class="num">{_number(price.top1, ".1%")}{_margin(price)}</td>'
        f'<td class="num">{_number(price.kl, ".1g")}</td><td class="num">{_number(price.steps, ".2g")}</td>'
        f'<td class="num">{_number(price.weights.worst if price.weights else None, ".2f")}</td>'
        f'<td class="why">{_e(price.stored)}{"<br>" + _e(price.remarks) if price.remarks else ""}</td></tr>'
        for price in found
    ]
    head = [("recipe", False), ("maker", False), ("size", True), ("of float", True), ("dB", True), ("top-1", True)]
    yield _table([*head, ("KL", True), ("steps", True), ("weights", True), ("stored as", False)], body)
    points = [(price.share, price.noise_db, price.recipe) for price in found if price.noise_db is not None]
    if points:
        yield f'<div class="card wide"><b>size against signal over error</b>{_scatter(points)}</div>'


def _margin(price: Price) -> str:
    return "" if price.flip_margin is None else f" ({price.flip_margin:.2g})"


def _scatter(points: Sequence[tuple[float, float, str]]) -> str:
    """Recipes by size (share of float, to the right) and SQNR (dB, upwards)."""
    width, height, left, below = 720, 260, 44, 34
    right = max(1.0, *(share for share, _, _ in points)) * 1.05
    top = max(10.0, *(db for _, db, _ in points if db < 200), 10.0) * 1.12

    def at(share: float, db: float) -> tuple[float, float]:
        return left + share / right * (width - left - 8), height - below - min(max(db, 0.0), top) / top * (
            height - below - 8
        )

    parts = []
    for tick in range(0, int(top) + 1, 10):
        _, y = at(0, tick)
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 3:.1f}" text-anchor="end">{tick} dB</text>')
    for percent in (0, 25, 50, 75, 100):
        x, _ = at(percent / 100, 0)
        parts.append(f'<text x="{x:.1f}" y="{height - below + 16}" text-anchor="middle">{percent} %</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">size of the float files</text>')
    taken: list[tuple[float, float]] = []
    for share, db, name in sorted(points, key=lambda point: (-point[1], point[0])):
        x, y = at(share, db)
        # labels step down where they would lie on one another
        label = y + 3
        while any(abs(label - other) < 11 and abs(x - place) < 190 for place, other in taken):
            label += 11
        taken.append((x, label))
        anchor, shift = ("end", -7) if x > width * 0.72 else ("start", 7)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{_e(name)}: {db:.1f} dB, {share:.0%}</title></circle>'
            f'<text class="name" x="{x + shift:.1f}" y="{label:.1f}" text-anchor="{anchor}">{_e(name)}</text>'
        )
    return f'<svg viewBox="0 0 {width} {height}" width="100%" role="img">{"".join(parts)}</svg>'


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
        counted: dict[str, list[Sequence[int]]] = {}
        for output in _compared(results):
            counted.setdefault(output.name, []).append(output.histogram)
        for name, histograms in counted.items():
            total = [sum(column) for column in zip(*histograms, strict=True)]
            where = f"{runtime}, {name}" if len(counted) > 1 else runtime
            yield f'<div class="card"><b>{_e(recipe)}</b> <span class="dim">{_e(where)}</span>{_bars(total)}</div>'


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
        f'<tr><td>{_name(a.recipe.id)}</td><td>{_tag(a.status)}</td><td class="num">{human_bytes(a.bytes) if a.bytes else ""}</td>'
        f'<td class="num">{human_seconds(a.seconds) if a.seconds else ""}</td>'
        f'<td class="why">{_e("; ".join([a.reason, *a.needs, *a.rewrites, *a.unavailable.values()]).strip("; "))}</td>'
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
