"""The plot: processor time per row, a panel per model, as SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from .results import BARE, FALLBACK, ONNX, SCAN, SQL, TRANSFORMER, Figures, Result

_WIDTH, _LABELS, _BAR, _HEAD, _FOOT, _VALUE = 900, 310, 20, 44, 34, 90
_OURS, _LIMIT, _OTHERS = "#1f6fb2", "#8a8f98", "#d98c3f"


def _colour(arm: str) -> str:
    if arm in (SQL, TRANSFORMER, ONNX, FALLBACK):
        return _OURS
    return _LIMIT if arm in (SCAN, BARE) else _OTHERS


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def svg(results: Sequence[Result]) -> str:
    """Bars on a logarithmic scale of microseconds, with the range of the rounds as a line."""
    parts: list[str] = []
    top = 0
    for result in results:
        drawn, height = _panel(result, top)
        parts += drawn
        top += height
    style = "font-family='sans-serif' font-size='13'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {top}' width='{_WIDTH}' {style}>"
    return "\n".join([head, f"<rect width='{_WIDTH}' height='{top}' fill='white'/>", *parts, "</svg>", ""])


def _panel(result: Result, top: int) -> tuple[list[str], int]:
    shown = result.common()
    low = 10 ** math.floor(math.log10(min(min(f.cpu) for f in shown)))
    high = 10 ** math.ceil(math.log10(max(max(f.cpu) for f in shown)))

    def x(value: float) -> float:
        return _LABELS + (_WIDTH - _LABELS - _VALUE) * math.log(value / low) / math.log(high / low)

    bottom = top + _HEAD + _BAR * len(shown)
    parts = [_text(12, top + 26, result.title, "start", weight="bold")]
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = x(10.0**power)
        parts.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{top + _HEAD - 4}' y2='{bottom}' stroke='#dddddd'/>")
        parts.append(_text(at, bottom + 16, f"{10.0**power:g} µs", "middle", colour="#666666"))
    for i, figures in enumerate(shown):
        parts += _bar(figures, x, low, top + _HEAD + i * _BAR)
    return parts, _HEAD + _BAR * len(shown) + _FOOT


def _bar(figures: Figures, x: Callable[[float], float], low: float, y: int) -> list[str]:
    median = statistics.median(figures.cpu)
    middle = y + _BAR / 2
    return [
        _text(_LABELS - 8, middle + 4, figures.arm.replace("`", ""), "end"),
        f"<rect x='{x(low):.1f}' y='{y + 3}' width='{x(median) - x(low):.1f}' height='{_BAR - 6}' "
        f"fill='{_colour(figures.arm)}'/>",
        f"<line x1='{x(min(figures.cpu)):.1f}' x2='{x(max(figures.cpu)):.1f}' y1='{middle}' y2='{middle}' "
        "stroke='black' stroke-width='1.5'/>",
        _text(x(max(figures.cpu)) + 6, middle + 4, number(median), "start"),
    ]


def _text(x: float, y: float, text: str, anchor: str, *, weight: str = "normal", colour: str = "black") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-weight='{weight}' fill='{colour}'>"
        f"{escape(text)}</text>"
    )
