"""What works on this machine: each runtime is really started and asked, and every problem comes with its fix."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from exporter.errors import MissingRuntimeError, WorkerFailure
from exporter.model import Json
from exporter.protocol.client import NotSupported, Ok
from exporter.protocol.clients import Clients
from exporter.runtimes import Missing, Runtime, _jvm, _node
from exporter.runtimes.registry import runtimes
from exporter.text import last_words

Progress = Callable[[str], None]
PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "h5py")
# what `exporter doctor --install` offers
INSTALLERS: Mapping[str, Callable[[], Path]] = {"node": _node.install, "jvm": _jvm.install}
_PROGRAMS: Mapping[str, Callable[[], str]] = {
    "Node": _node.node,
    "Java": lambda: "{} (version {})".format(*_jvm.java()),
}


def _silent(message: str) -> None:
    pass


def runtime_status(name: str, found: Runtime | str, clients: Clients) -> Json:
    """One runtime: `works`, `missing` or `broken`, with its versions or the reason and the fix.

    Its worker is one of `clients`, so that another thread can kill it.
    """
    facts: Json = {
        "name": name,
        "formats": [],
        "status": "broken",
        "reason": "",
        "fix": "",
        "versions": {},
        "runs": "",
    }
    if isinstance(found, str):
        return {**facts, "reason": found}
    facts.update(formats=list(found.formats), title=found.title, runs=found.runs.value)
    with tempfile.TemporaryDirectory(prefix="exporter-doctor-") as scratch:
        try:
            client = clients.start(found.command(), Path(scratch) / "log", {**found.environment, "TMPDIR": scratch})
        except Missing as missing:
            return {**facts, "status": "missing", "reason": missing.reason, "fix": missing.hint}
        try:
            reply = client.request("hello", found.limits.start, protocol=1, runtime=name)
        except WorkerFailure as failure:
            words = last_words(failure.tail)
            return {**facts, "reason": failure.message + (f" ({words})" if words else "")}
        except BaseException:
            client.kill()  # a polite goodbye would wait for the worker's answer
            raise
        client.close()
    if isinstance(reply, Ok):
        shown = {k: reply.value[k] for k in ("versions", "dtypes", "casts")}
        return {**facts, "status": "works", **shown}
    if isinstance(reply, NotSupported):
        return {**facts, "reason": reply.reason}
    missing_package = reply.code.startswith("missing")
    fix = _node.INSTALL_HINT if missing_package else ""
    return {**facts, "status": "missing" if missing_package else "broken", "reason": reply.message, "fix": fix}


def runtimes_status(progress: Progress = _silent) -> list[Json]:
    """Every runtime, started two at a time."""
    progress(f"starting {len(runtimes())} runtimes")
    clients = Clients()
    with ThreadPoolExecutor(2) as pool:
        try:
            pending = [pool.submit(runtime_status, name, found, clients) for name, found in runtimes().items()]
            return [p.result() for p in pending]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            clients.stop()
            raise


def checks(progress: Progress = _silent) -> list[Json]:
    """One line per thing a user can miss: Python, packages, Node, and every runtime."""
    out: list[Json] = [_check("Python", "works", f"{platform.python_version()} ({sys.executable})")]
    for package in PACKAGES:
        try:
            out.append(_check(package, "works", version(package)))
        except PackageNotFoundError:
            cpu = f"{package}-cpu"
            try:
                out.append(_check(package, "works", f"{version(cpu)} ({cpu})"))
            except PackageNotFoundError:
                out.append(_check(package, "missing", "not installed", f"pip install {package}"))
    for program, find in _PROGRAMS.items():
        try:
            out.append(_check(program, "works", find()))
        except Missing as missing:
            out.append(_check(program, "missing", missing.reason, missing.hint))
    for status in runtimes_status(progress):
        found = status["reason"] or ", ".join(f"{k} {v}" for k, v in status["versions"].items())
        out.append(_check(f"runtime {status['name']}", status["status"], found, status["fix"]))
    return out


def _check(name: str, status: str, found: str, fix: str = "") -> Json:
    return {"name": name, "status": status, "found": found, "fix": fix}


def install(what: str) -> Path:
    """Fetch or build what the workers of `what` ("node", "jvm") need, once, in the user's cache.

    Raises:
        MissingRuntimeError: a tool it takes is not there, or the installation failed.
    """
    try:
        return INSTALLERS[what]()
    except Missing as missing:
        raise MissingRuntimeError(what, missing.reason, missing.hint) from missing
    except OSError as error:
        raise MissingRuntimeError(what, f"the installation failed: {error}", "free space and retry") from error
