"""Measuring the grid: each model opened, written in every format and run in every runtime, by workers that stay.

The workers are those of the command line, and so are the verdicts; only their start is shared among the models. Two
lanes work side by side, each with a source worker and one worker per runtime. A crash costs the cell at hand.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import tensors
from exporter.bundle import Bundle
from exporter.conversion import artifact_of
from exporter.errors import WorkerFailure
from exporter.formats.registry import default_recipes, resolved_options
from exporter.model import Artifact, Case, Recipe, Signature
from exporter.outcome import CellResult, Failed, Mismatched, NotRun, Passed, Unsupported
from exporter.parity.environment import cpu
from exporter.parity.plan import plan
from exporter.parity.session import Reference, RunOptions, RuntimeSession
from exporter.protocol.client import Ok
from exporter.protocol.crew import Crew
from exporter.reference import load_module
from exporter.runtimes import Runtime
from exporter.runtimes.registry import runtime_named
from exporter.source_worker import WorkerSession
from exporter.tensors import Tensors

MODELS = Path(__file__).with_name("models.py")
RUNTIMES = ("keras", "tensorflow", "litert", "onnxruntime", "tfjs-node-cpu", "tfjs-node-wasm")
LANES = 2
_TIMEOUT = 300.0
_OPENED = 150  # TensorFlow keeps something of every model; a worker is replaced after so many


@dataclass(frozen=True)
class Outcome:
    """What became of one model in one format.

    `kind` is exact, rewritten, refused, unsupported, failed, wrong or not-run. `words` is the reason, the rewrites or
    what differs; `runtimes` are those that it is true of, empty for all.
    """

    kind: str
    words: str = ""
    runtimes: tuple[str, ...] = ()


@functools.cache
def grid() -> Any:
    """The module with the models. It imports Keras."""
    return load_module(MODELS)


def recipes() -> list[Recipe]:
    """The formats that hold floats, in writing order."""
    return default_recipes()


def runtimes() -> list[Runtime]:
    """The runtimes that the grid runs, in their registry's words."""
    return [runtime_named(name) for name in RUNTIMES]


class Lane:
    """One source worker and one worker for each runtime, used by one thread."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        scratch.mkdir()
        self._crew = Crew(scratch, scratch)
        self._source: WorkerSession | None = None
        self._versions: dict[str, str] = {}
        self._opened = 0

    def measure(self, name: str) -> dict[str, Outcome]:
        """Format -> outcome, of one row."""
        root = self._scratch / "model"
        shutil.rmtree(root, ignore_errors=True)
        bundle = self._converted(name, root)
        results: dict[str, list[CellResult]] = {}
        reference = Reference.of(bundle)
        cells = plan(bundle, runtimes())
        for runtime in runtimes():
            session = RuntimeSession(bundle, runtime, self._crew.slot(runtime.name), RunOptions(), reference, {})
            for result in session.run([c for c in cells if c.runtime == runtime.name]):
                results.setdefault(result.cell.recipe, []).append(result)
        return {a.recipe.id: _outcome(a, results.get(a.recipe.id, [])) for a in bundle.artifacts}

    def _converted(self, name: str, root: Path) -> Bundle:
        """The row's model in every format, with its cases and their reference."""
        row = grid().ROWS[name]
        self._open(name, root)
        opened = self._facts
        (signature,) = (Signature.from_json(s) for s in opened["signatures"])
        cases = [self._case(root, signature, case, inputs) for case, inputs in grid().cases(row).items()]
        examples = {signature.name: str(root / cases[0].inputs)}
        artifacts = [self._written(name, root, recipe, examples) for recipe in recipes()]
        return Bundle(
            root=root,
            source={"stateful": opened["facts"]["stateful"]},
            reference={"versions": self._versions, "cpu": cpu()},
            tool={},
            signatures=(signature,),
            artifacts=tuple(artifacts),
            cases=tuple(cases),
        )

    def _open(self, name: str, root: Path) -> None:
        if self._source is None or self._opened >= _OPENED:
            self._end_source()
            self._source = WorkerSession(self._scratch / "source.log", self._scratch, _TIMEOUT, runs_code=True)
            self._versions = self._ask("hello", protocol=1, runtime="source")["versions"]
            self._opened = 0
        self._opened += 1
        staging = root / f"staging-{time.monotonic_ns()}"
        staging.mkdir(parents=True)
        spec = {"kind": "callable", "path": str(MODELS), "name": name, "callable": name}
        self._facts = self._ask("open", spec=spec, staging=str(staging))

    def _ask(self, op: str, **fields: Any) -> dict[str, Any]:
        assert self._source is not None
        reply = self._source.request(op, **fields)
        if not isinstance(reply, Ok):
            raise AssertionError(f"the source worker answered {op!r} with {reply}")
        return reply.value

    def _case(self, root: Path, signature: Signature, name: str, inputs: Tensors) -> Case:
        paths = [f"{kind}/{signature.name}/{name}.safetensors" for kind in ("cases", "references")]
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        tensors.save(root / paths[0], inputs)
        self._ask("reference", signature=signature.name, inputs=str(root / paths[0]), outputs=str(root / paths[1]))
        return Case(name, signature.name, *paths, "generated", 0)

    def _written(self, name: str, root: Path, recipe: Recipe, examples: Mapping[str, Any]) -> Artifact:
        directory = root / "artifacts" / recipe.directory
        directory.mkdir(parents=True)
        if self._source is None:
            self._open(name, root)  # the last writer ended the worker
        assert self._source is not None
        fields = {"recipe": recipe.id, "format": recipe.format, "options": resolved_options(recipe)}
        try:
            reply = self._source.request(
                "write", **fields, directory=str(directory), examples=examples, calibration={}, keep_float=[]
            )
        except WorkerFailure as failure:
            self._source = None
            return artifact_of(recipe, failure, directory, explicit=False)
        return artifact_of(recipe, reply, directory, explicit=False)

    def _end_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def close(self) -> None:
        self._end_source()
        self._crew.close()


def _outcome(artifact: Artifact, results: Iterable[CellResult]) -> Outcome:
    """The worst that happened, with the runtimes it happened in where it did not in all."""
    if artifact.status != "written" or artifact.unavailable:
        reason = artifact.reason or next(iter(artifact.unavailable.values()))
        return Outcome("failed" if artifact.status == "failed" else "refused", reason)
    found = [(result.cell.runtime, *_kind(result)) for result in results]
    all_runtimes = {runtime for runtime, _, _ in found}
    for kind in ("wrong", "failed", "not-run", "unsupported"):
        those = {runtime: words for runtime, k, words in reversed(found) if k == kind}
        if those:
            affected = () if set(those) == all_runtimes else tuple(sorted(those))
            return Outcome(kind, min(those.values()), affected)
    if not found:
        return Outcome("not-run", "no runtime of the grid executes this format")
    return Outcome("rewritten", "; ".join(artifact.rewrites)) if artifact.rewrites else Outcome("exact")


def _kind(result: CellResult) -> tuple[str, str]:
    match result.outcome:
        case Passed():
            return "exact", ""
        case Mismatched(comparison):
            return "wrong", f"{result.cell.case}: {comparison.problem}"
        case Failed(stage, _, message):
            return "failed", f"{stage}: {message}"
        case Unsupported(reason):
            return "unsupported", reason
        case NotRun(reason):
            return "not-run", reason


@contextlib.contextmanager
def measuring(scratch: Path, lanes: int = LANES) -> Iterator[Callable[[str], Future[dict[str, Outcome]]]]:
    """A function that has a row measured, in the lane that is free next."""
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    made = [Lane(scratch / f"lane-{number}") for number in range(lanes)]
    for lane in made:
        free.put(lane)

    def work(name: str) -> dict[str, Outcome]:
        lane = free.get()
        try:
            return lane.measure(name)
        finally:
            free.put(lane)

    grid()  # imported here: two threads may not import Keras at once
    with ThreadPoolExecutor(lanes) as pool:
        try:
            yield lambda name: pool.submit(work, name)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for lane in made:
                lane.close()
