"""The real command in child processes, and the few models, files and bundles that all of these tests share.

Every run gets a temporary directory and an environment variable of its own, so that whatever it leaves behind, files
or processes, is found and fails the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

HERE = Path(__file__).parent
MODELS = HERE / "models.py"
COMMAND = (sys.executable, "-m", "exporter")
MARK = "EXPORTER_TEST_RUN"


def processes_of(mark: str) -> list[int]:
    """Every living process that inherited the environment of one run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it ended, or is not ours to see
            continue
        if f"{MARK}={mark}".encode() in environment.split(b"\0") and state != "Z":
            found.append(int(entry.name))
    return found


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Poll until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@dataclass(frozen=True)
class Result:
    """What one run of the command said and left behind."""

    status: int
    out: str
    err: str
    leftovers: tuple[str, ...]
    orphans: tuple[int, ...]

    @property
    def json(self) -> Any:
        """stdout as the one JSON document it must be."""
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))

    def check_clean(self) -> None:
        assert self.leftovers == (), f"left in the temporary directory: {self.leftovers}"
        assert self.orphans == (), f"processes left: {self.orphans}"
        assert "Traceback" not in self.err, self.err


class Running:
    """A command that has been started; stderr is read as it comes."""

    def __init__(self, command: Sequence[str], directory: Path, environment: dict[str, str], limit: int) -> None:
        self.mark = uuid4().hex
        self.temporary = directory / f"tmp-{self.mark}"
        self.temporary.mkdir()

        def prepare() -> None:
            # a shell's background job inherits SIGINT ignored, one under nohup SIGHUP too; a terminal's job neither
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            if limit:
                import resource

                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env={**os.environ, "TMPDIR": str(self.temporary), MARK: self.mark, **environment},
            start_new_session=True,
            preexec_fn=prepare,
        )
        self._texts: dict[str, str] = {"out": "", "err": ""}
        self._readers = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in self._texts]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = self._process.stdout if name == "out" else self._process.stderr
        assert stream is not None
        with contextlib.suppress(ValueError):  # closed by stop_reading
            for line in stream:
                self._texts[name] += line

    @property
    def err(self) -> str:
        return self._texts["err"]

    @property
    def workers(self) -> list[int]:
        return [pid for pid in processes_of(self.mark) if pid != self._process.pid]

    def wait_for(self, line: str) -> None:
        """Until stderr has said `line`, or the command has ended."""
        until(lambda: line in self.err or self._process.poll() is not None)
        assert line in self.err, self.err

    def wait_for_worker(self) -> None:
        """Until a worker process is there."""
        until(lambda: self.workers or self._process.poll() is not None)
        assert self.workers, self.err

    def stop_reading(self) -> None:
        """Close our end of its stdout."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def send(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self._process.pid, number)

    def finish(self, timeout: float = 300) -> Result:
        """Wait for the end. A worker gets a moment to notice that it was killed."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise AssertionError(f"the command hangs; it said: {self.err}") from None
        deadline = time.monotonic() + 5
        while self.workers and time.monotonic() < deadline:
            time.sleep(0.02)
        orphans = tuple(self.workers)
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(10)
        left = tuple(sorted(str(p.relative_to(self.temporary)) for p in self.temporary.rglob("*")))
        return Result(status, self._texts["out"], self._texts["err"], left, orphans)


class Cli:
    """`cli("verify", bundle)` runs the command to its end; it must leave no files, processes or traceback."""

    def __init__(self, directory: Path, program: Sequence[str] = COMMAND) -> None:
        self.directory = directory
        self._program = program

    def start(self, *arguments: object, limit: int = 0, **environment: str) -> Running:
        return Running([*self._program, *map(str, arguments)], self.directory, environment, limit)

    def __call__(self, *arguments: object, status: int | None = 0, limit: int = 0, **environment: str) -> Result:
        result = self.start(*arguments, limit=limit, **environment).finish()
        result.check_clean()
        if status is not None:
            assert result.status == status, f"exit status {result.status}\n{result.out}\n{result.err}"
        return result

    def together(self, *commands: Sequence[object], status: int | None = 0) -> list[Result]:
        """Several commands, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda arguments: self(*arguments, status=status), commands))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command, run in the test's own directory."""
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command with the published TF.js converter's flags."""
    return Cli(tmp_path_factory.mktemp("converter"), (sys.executable, "-m", "exporter.cli.tfjs_converter"))


@pytest.fixture(scope="session")
def session_cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of model files, as `models.py` writes them."""
    directory = tmp_path_factory.mktemp("files")
    done = subprocess.run([sys.executable, MODELS, directory], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


@dataclass(frozen=True)
class Made:
    """A bundle, and what the command that made it said."""

    root: Path
    result: Result


@pytest.fixture(scope="session")
def every_format(session_cli: Cli, files: Path) -> Made:
    """`functional.keras` in every format, run in every runtime; made with --json. The source is gone by now."""
    source = session_cli.directory / "source.keras"
    source.write_bytes((files / "functional.keras").read_bytes())
    result = session_cli("convert", source, "-o", "every", "--json")
    source.unlink()
    return Made(session_cli.directory / "every", result)


@pytest.fixture(scope="session")
def custom(session_cli: Cli) -> Made:
    """A model with a layer of its own, as keras and h5; made with --quiet, its report a table."""
    result = session_cli(
        "convert", f"{MODELS}:custom_layer", "-o", "custom", "--to", "keras", "--to", "h5", "--quiet"
    )  # fmt: skip
    return Made(session_cli.directory / "custom", result)


@pytest.fixture(scope="session")
def small(session_cli: Cli) -> Made:
    """A subclassed model as ONNX only, made with --json: the bundle that verifies in a second."""
    result = session_cli("convert", f"{MODELS}:subclassed", "-o", "small", "--to", "onnx", "--json")
    return Made(session_cli.directory / "small", result)


@pytest.fixture(scope="session")
def plugins() -> str:
    """Value of EXPORTER_PLUGINS for the formats and runtimes of this directory."""
    return str(HERE / "plugins")


@pytest.fixture(scope="session")
def hanging(session_cli: Cli, plugins: str) -> Iterator[tuple[int, Running]]:
    """A conversion with a recipe that hangs, started early and collected late: it mostly waits.

    The limit holds for every request, so it leaves a busy machine the time to open the source.
    """
    limit = 40
    running = session_cli.start(
        "convert", f"{MODELS}:functional", "-o", "hung", "--to", "tfjs-layers", "--to", "hangs", "--timeout", limit,
        "--json", EXPORTER_PLUGINS=plugins,
    )  # fmt: skip
    yield limit, running
    running.finish()
