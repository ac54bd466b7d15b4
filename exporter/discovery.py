"""Finding formats and runtimes: a directory's listing is the registry.

A module offers its values under one name: `FORMAT` or `FORMATS`, `RUNTIME` or `RUNTIMES`. Modules that begin with
an underscore are helpers. `EXPORTER_PLUGINS` (directories, separated as in PATH) adds `formats/*.py` and
`runtimes/*.py` of other people. Of two modules that claim one name the second becomes a row with that reason.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from exporter import reference


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)
_HELPERS = {"registry"}


def _modules(kind: str) -> Iterator[tuple[str, Path | None]]:
    package = Path(__file__).parent / kind
    for path in sorted(package.glob("*.py")):
        if not path.stem.startswith("_") and path.stem not in _HELPERS:
            yield path.stem, None
    for directory in filter(None, os.environ.get("EXPORTER_PLUGINS", "").split(os.pathsep)):
        for path in sorted((Path(directory) / kind).glob("*.py")):
            if not path.stem.startswith("_"):
                yield path.stem, path


def discover(kind: str, offered: type[T]) -> dict[str, T | str]:
    """Name -> value, or the reason its module is unusable, for every module of `exporter/<kind>/` and the plugins."""
    constant = kind[:-1].upper()
    found: dict[str, T | str] = {}
    for stem, path in _modules(kind):
        display = stem.replace("_", "-")
        try:
            module = reference.load_module(path) if path else importlib.import_module(f"exporter.{kind}.{stem}")
            values = getattr(module, constant, None) or getattr(module, f"{constant}S")
            for value in values if isinstance(values, tuple) else (values,):
                if not isinstance(value, offered):
                    raise TypeError(f"{constant} is a {type(value).__name__}, expected a {offered.__name__}")
                if value.name in found:
                    raise ValueError(f"the name {value.name!r} is already taken")
                found[value.name] = value
        except (Exception, SystemExit) as error:
            # under the module's name, unless something that works has it already
            key = display if display not in found else f"{display} ({path})"
            found[key] = f"{type(error).__name__}: {error}"
    return found
