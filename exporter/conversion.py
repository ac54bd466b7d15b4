"""Converting a source: open it once, make its cases, compute the reference, write every recipe, verify, publish.

The bundle is built beside its destination and moved into place only when it is complete.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import exporter
from exporter import tensors
from exporter.bundle import Bundle
from exporter.errors import BundleError, SourceError, WorkerFailure
from exporter.formats import Format
from exporter.formats.registry import default_recipes, format_named, formats, parse_recipe, resolved_options
from exporter.inputs import is_function, read_inputs
from exporter.model import Artifact, Case, Entry, Json, Recipe, Signature
from exporter.parity.cases import CaseInputs, CaseOptions, check_ranges, make_cases
from exporter.parity.environment import cpu
from exporter.protocol.client import NotSupported, Ok, RemoteError
from exporter.source_spec import SourceSpec
from exporter.source_worker import WorkerSession, remote_error, way_on
from exporter.tensors import Tensors
from exporter.text import last_words

Progress = Callable[[str], None]
_DOING = {"hello": "starting the source worker", "open": "opening the source", "reference": "computing the reference"}


@dataclass(frozen=True)
class ConvertOptions:
    """Everything `convert` can be told. Times are seconds; None means the default of 900 per request."""

    signature: str | None = None
    custom: Path | None = None
    inputs: str | None = None
    train: bool = True
    timeout: float | None = None
    cases: CaseOptions = field(default_factory=CaseOptions)


def choose_recipes(to: Sequence[str] | None) -> list[tuple[Recipe, bool]]:
    """(recipe, was it named explicitly), in writing order, each once."""
    named = [] if not to else [parse_recipe(t) for t in to if t != "all"]
    chosen: dict[Recipe, bool] = {}
    if not to or "all" in to:
        chosen.update(dict.fromkeys(default_recipes(), False))
    chosen.update(dict.fromkeys(named, True))
    order = list(formats())
    return sorted(chosen.items(), key=lambda item: (order.index(item[0].format), item[0].id))


class Converter:
    """One conversion: the source session, restarted from staged files when a recipe kills it."""

    def __init__(self, spec: SourceSpec, work: Path, options: ConvertOptions, progress: Progress, model: Any) -> None:
        self._spec = spec
        self._options = options
        self._progress = progress
        self._model = model
        self._staging = work / "staging"
        self._scratch = work / "scratch"
        self.root = work / "bundle"
        for path in (self._staging, self._scratch, self.root / "artifacts", self.root / "logs"):
            path.mkdir(parents=True)
        self._log = self.root / "logs" / "source.log"
        self._timeout = options.timeout or 900.0
        self._worker: WorkerSession | None = None
        self._local: Any = None
        self._local_only: set[str] = set()
        self.facts: Json = {}
        self.signatures: tuple[Signature, ...] = ()
        self.versions: Json = {}
        self.notes: list[str] = []
        self.peak_bytes = 0

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self.peak_bytes = max(self.peak_bytes, self._worker.peak_bytes)

    def kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    # -- opening

    def open(self) -> None:
        if self._model is not None:
            self._open_object()
            return
        if self._spec.kind == "keras":
            _check_keras_file(self._spec.path, self._options)
        self._worker = WorkerSession(self._log, self._scratch, self._timeout)
        self.versions = self._ask("hello", protocol=1, runtime="source")["versions"]
        self._describe(self._ask("open", spec=self._spec_json(), staging=str(self._staging)))

    def _spec_json(self) -> Json:
        spec, inputs = self._spec, self._options.inputs
        return {
            "kind": spec.kind,
            "path": str(spec.path),
            "name": spec.name,
            "callable": spec.callable,
            "signature": self._options.signature,
            "custom": str(self._options.custom) if self._options.custom else None,
            "train": self._options.train,
            "inputs": inputs if inputs and is_function(inputs) else None,
        }

    def _open_object(self) -> None:
        """A model object cannot be sent elsewhere without code or pickle: stage it here, isolate what follows."""
        from exporter.source.loaders import from_callable
        from exporter.source.opening import describe
        from exporter.workers.source import SourceHandler, versions

        source = from_callable(self._model, self._staging)
        source.stage()
        self._local = SourceHandler(source)
        self.versions = versions()
        facts = describe(source, {}, self._staging)
        self._describe(
            {
                "source": {"kind": "object", "digest": ""},
                "facts": facts,
                "signatures": [s.to_json() for s in source.signatures.values()],
            }
        )

    def _describe(self, value: Json) -> None:
        self.facts = {**value["facts"], "source": value["source"]}
        self.signatures = tuple(Signature.from_json(s) for s in value["signatures"])

    def _ask(self, op: str, **fields: Any) -> Json:
        """One request whose failure is the end of the conversion."""
        assert self._worker is not None
        try:
            reply = self._worker.request(op, **fields)
        except WorkerFailure as failure:
            raise SourceError(
                failure.code, f"{_DOING.get(op, op)} failed: {failure.message}", way_on(failure)
            ) from failure
        if isinstance(reply, Ok):
            return reply.value
        if isinstance(reply, NotSupported):
            raise SourceError("unsupported", reply.reason)
        if reply.code == "disk-full":
            raise _disk_full(_DOING.get(op, op), reply.message)
        raise remote_error(reply)

    # -- cases and reference

    def make_cases(self) -> list[Case]:
        check_ranges(self.signatures, self._options.cases)
        file_inputs = None
        if self._options.inputs and not is_function(self._options.inputs):
            file_inputs = read_inputs(self._options.inputs, self.signatures)
        out = []
        for signature in self.signatures:
            own = self._own(signature.name, file_inputs)
            facts = self.facts["ranges"].get(signature.name, {})
            for made in make_cases(signature, own, facts, self._options.cases):
                case = self._reference(signature, made)
                if case is not None:
                    out.append(case)
        if not out:
            raise SourceError("no-cases", "no case could be made, so there would be nothing to compare")
        return out

    def _own(self, signature: str, file_inputs: Mapping[str, Tensors] | None) -> Tensors | None:
        if file_inputs is not None:
            return file_inputs.get(signature)
        stored = self.facts["own"].get(signature)
        return tensors.load(stored) if stored else None

    def _reference(self, signature: Signature, made: CaseInputs) -> Case | None:
        relative = f"{signature.name}/{made.name}.safetensors"
        inputs, outputs = self.root / "cases" / relative, self.root / "references" / relative
        for path in (inputs, outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
        tensors.save(inputs, made.inputs)
        fields = {"signature": signature.name, "inputs": str(inputs), "outputs": str(outputs)}
        try:
            if self._local is not None:
                self._local("reference", fields)
            else:
                self._ask("reference", **fields)
        except SourceError as error:
            if not made.optional or error.code != "reference":
                raise
            inputs.unlink()
            self.notes.append(f"case {made.name} of {signature.name} left out: {error.message}")
            return None
        origin = "file" if self._options.inputs and made.origin == "data" else made.origin
        return Case(
            made.name, signature.name, f"cases/{relative}", f"references/{relative}", origin, self._options.cases.seed
        )

    # -- writing

    def write(self, recipe: Recipe, *, explicit: bool, examples: Json) -> Artifact:
        """Write one recipe. A crash, hang or converter error is a failed artifact, never the end."""
        directory = self.root / "artifacts" / recipe.directory
        directory.mkdir(parents=True)
        fields = {
            "recipe": recipe.id,
            "format": recipe.format,
            "options": resolved_options(recipe),
            "directory": str(directory),
            "examples": examples,
        }
        began = time.monotonic()
        try:
            reply = self._write_request(format_named(recipe.format), fields)
        except WorkerFailure as failure:
            words = last_words(failure.tail) if failure.stage == "crash" else ""
            reason = failure.message + (f" ({words})" if words else "")
            return self._discard(directory, Artifact(recipe, "failed", reason, failure.code, explicit))
        seconds = time.monotonic() - began
        if isinstance(reply, NotSupported):
            return self._discard(directory, Artifact(recipe, "refused", reply.reason, "refused", explicit))
        if isinstance(reply, RemoteError):
            if reply.code == "disk-full":
                raise _disk_full(f"writing {recipe.id}", reply.message)
            return self._discard(directory, Artifact(recipe, "failed", reply.message, reply.code, explicit))
        value = reply.value
        return Artifact(
            recipe=recipe,
            status="written",
            explicit=explicit,
            entries={k: Entry.from_json(e) for k, e in value["entries"].items()},
            unavailable=value["unavailable"],
            rewrites=tuple(value["rewrites"]),
            versions=value["versions"],
            needs_code=tuple(value["needs_code"]),
            seconds=seconds,
            bytes=sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()),
        )

    def _write_request(self, format: Format, fields: Json) -> Ok | NotSupported | RemoteError:
        if self._local is not None and format.needs_model:
            from exporter.workers.serve import error_reply

            try:
                return Ok(self._local("write", fields))
            except Exception as error:
                reply = error_reply("write", error)
                if "unsupported" in reply:
                    return NotSupported(reply["unsupported"]["reason"])
                return RemoteError(**reply["error"])
        if self._worker is None:
            self._restart()
        assert self._worker is not None
        try:
            return self._worker.request("write", **fields)
        except WorkerFailure:
            self._worker = None
            raise

    def _restart(self) -> None:
        """A fresh worker that continues from the staged files, with the same weights."""
        module = self._spec.path if self._spec.kind in ("reference", "callable") else None
        spec = {
            "kind": "staged",
            "path": str(self._staging),
            "custom": str(self._options.custom) if self._options.custom else None,
            "module": str(module) if module else None,
            "graph_only": self._local is not None,
        }
        self._worker = WorkerSession(self._log, self._scratch, self._timeout)
        self._ask("open", spec=spec, staging=str(self._staging))

    @staticmethod
    def _discard(directory: Path, artifact: Artifact) -> Artifact:
        shutil.rmtree(directory, ignore_errors=True)
        return artifact


def _disk_full(doing: str, message: str) -> BundleError:
    return BundleError(
        "disk-full",
        f"no room left while {doing}: {message}",
        "free space or choose another directory with -o; an existing bundle was left as it was",
    )


def _check_keras_file(path: Path, options: ConvertOptions) -> None:
    """Refuse a broken file before TensorFlow is started; classes of --custom are only known there."""
    from exporter.source.keras_file import check_classes, keras_config

    config = keras_config(path)
    if options.custom is None:
        check_classes(path, config, {})


def _examples(cases: Iterable[Case], root: Path) -> Json:
    """Signature -> input -> a concrete shape that occurs in its first case."""
    out: Json = {}
    for case in cases:
        if case.signature not in out:
            arrays = tensors.load(root / case.inputs)
            out[case.signature] = {n: list(a.shape) for n, a in arrays.items()}
    return out


def write_bundle(
    spec: SourceSpec,
    work: Path,
    recipes: Sequence[tuple[Recipe, bool]],
    options: ConvertOptions,
    progress: Progress,
    model: Any = None,
    check: Callable[[Sequence[Signature]], None] = lambda signatures: None,
) -> Bundle:
    """Everything up to `bundle.json`, in `work/bundle`. Raises `ExporterError`.

    `check` sees the source's signatures before anything is written, and may raise.
    """
    converter = Converter(spec, work, options, progress, model)
    try:
        progress(f"opening {spec.text}")
        converter.open()
        check(converter.signatures)
        for name, value in converter.facts.get("metrics", {}).items():
            progress(f"trained: {name} {value:.4g}")
        progress("computing the reference")
        cases = converter.make_cases()
        examples = _examples(cases, converter.root)
        artifacts = []
        for recipe, explicit in recipes:
            progress(f"writing {recipe.id}")
            artifact = converter.write(recipe, explicit=explicit, examples=examples)
            if artifact.status != "written":
                progress(f"{artifact.status}: {artifact.recipe.id}: {artifact.reason}")
            artifacts.append(artifact)
        converter.close()
    except BaseException:
        converter.kill()
        raise
    facts = converter.facts
    bundle = Bundle(
        root=converter.root,
        source={
            **facts["source"],
            "name": spec.name,
            "text": spec.text,
            "metrics": facts.get("metrics", {}),
            "stateful": facts.get("stateful", []),
            "seconds": facts.get("seconds", 0.0),
            "peak_bytes": converter.peak_bytes,
        },
        reference={"versions": converter.versions, "cpu": cpu()},
        tool={"exporter": exporter.__version__, "python": sys.version.split()[0]},
        signatures=converter.signatures,
        artifacts=tuple(artifacts),
        cases=tuple(cases),
        notes=(*converter.facts.get("notes", ()), *converter.notes),
    )
    bundle.save()
    return bundle
