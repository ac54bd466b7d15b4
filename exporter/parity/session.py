"""The cells of one runtime: its worker, what it loads and is fed, and the outcome of each answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter import feeding, labelled, tensors
from exporter.bundle import Bundle
from exporter.errors import WorkerFailure
from exporter.formats.registry import family_of, is_positional
from exporter.model import Artifact, Case, Cell, Entry, Json, Signature, TensorSpec, Tolerance
from exporter.outcome import CellResult, Comparison, Failed, Mismatched, NotRun, Outcome, Passed, Unsupported
from exporter.parity.compare import accept_casts, compare, scales
from exporter.parity.contract import find_broken_input
from exporter.parity.environment import same_environment
from exporter.parity.left_out import (
    batch_outputs,
    contract_problem,
    left_out,
    mismatch,
    only_judged,
    wholly_random,
)
from exporter.parity.order import misplaced
from exporter.parity.quality import Measured, judge, quality_of
from exporter.parity.slices import Slicings, find_slicings
from exporter.parity.tolerance import Overrides, narrowed, overridden, row_for, widened
from exporter.parity.weights import WeightCheck
from exporter.protocol.client import NotSupported, Ok, RemoteError
from exporter.protocol.crew import Crew
from exporter.protocol.slot import Slot
from exporter.runtimes import Missing, Runtime
from exporter.task import score
from exporter.tensors import Tensors

_MAX_START_FAILURES = 2


@dataclass(frozen=True)
class RunOptions:
    """How cells are run. `timeout` replaces the runtimes' own limit per request; a `crew` stays when the run ends."""

    jobs: int = 2
    timeout: float | None = None
    custom: Path | None = None
    overrides: Overrides = field(default_factory=Overrides)
    crew: Crew | None = None


@dataclass(frozen=True)
class Reference:
    """The source's own outputs.

    Attributes:
        outputs: by signature and case.
        scale: RMS of each output over all cases of its signature, not below a floor.
        signal: the same without a floor: noise is judged by it, and small outputs have a small signal.
        slicings: which slices of an output have a scale of their own.
    """

    outputs: Mapping[tuple[str, str], Tensors]
    scale: Mapping[str, Mapping[str, float]]
    signal: Mapping[str, Mapping[str, float]]
    slicings: Mapping[str, Slicings]

    @staticmethod
    def of(bundle: Bundle) -> Reference:
        outputs = {(c.signature, c.name): bundle.expected(c) for c in bundle.cases}
        by_signature = {s.name: {k[1]: v for k, v in outputs.items() if k[0] == s.name} for s in bundle.signatures}
        return Reference(
            outputs,
            {name: scales(found) for name, found in by_signature.items()},
            {name: scales(found, floor=0.0) for name, found in by_signature.items()},
            {name: find_slicings(found) for name, found in by_signature.items()},
        )


@dataclass(frozen=True)
class _Ran:
    """One answer: the outputs by the names of the signature, and which call of the runtime gave them, if it says so."""

    outputs: Tensors
    elapsed_ns: int
    call: str


def without_artifact(bundle: Bundle, cell: Cell) -> Outcome | None:
    """The outcome of a cell whose recipe wrote nothing for its signature, else None."""
    artifact = _artifact(bundle, cell)
    if artifact.status == "refused":
        return Unsupported(artifact.reason)
    if artifact.status == "failed":
        return Failed("convert", artifact.code or "converter", artifact.reason)
    if cell.signature in artifact.unavailable:
        return Unsupported(artifact.unavailable[cell.signature])
    return None


def _artifact(bundle: Bundle, cell: Cell) -> Artifact:
    return next(a for a in bundle.artifacts if a.recipe.id == cell.recipe)


class RuntimeSession:
    """The cells of one runtime."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        slot: Slot,
        options: RunOptions,
        reference: Reference,
        weights: Mapping[str, WeightCheck],
    ) -> None:
        self._bundle = bundle
        self._runtime = runtime
        self._slot = slot
        self._options = options
        self._reference = reference
        self._weights = weights
        self._start_failures = 0
        self._hello: Json = {}
        self.facts: Json = {"title": runtime.title, "status": "not-started", "versions": {}}

    def run(self, cells: list[Cell]) -> Iterable[CellResult]:
        for (_recipe, signature), group in itertools.groupby(cells, key=lambda c: (c.recipe, c.signature)):
            own = list(group)
            known = without_artifact(self._bundle, own[0]) or self._unsuitable(own[0])
            if known is not None:
                yield from (CellResult(cell, known) for cell in own)
                continue
            handle: str | None = None
            suspect = False
            # an artifact that keeps state is loaded anew for each case, as the reference was computed
            stateful = signature in self._bundle.source.get("stateful", ())
            for cell in own:
                loaded = handle if handle is not None else self._load(cell)
                if not isinstance(loaded, str):
                    # what loading says holds for every case that is left
                    yield from (CellResult(c, loaded) for c in own[own.index(cell) :])
                    break
                handle = loaded
                outcome = self._run(cell, handle, signature)
                if not self._slot.alive:
                    handle = None
                if stateful and handle is not None:
                    self._request("unload", self._limit("load"), handle=handle)
                    handle = None
                suspect = suspect or isinstance(outcome.outcome, Mismatched | Failed)
                yield outcome
            if (suspect and self._runtime.fragile) or self._worn():
                self._slot.close()
            elif handle is not None:
                self._request("unload", self._limit("load"), handle=handle)

    def _worn(self) -> bool:
        """True when the worker has loaded so much, or grown so large, that a fresh one should go on."""
        recycle = self._runtime.recycle
        client = self._slot.client
        if recycle is None or client is None or not client.alive:
            return False
        return self._slot.loads >= recycle.loads or client.resident_bytes() > recycle.resident_bytes

    def _limit(self, which: str) -> float:
        return self._options.timeout or float(getattr(self._runtime.limits, which))

    def _unsuitable(self, cell: Cell) -> Outcome | None:
        artifact = _artifact(self._bundle, cell)
        if self._runtime.needs_code and artifact.needs_code and self._options.custom is None:
            return Unsupported(f"reloading needs the code of {', '.join(artifact.needs_code)}; give --custom module.py")
        if self._runtime.unordered and cell.signature in self._bundle.source.get("stateful", ()):
            return Unsupported(
                f"the signature keeps state between calls, and {self._runtime.name} runs rows in any order"
            )
        if self._runtime.unordered and self._bundle.signature(cell.signature).independent:
            return Unsupported(
                f"each input has rows of its own, and {self._runtime.name} takes a row of all inputs at a time"
            )
        return None

    def _start(self) -> Outcome | None:
        """Make sure a worker is there that answers for this runtime. Returns the outcome of every cell if not."""
        # a worker that stayed from an earlier run has answered, but not to this session
        if self._hello and self._slot.alive and self._slot.runtime == self._runtime.name:
            return None
        if self._start_failures >= _MAX_START_FAILURES:
            return NotRun("the worker failed to start twice")
        runtime = self._runtime
        try:
            argv = runtime.command()
        except Missing as missing:
            self.facts.update(status="missing", reason=missing.reason, hint=missing.hint)
            return NotRun(f"{missing.reason}; {missing.hint}")
        if runtime.needs_code and self._options.custom is not None:
            argv = [*argv, "--custom", str(self._options.custom)]
        if self._slot.alive and self._slot.argv != argv:
            self._slot.close()
        if not self._slot.alive:
            try:
                self._slot.start(argv, runtime.environment)
            except OSError as error:
                self._start_failures += 1
                self.facts.update(status="broken", reason=str(error))
                return Failed("crash", "cannot-start", f"the worker cannot be started: {error}")
        reply = self._request("hello", self._limit("start"), protocol=1, runtime=runtime.name)
        if isinstance(reply, Ok) and reply.value["runtime"] == runtime.name:
            self._hello = reply.value
            self._slot.runtime = runtime.name
            self._start_failures = 0
            self.facts.update(status="works", **{k: reply.value[k] for k in ("versions", "dtypes", "casts")})
            return None
        self._start_failures += 1
        if self._slot.client is not None:
            self._slot.client.kill()
        if isinstance(reply, RemoteError) and reply.code.startswith("missing"):
            self.facts.update(status="missing", reason=reply.message)
            return NotRun(reply.message)
        outcome = reply if isinstance(reply, Failed) else _failed(reply, "load")
        self.facts.update(status="broken", reason=_words(outcome))
        return outcome

    def _request(self, op: str, timeout: float, **fields: str | int) -> Ok | NotSupported | RemoteError | Failed:
        assert self._slot.client is not None
        try:
            return self._slot.client.request(op, timeout, **fields)
        except WorkerFailure as failure:
            stage = failure.stage
            return Failed(stage, failure.code, failure.message, failure.tail)  # type: ignore[arg-type]

    def _load(self, cell: Cell) -> str | Outcome:
        missing = self._start()
        if missing is not None:
            return missing
        artifact = _artifact(self._bundle, cell)
        entry = artifact.entries[cell.signature]
        signature = self._bundle.signature(cell.signature)
        for spec in (*signature.inputs, *signature.outputs):
            if spec.dtype not in self._hello["dtypes"] and spec.dtype not in self._hello["casts"]:
                return Unsupported(f"{self._runtime.name} cannot carry {spec.dtype} ({spec.name})")
        reply = self._request(
            "load",
            self._limit("load"),
            artifact=str(self._bundle.artifact_path(artifact, cell.signature).resolve()),
            format=family_of(artifact.recipe),
            signature=entry.key,
        )
        self._slot.loads += 1
        if not isinstance(reply, Ok):
            return reply if isinstance(reply, Failed) else _failed(reply, "load")
        loaded = [TensorSpec.from_json(spec) for spec in reply.value["inputs"]]
        broken = find_broken_input(signature, entry, loaded, self._hello["casts"])
        if broken:
            return Failed("load", "contract", broken)
        moved = misplaced(signature, entry.names, reply.value) if is_positional(artifact.recipe) else ""
        if moved:
            return Failed("load", "order", moved)
        return str(reply.value["handle"])

    def _run(self, cell: Cell, handle: str, signature_name: str) -> CellResult:
        artifact = _artifact(self._bundle, cell)
        entry = artifact.entries[signature_name]
        signature = self._bundle.signature(signature_name)
        case = next(c for c in self._bundle.cases if (c.signature, c.name) == (cell.signature, cell.case))
        inputs = self._bundle.inputs(case)
        notes = [
            f"input {s.name}: {s.dtype} fed as {self._hello['casts'][s.dtype]} (declared cast, range-checked)"
            for s in signature.inputs
            if s.dtype not in self._hello["dtypes"]
        ]
        notes += [f"{name} is {given.dtype} in the artifact" for name, given in entry.interface.items()]
        refused = feeding.refusal(signature, entry, inputs)
        if refused:
            return CellResult(cell, Unsupported(refused))
        # a signature that keeps state, or whose rows depend on each other, sees all at once, as the reference did
        facts = self._bundle.source
        at_once = signature_name in facts.get("stateful", ()) or batch_outputs(facts, signature_name)
        portioned = case.origin == labelled.CASE and not at_once
        feeds = feeding.feeds(signature, entry, feeding.encoded(entry, inputs), labelled.BATCH if portioned else None)
        if len(feeds) > 1 and len(next(iter(feeds[0].values()))) == 1:
            notes.append(f"run row by row: the artifact's batch is pinned to 1 ({len(feeds)} runs)")
        elapsed = 0
        parts: list[Tensors] = []
        calls: list[str] = []
        for number, feed in enumerate(feeds):
            answer = self._run_once(handle, entry, feed, f"{cell.signature}-{cell.case}-{number}")
            if not isinstance(answer, _Ran):
                return CellResult(cell, answer, elapsed, tuple(notes))
            parts.append(answer.outputs)
            elapsed += answer.elapsed_ns
            calls.append(answer.call)
        if "executeAsync" in calls:
            notes.append("ran with executeAsync: the plain predict throws")
        try:
            got = feeding.decoded(entry, feeding.joined(parts))
        except ValueError as error:
            return CellResult(cell, Failed("compare", "rows", f"rows do not join: {error}"), elapsed, tuple(notes))
        in_parts = len(feeds) > 1 or self._runtime.unordered
        left = left_out(facts, signature_name, in_parts=in_parts)
        return self._judge(cell, case, signature, artifact, got, elapsed, notes, left)

    def _run_once(self, handle: str, entry: Entry, feed: Tensors, stem: str) -> _Ran | Outcome:
        scratch = self._slot.scratch
        into, out = scratch / f"{stem}.in.safetensors", scratch / f"{stem}.out.safetensors"
        tensors.save(into, {entry.names.inputs[n]: a for n, a in feed.items()})
        out.unlink(missing_ok=True)
        reply = self._request("run", self._limit("run"), handle=handle, inputs=str(into), outputs=str(out))
        if not isinstance(reply, Ok):
            return reply if isinstance(reply, Failed) else _failed(reply, "run")
        try:
            raw = tensors.load(out)
        except (OSError, tensors.TensorFileError) as error:
            return Failed("protocol", "outputs", f"the worker said ok but its outputs cannot be read: {error}")
        finally:
            into.unlink(missing_ok=True)
            out.unlink(missing_ok=True)
        back = {artifact_name: name for name, artifact_name in entry.names.outputs.items()}
        outputs = {back.get(n, n): a for n, a in raw.items()}
        return _Ran(outputs, int(reply.value["elapsed_ns"]), str(reply.value.get("call", "")))

    def _has_data(self, signature: str) -> bool:
        return any(case.real for case in self._bundle.cases if case.signature == signature)

    def _judge(
        self,
        cell: Cell,
        case: Case,
        signature: Signature,
        artifact: Artifact,
        got: Tensors,
        elapsed: int,
        notes: list[str],
        left: Mapping[str, str],
    ) -> CellResult:
        got, undone = accept_casts(signature, got, self._hello["casts"])
        # without every name, the comparison says which is missing
        if left and set(got) == {s.name for s in signature.outputs}:
            expected = self._reference.outputs[(case.signature, case.name)]
            wrong = contract_problem(signature, left, got, expected, self._bundle.source)
            if wrong:
                return CellResult(cell, Mismatched(mismatch(wrong)), elapsed, tuple(notes))
            if len(left) == len(signature.outputs):
                why = wholly_random(self._bundle.source, signature) or "; ".join(left.values())
                return CellResult(cell, Unsupported(why), elapsed, tuple(notes))
            signature, got = only_judged(signature, left), {n: a for n, a in got.items() if n not in left}
            notes = [*notes, *left.values()]
        quality = quality_of(artifact.recipe.id)
        if quality is not None:
            own = self._bundle.expected_of(artifact.recipe, case, "own")
            kernels = self._bundle.expected_of(artifact.recipe, case, "kernels")
            short = own is None or (quality.kernel_steps is not None and kernels is None)
            if short and case.origin != labelled.CASE:
                lost = "the bundle does not hold what this artifact should give; convert the source again"
                return CellResult(cell, Failed("compare", "expected", lost), elapsed, tuple(notes))
            compared = judge(
                signature,
                got,
                self._reference.outputs[(case.signature, case.name)],
                self._reference.scale[signature.name],
                quality,
                Measured(
                    signal=self._reference.signal[signature.name],
                    of_data=case.real or not self._has_data(signature.name),
                    own=own,
                    kernels=kernels,
                    steps=artifact.quantization.get("steps", {}).get(signature.name, {}),
                    slicings=self._reference.slicings[signature.name],
                ),
            )
            check = self._weights.get(artifact.recipe.id)
            if check is not None and check.problem and compared.code in ("", "quality"):
                compared = replace(compared, problem=check.problem, code="weights")
            return CellResult(cell, self._outcome(case, got, compared), elapsed, (*notes, *undone))
        same = same_environment(self._bundle.reference, self._hello["versions"])
        try:
            row = row_for(artifact.recipe.id, self._runtime.kind, same_environment=same)
        except LookupError as error:
            return CellResult(cell, Failed("compare", "no-tolerance", str(error)), elapsed, tuple(notes))
        comparison = compare(
            signature,
            got,
            self._reference.outputs[(case.signature, case.name)],
            self._reference.scale[signature.name],
            lambda output: overridden(self._fit(row.tolerance, signature, output), self._options.overrides, output),
            self._reference.slicings[signature.name],
        )
        return CellResult(cell, self._outcome(case, got, comparison), elapsed, (*notes, *undone))

    def _fit(self, tolerance: Tolerance, signature: Signature, output: str) -> Tolerance:
        """The row's tolerance for the floats that an output is computed in."""
        if output in self._bundle.source.get("float64", {}).get(signature.name, ()):
            return narrowed(tolerance)
        return widened(tolerance, signature.output(output).dtype)

    def _outcome(self, case: Case, got: Tensors, compared: Comparison) -> Outcome:
        judged = self._bundle.evaluation
        if judged is not None and (judged.signature, judged.case) == (case.signature, case.name):
            compared = score(compared, got, self._bundle.labels(), judged)
        return Mismatched(compared) if compared.code else Passed(compared)


def _failed(reply: NotSupported | RemoteError | Ok, stage: str) -> Outcome:
    if isinstance(reply, NotSupported):
        return Unsupported(reply.reason)
    if isinstance(reply, RemoteError):
        message = f"{reply.message}; {reply.hint}" if reply.hint else reply.message
        return Failed(reply.stage, reply.code, message, reply.trace[-8192:])  # type: ignore[arg-type]
    return Failed("protocol", "runtime", f"another runtime answered: {reply.value.get('runtime')}")


def _words(outcome: Outcome) -> str:
    return outcome.message if isinstance(outcome, Failed) else str(getattr(outcome, "reason", outcome))
