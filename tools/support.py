"""Regenerate docs/support.md: every layer of Keras in every format, from the grid in tests/parity/grid.

usage: python tools/support.py [ROW...]   measure the rows (default: all, some ten minutes), then write the page
       python tools/support.py --page     write the page from what is expected, without measuring
       python tools/support.py --from FILE [ROW...]   as the first, continuing what an interrupted run left in FILE

What formats refuse and rewrite goes to tests/parity/grid/expected.json. What is wrong or fails is not accepted from a
run: it is listed, and has to be fixed, refused or explained in tests/parity/grid/known.toml. Nor is it accepted that
a format refuses what it carried before, unless tests/parity/grid/falls.toml names the model with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))
GRID = TOP / "tests" / "parity" / "grid"
PAGE = TOP / "docs" / "support.md"
# best first; a cell of several models names them in this order
KINDS = ("exact", "rewritten", "unsupported", "refused", "failed", "wrong", "not-run")
Cells = Mapping[str, Mapping[str, tuple[str, str]]]  # row -> format -> kind and words


def _load(name: str) -> Any:
    from exporter.reference import load_module

    return load_module(GRID / f"{name}.py")


def _formats() -> list[str]:
    return [recipe.id for recipe in _load("measure").recipes()]


def cells() -> dict[str, dict[str, tuple[str, str]]]:
    """What is expected of every row."""
    rows = _load("measure").grid().ROWS
    found: dict[str, dict[str, tuple[str, str]]] = _load("expected").expected(rows, _formats())
    return found


def summary(found: Cells) -> str:
    """Format by kind: how many models."""
    count = {f: Counter(row[f][0] for row in found.values()) for f in _formats()}
    kinds = [k for k in KINDS if any(c[k] for c in count.values())]
    lines = ["| format | " + " | ".join(kinds) + " |", "|---|" + "--:|" * len(kinds)]
    lines += [f"| {f} | " + " | ".join(str(c[k]) for k in kinds) + " |" for f, c in count.items()]
    return "\n".join(lines)


def table(found: Cells, named: Mapping[str, list[str]]) -> str:
    """What each format does with the rows of each name: one word where all are alike, else how many of each."""
    formats = _formats()
    lines = ["| | models | " + " | ".join(formats) + " |", "|---|--:|" + "---|" * len(formats)]
    for name, rows in named.items():
        count = [Counter(found[row][f][0] for row in rows) for f in formats]
        words = [next(iter(c)) if len(c) == 1 else _mixed(c) for c in count]
        lines.append(f"| {name} | {len(rows)} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def _mixed(count: Counter[str]) -> str:
    return ", ".join(f"{count[k]} {k}" for k in KINDS if count[k])


def reasons(found: Cells, named: Mapping[str, list[str]], kinds: Iterable[str]) -> str:
    """Name, format, words: which variants they hold for."""
    wanted = tuple(kinds)
    lines = ["| | format | | models | words |", "|---|---|---|---|---|"]
    for name, rows in named.items():
        those: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            for f, (kind, words) in found[row].items():
                if kind in wanted:
                    those.setdefault((f, kind, words), []).append(row.partition("-")[2] or "–")
        for (f, kind, words), variants in sorted(those.items()):
            which = "all" if len(variants) == len(rows) else ", ".join(variants)
            lines.append(f"| {name} | {f} | {kind} | {which} | {_cell(words)} |")
    return "\n".join(lines) if len(lines) > 2 else "None."


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


def named_rows() -> dict[str, dict[str, list[str]]]:
    """Heading of the page -> name in its table -> rows: layers, activation functions, operations."""
    found: dict[str, dict[str, list[str]]] = {"layers": {}, "activations": {}, "operations": {}}
    for name, row in sorted(_load("measure").grid().ROWS.items(), key=lambda item: item[1].subject.lower()):
        if row.subject == "Activation":
            found["activations"].setdefault(name.partition("-")[2].replace("-", "_"), []).append(name)
        else:
            found["operations" if row.subject.startswith("ops.") else "layers"].setdefault(row.subject, []).append(name)
    return found


def known_table() -> str:
    """The entries of known.toml."""
    lines = ["| models | format | | found | why |", "|---|---|---|---|---|"]
    lines += [
        f"| {e.rows} | {e.format} | {e.kind} | {_cell(e.words)} | {_cell(e.why)} |" for e in _load("expected").known()
    ]
    return "\n".join(lines) if len(lines) > 2 else "None."


def left_out() -> str:
    """The layers without a row."""
    grid = _load("measure").grid()
    listed = [f"- `{name}`: {reason}" for name, reason in grid.LEFT_OUT.items()]
    return "\n".join([*listed, *(f"- `{name}`: Keras cannot put it into a functional model" for name in grid.BROKEN)])


def page(text: str) -> str:
    """The page with its generated parts renewed."""
    import readme

    found, named = cells(), named_rows()
    blocks = {"summary": summary(found), "known": known_table(), "left out": left_out()}
    for heading, names in named.items():
        blocks[heading] = table(found, names)
        blocks[f"{heading} rewritten"] = reasons(found, names, ("rewritten",))
        blocks[f"{heading} refused"] = reasons(found, names, ("refused", "unsupported"))
    for name, content in blocks.items():
        text = readme.replace(text, name, content)
    return text


def run(names: Iterable[str], kept: Path | None) -> dict[str, dict[str, tuple[str, str]]]:
    """Measure rows; each is kept as it comes in, and not measured again."""
    measure, expectations = _load("measure"), _load("expected")
    found: dict[str, dict[str, tuple[str, str]]] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    with tempfile.TemporaryDirectory(prefix="exporter-grid-") as scratch, measure.measuring(Path(scratch)) as submit:
        for name, future in {n: submit(n) for n in names if n not in found}.items():
            found[name] = {f: expectations.words_of(o) for f, o in future.result().items()}
            print(name, *(f"{f}: {kind}" for f, (kind, _) in found[name].items() if kind != "exact"), file=sys.stderr)
            if kept:
                kept.write_text(json.dumps(found))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", help="rows to measure; default: all")
    parser.add_argument("--page", action="store_true", help="write the page without measuring")
    parser.add_argument("--from", dest="kept", type=Path, help="file that keeps what was measured")
    asked = parser.parse_args()
    surprises: list[str] = []
    if not asked.page:
        expectations = _load("expected")
        before = cells()
        found = {**before, **run(asked.rows or list(before), asked.kept)}
        kept, fallen = expectations.accepted({row: found[row] for row in before}, before, expectations.falls())
        surprises = [*expectations.write(kept), *fallen]
        if fallen:
            print(
                f"{len(fallen)} cells fell and were left as they were; mend them, or name them in {expectations.FALLS}"
            )
    PAGE.write_text(page(PAGE.read_text()))
    for line in surprises:
        print(line)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
