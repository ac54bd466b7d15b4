"""Regenerate the tables of docs/upstream.md: every model, written by exporter and by the published TF.js converter.

usage: python tools/upstream_page.py [DIRECTORY]     DIRECTORY: where the files are kept; default: a temporary one

Needs `make upstream`; takes some ten minutes.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tools"))
PAGE = TOP / "docs" / "upstream.md"
WAYS = {
    "tfjs-graph": "exporter, graph",
    "tfjs-layers": "exporter, layers",
    "tfjs-graph:writer=tensorflowjs": "published, SavedModel to graph",
    "tfjs-layers:writer=tensorflowjs": "published, `.keras` to layers",
    "tfjs-layers:from=h5,writer=tensorflowjs": "published, `.h5` to layers",
    "tfjs-graph:from=h5,writer=tensorflowjs": "published, `.h5` to graph",
}
SHOWN = ("tfjs-graph", "tfjs-graph:writer=tensorflowjs", "tfjs-layers", "tfjs-layers:writer=tensorflowjs")
THEIRS = [way for way in WAYS if "writer=" in way]
MANY = 12
# from the worst to the best
WORDS = ("wrong", "does not run", "does not load", "not converted", "refused", "right")
Verdicts = Mapping[str, tuple[str, str]]  # backend -> (word, reason)


def comparison() -> ModuleType:
    """The module that opens, writes and runs the models."""
    from exporter.reference import load_module

    return load_module(TOP / "tests" / "upstream" / "comparison.py")


def words(verdicts: Verdicts) -> str:
    """`right`, or what differs between the backends."""
    found = {backend: word for backend, (word, _) in verdicts.items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{word} on {backend}" for backend, word in found.items())


def worst(verdicts: Verdicts) -> str:
    return min((word for word, _ in verdicts.values()), key=WORDS.index)


def version_table(found: Any) -> str:
    lines = ["| package | version |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {version} |" for name, version in found.versions.items())])


def summary_table(found: Any) -> str:
    """How many models end how on each way; the worse backend counts."""
    lines = ["| way | models | " + " | ".join(reversed(WORDS)) + " |", "|---|--:|" + "--:|" * len(WORDS)]
    for way, title in WAYS.items():
        counts = Counter(worst(verdicts) for verdicts in found.verdicts[way].values())
        cells = [str(counts[word] or "") for word in reversed(WORDS)]
        lines.append(f"| {title} | {counts.total()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def model_table(found: Any) -> str:
    lines = ["| model | " + " | ".join(WAYS[way] for way in SHOWN) + " |", "|---|" + "---|" * len(SHOWN)]
    for signature in found.signatures:
        cells = [words(found.verdicts[way][signature.name]) for way in SHOWN]
        lines.append(f"| {signature.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def reason_list(found: Any) -> str:
    """What became of the published converter's files that are not right: one line per reason."""
    lines: dict[str, list[str]] = {}
    for way in THEIRS:
        for signature in found.signatures:
            verdicts = found.verdicts[way][signature.name]
            for reason, backends in _reasons(verdicts).items():
                on = "" if len(backends) == len(verdicts) else f" on {', '.join(backends)}"
                lines.setdefault(f"{WAYS[way]}: {reason}", []).append(signature.name + on)
    return "\n".join(
        f"- {reason}: {', '.join(where) if len(where) <= MANY else f'{len(where)} models'}"
        for reason, where in lines.items()
    )


def _reasons(verdicts: Verdicts) -> dict[str, list[str]]:
    """Word and reason -> backends. The first sentence, without what is in brackets, is the same for many models."""
    found: dict[str, list[str]] = {}
    for backend, (word, reason) in verdicts.items():
        if word != "right":
            text = re.sub(r"\[[^\]]*\]", "[…]", reason.split(". ")[0].rstrip("."))
            text = re.sub(r"\{.*\}", "{…}", text).replace("`", "'").removesuffix("; use writer=exporter")
            found.setdefault(f"{word}, `{text}`", []).append(backend)
    return found


def better_list(found: Any) -> str:
    """Where the published converter's files are right and exporter's are not, or there are none."""
    lines = []
    for own, theirs in zip(SHOWN[::2], SHOWN[1::2], strict=True):
        for name, verdicts in found.verdicts[theirs].items():
            for backend, (word, _) in verdicts.items():
                ours, reason = found.verdicts[own][name][backend]
                if word == "right" and ours != "right":
                    lines.append(f"- {WAYS[own]}: {name} on {backend} is {ours} ({reason})")
    return "\n".join(lines) or "Nowhere."


def name_count(found: Any) -> str:
    """In how many graph models the published converter kept the names of inputs and outputs."""
    entries = found.ways[SHOWN[1]].entries.values()
    kept = sum(all(ours == name for ours, name in _pairs(entry.names)) for entry in entries)
    return f"Of its {len(entries)} graph models, {len(entries) - kept} lost the name of an input or output."


def _pairs(names: Any) -> Iterator[tuple[str, str]]:
    yield from names.inputs.items()
    yield from names.outputs.items()


def blocks(found: Any) -> dict[str, str]:
    """Marker -> its content."""
    return {
        "versions": version_table(found),
        "summary": summary_table(found),
        "better": better_list(found),
        "names": name_count(found),
        "models": model_table(found),
        "reasons": reason_list(found),
    }


def main() -> None:
    import readme

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        found = comparison().compared(directory / "bundle", directory / "scratch")
    text = PAGE.read_text()
    for name, content in blocks(found).items():
        text = readme.replace(text, name, content)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
