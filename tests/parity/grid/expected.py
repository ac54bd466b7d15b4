"""What the grid is expected to show: every cell that is not plainly exact, with its words.

`expected.json` holds what formats refuse or rewrite and what a runtime cannot carry: format -> kind -> words -> rows.
tools/support.py writes it from a run, but for a cell that was carried before and that `falls.toml` does not name with
the reason. `known.toml` holds what is wrong or fails; it is written by hand, each entry with the reason why it cannot
be helped, so that no run makes such a cell expected.
"""

from __future__ import annotations

import fnmatch
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"
KNOWN = HERE / "known.toml"
FALLS = HERE / "falls.toml"
CARRIED = ("exact", "rewritten")  # the model is in the format; anything else is a fall from there
BY_HAND = ("wrong", "failed", "not-run")
_SEPARATOR = " @ "  # between words and the runtimes they are true of

Words = tuple[str, str]  # kind, words with runtimes
Found = Mapping[str, Mapping[str, Words]]  # row -> format -> kind and words


@dataclass(frozen=True)
class Known:
    """Cells that are wrong or fail: `rows` and `format` are shell patterns, `words` are part of what is found."""

    rows: str
    format: str
    kind: str
    words: str
    why: str

    def fits(self, row: str, format_name: str) -> bool:
        return fnmatch.fnmatchcase(row, self.rows) and fnmatch.fnmatchcase(format_name, self.format)


def known() -> tuple[Known, ...]:
    return tuple(Known(**entry) for entry in tomllib.loads(KNOWN.read_text()).get("known", ()))


@dataclass(frozen=True)
class Fall:
    """Cells that may stop to be carried: `rows` and `format` are shell patterns."""

    rows: str
    format: str
    why: str

    def fits(self, row: str, format_name: str) -> bool:
        return fnmatch.fnmatchcase(row, self.rows) and fnmatch.fnmatchcase(format_name, self.format)


def falls() -> tuple[Fall, ...]:
    return tuple(Fall(**entry) for entry in tomllib.loads(FALLS.read_text()).get("fall", ()))


def accepted(found: Found, before: Found, allowed: Iterable[Fall]) -> tuple[dict[str, dict[str, Words]], list[str]]:
    """What may be expected from now on, and one line for each fall that is not among those `allowed`.

    A fall is a cell that was exact or rewritten and is refused or unsupported now; one that is not allowed stays what
    it was, so that it is red until it is decided.
    """
    listed = tuple(allowed)
    kept: dict[str, dict[str, Words]] = {}
    fallen = []
    for row, formats in found.items():
        kept[row] = {}
        for format_name, now in formats.items():
            was = before.get(row, {}).get(format_name, now)
            fell = was[0] in CARRIED and now[0] not in (*CARRIED, *BY_HAND)
            if fell and not any(fall.fits(row, format_name) for fall in listed):
                fallen.append(f"{row} {format_name}: was {was[0]}, and is {now[0]}: {now[1]}")
                kept[row][format_name] = was
            else:
                kept[row][format_name] = now
    return kept, fallen


def words_of(outcome: Any) -> Words:
    """Kind and words of a measured outcome; what is true of some runtimes only names them."""
    where = _SEPARATOR + ", ".join(outcome.runtimes) if outcome.runtimes else ""
    return outcome.kind, outcome.words + where


def expected(rows: Iterable[str], formats: Iterable[str]) -> dict[str, dict[str, Words]]:
    """Row -> format -> what is expected. `words` of what is known to be wrong are only a part of what is found."""
    names = list(formats)
    found: dict[str, dict[str, Words]] = {row: dict.fromkeys(names, ("exact", "")) for row in rows}
    for format_name, kinds in json.loads(EXPECTED.read_text()).items():
        for kind, by_words in kinds.items():
            for words, those in by_words.items():
                for row in those:
                    found[row][format_name] = (kind, words)
    for entry in known():
        for row in found:
            for format_name in names:
                if entry.fits(row, format_name):
                    found[row][format_name] = (entry.kind, entry.words)
    return found


def agrees(found: Words, wanted: Words) -> bool:
    kind, words = wanted
    return found[0] == kind and (words in found[1] if kind in BY_HAND else words == found[1])


def write(found: Found) -> list[str]:
    """Write what a run showed to expected.json; returns the cells that only known.toml may hold, and does not."""
    grouped: dict[str, dict[str, dict[str, list[str]]]] = {}
    surprises = []
    for row, formats in found.items():
        for format_name, (kind, words) in formats.items():
            entries = [e for e in known() if e.fits(row, format_name)]
            if kind in BY_HAND or entries:
                if not any(agrees((kind, words), (e.kind, e.words)) for e in entries):
                    surprises.append(f"{row} {format_name}: {kind}: {words}")
            elif kind != "exact":
                grouped.setdefault(format_name, {}).setdefault(kind, {}).setdefault(words, []).append(row)
    EXPECTED.write_text(json.dumps(grouped, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return surprises
