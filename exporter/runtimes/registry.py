"""Discovery of runtimes, as for formats: the directory listing, then EXPORTER_PLUGINS."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from exporter.discovery import discover
from exporter.errors import UsageError
from exporter.runtimes import Runtime
from exporter.text import did_you_mean


@functools.cache
def runtimes() -> Mapping[str, Runtime | str]:
    """Runtime name -> runtime, or the sentence why its module could not be imported."""
    return discover("runtimes", Runtime)


def runtime_named(name: str) -> Runtime:
    """Raises `UsageError` with a suggestion for an unknown name, or the reason its module is broken."""
    found = runtimes().get(name)
    if isinstance(found, Runtime):
        return found
    if found is not None:
        raise UsageError("broken-runtime", f"the runtime {name!r} cannot be used: {found}", "")
    raise UsageError(
        "unknown-runtime",
        f"unknown runtime {name!r}{did_you_mean(name, runtimes())}",
        f"known runtimes: {', '.join(runtimes())} (exporter runtimes)",
    )
