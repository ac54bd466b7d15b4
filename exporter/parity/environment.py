"""What decides bits: the CPU's vector features and the versions of the numerical libraries."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from exporter.model import Json

_VECTOR = ("sse", "ssse", "avx", "fma", "f16c", "amx", "asimd", "sve", "neon")


def cpu() -> Json:
    """Name, a fingerprint of the vector features, and the switches that change kernels."""
    name = platform.machine()
    flags: set[str] = set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags.update(f for f in value.split() if f.startswith(_VECTOR))
    except OSError:
        pass
    switches = {k: os.environ[k] for k in ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA") if k in os.environ}
    digest = hashlib.sha256(repr((platform.machine(), sorted(flags), sorted(switches.items()))).encode())
    return {"name": name, "features": digest.hexdigest()[:16], "switches": switches}


def same_environment(recorded: Json, versions: Json) -> bool:
    """True when a worker with these library versions, on this CPU, runs the kernels the reference ran."""
    before = recorded.get("versions", {})
    libraries = ("tensorflow", "keras", "numpy")
    return (
        recorded.get("cpu", {}).get("features") == cpu()["features"]
        and all(before.get(name) is not None for name in libraries)
        and all(versions.get(name) == before.get(name) for name in libraries)
    )
