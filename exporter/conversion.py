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
from exporter import feeding, labelled, tensors
from exporter.bundle import EXPECTED, Bundle, expected_path, labels_path, weights_path
from exporter.calibration import Calibration, calibration, gathered
from exporter.errors import BundleError, InputsError, SourceError, WorkerFailure
from exporter.formats import Format
from exporter.formats.registry import default_recipes, format_named, formats, parse_recipe, resolved_options
from exporter.inputs import is_function, read_inputs, read_labelled
from exporter.labelled import Asked
from exporter.model import Artifact, Case, Entry, Evaluation, Json, Recipe, Signature
from exporter.parity.cases import CaseInputs, CaseOptions, check_ranges, fit, make_cases
from exporter.parity.environment import cpu
from exporter.protocol.client import NotSupported, Ok, RemoteError
from exporter.selection import chosen
from exporter.source_spec import SourceSpec
from exporter.source_worker import WorkerSession, remote_error, way_on
from exporter.tensors import Tensors
from exporter.text import last_words

Progress = Callable[[str], None]
_DOING = {
    "hello": "starting the source worker",
    "open": "opening the source",
    "layers": "listing the layers",
    "reference": "computing the reference",
    "weights": "reading the source's weights",
    "sensitivity": "measuring the layers",
    "expect": "computing what a quantized artifact should give",
}


@dataclass(frozen=True)
class ConvertOptions:
    """Everything `convert` can be told. Times are seconds; None means the default of 900 per request.

    `evaluation` holds labelled rows: a file, `file.py:function`, or a pair ({input: rows}, {output: labels}); a
    reference model brings its own. `metric` is a name of `exporter.task.METRICS` for every output that has labels, or
    one by output name; so is `max_drop`, by which an artifact may be worse than the source, in the metric's unit.
    `eval_rows` of the rows are used.
    `keep_float` are globs over layer names: those layers stay float in every quantized recipe.
    """

    signature: str | None = None
    custom: Path | None = None
    inputs: str | None = None
    train: bool = True
    timeout: float | None = None
    cases: CaseOptions = field(default_factory=CaseOptions)
    calibration: str | Mapping[str, Any] | None = None
    strict_calibration: bool = False
    image_range: tuple[float, float] = (0.0, 255.0)
    evaluation: str | tuple[Mapping[str, Any], Any] | None = None
    metric: str | Mapping[str, str] | None = None
    max_drop: float | Mapping[str, float] | None = None
    eval_rows: int = labelled.ROWS
    keep_float: tuple[str, ...] = ()

    def asked(self, *, own_data: bool) -> Asked | None:
        """What is to be measured on labelled rows. Raises `UsageError` as `labelled.asked_for`."""
        return labelled.asked_for(
            self.metric, self.max_drop, rows=self.eval_rows, data=self.evaluation is not None, own_data=own_data
        )


def choose_recipes(to: Sequence[str] | None) -> list[tuple[Recipe, bool]]:
    """(recipe, was it named explicitly), in writing order, each once."""
    named = [] if not to else [parse_recipe(t) for t in to if t != "all"]
    chosen: dict[Recipe, bool] = {}
    if not to or "all" in to:
        chosen.update(dict.fromkeys(default_recipes(all_variants=bool(to)), False))
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
        self._calibration_files: dict[str, str] = {}
        self._keep_float: tuple[str, ...] = ()
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
            "calibration": self._worker_calibration(),
            "evaluation": self._worker_evaluation(),
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

    def choose_layers(self) -> None:
        """Find the layers that are to stay float. Raises `UsageError` for a glob that fits none."""
        if not self._options.keep_float:
            return
        layers = self.layers()
        if not layers:
            raise SourceError(
                "no-layers",
                "the graph has no layers and no name scopes, so nothing can be named with --keep-float",
                "convert the Keras model it was made from, or build it under tf.name_scope",
            )
        self._keep_float = chosen(self._options.keep_float, layers)

    def layers(self) -> list[str]:
        """The names that a selection of layers can be made of."""
        found = self._local("layers", {}) if self._local is not None else self._ask("layers")
        return list(found["layers"])

    def sensitivity(self, recipe: Recipe, inputs: Mapping[str, Tensors]) -> Json:
        """What each layer loses by being quantized, by the rows given for each signature."""
        if self._worker is None:
            self._restart()
        files = {}
        for name, rows in inputs.items():
            files[name] = str(self._staging / f"rows-{name}.safetensors")
            tensors.save(files[name], rows)
        return self._ask(
            "sensitivity",
            format=recipe.format,
            options=resolved_options(recipe),
            examples={s: {n: list(a.shape) for n, a in rows.items()} for s, rows in inputs.items()},
            calibration=self._calibration_files,
            inputs=files,
        )

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

    def own_inputs(self) -> dict[str, Tensors]:
        """The source's own data, or what was given in its place, by signature."""
        given = self._options.inputs
        file_inputs = read_inputs(given, self.signatures) if given and not is_function(given) else None
        found = {signature.name: (signature, self._own(signature.name, file_inputs)) for signature in self.signatures}
        return {name: fit(signature, own) for name, (signature, own) in found.items() if own is not None}

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
        fields: Json = {"signature": signature.name, "inputs": str(inputs), "outputs": str(outputs)}
        if made.origin == labelled.CASE and signature.name not in self.facts["stateful"]:
            fields["most"] = labelled.BATCH
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

    # -- evaluation

    def make_evaluation(self) -> tuple[Case, Evaluation] | None:
        """The case of labelled rows, and the source's own metrics on it; None where none was asked for.

        Raises:
            InputsError: rows, labels, metric and signature do not fit each other.
        """
        asked = self._options.asked(own_data=self._spec.kind == "reference")
        if asked is None:
            return None
        origin, given, labels = self._evaluation_rows()
        signature = labelled.signature_for(given, self.signatures)
        rows = fit(signature, given)
        count = len(next(iter(rows.values())))
        labels = labelled.labels_for(signature, labels, asked, count)
        numbers = labelled.drawn(count, self._options.eval_rows, self._options.cases.seed)
        if len(numbers) < count:
            self.notes.append(
                f"evaluation: {len(numbers)} of {count} rows were drawn, the others left out; --eval-rows N takes more"
            )
        case = self._reference(signature, CaseInputs(labelled.CASE, labelled.taken(rows, numbers), labelled.CASE))
        assert case is not None
        outputs = tensors.load(self.root / case.reference)
        tasks, fitting = labelled.tasks_for(outputs, labelled.taken(labels, numbers), asked, numbers)
        path = labels_path(signature.name)
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        tensors.save(self.root / path, fitting)
        return case, Evaluation(signature.name, case.name, path, origin, len(numbers), count, tasks)

    def _evaluation_rows(self) -> tuple[str, Tensors, Tensors]:
        """Where they come from, inputs by name, and labels by name."""
        given = self._options.evaluation
        if given is not None and not isinstance(given, str):
            return ("arrays", *labelled.split_pair(given, "the evaluation"))
        if given is None or is_function(given):
            inputs, labels = (tensors.load(path) for path in self.facts["evaluation"])
            return given or "the model's own test data", inputs, labels
        return (given, *read_labelled(given, self.signatures))

    def _worker_evaluation(self) -> Json | None:
        """What only the source worker can read: a function, or a reference model's own test data."""
        given = self._options.evaluation
        own = bool(self._options.metric) and given is None
        return {"from": given} if own or (isinstance(given, str) and is_function(given)) else None

    # -- calibration

    def calibrate(self, cases: Iterable[Case]) -> Calibration | None:
        """Check, audit and stage the rows that static quantization measures activations on; None without any."""
        origin, given = self._calibration_rows()
        if not given:
            return None
        own: dict[str, list[Tensors]] = {}
        for case in cases:
            if case.real:
                own.setdefault(case.signature, []).append(tensors.load(self.root / case.inputs))
        judged = {name: gathered(found) for name, found in own.items()}
        found = calibration(origin, given, self.signatures, judged, seed=self._options.cases.seed)
        if found.findings and self._options.strict_calibration:
            raise InputsError(
                "calibration",
                "; ".join(f"{finding.code}: {finding.message}" for finding in found.findings),
                "give other rows with --calibration, or leave out --strict-calibration",
            )
        for finding in found.findings:
            self.notes.append(f"calibration: {finding.code}: {finding.message}")
        for name, rows in found.rows.items():
            path = self._staging / f"measured-{name}.safetensors"
            tensors.save(path, rows)
            self._calibration_files[name] = str(path)
        return found

    def calibration_cases(self, cases: Sequence[Case], measured: Calibration) -> list[Case]:
        """A case of calibration rows for each signature that no other data judge.

        Made-up inputs lie outside of the calibrated ranges: with those alone nothing would judge an int8 artifact.
        """
        judged = {case.signature for case in cases if case.real}
        out = []
        for signature in self.signatures:
            if signature.name in measured.rows and signature.name not in judged:
                rows = {
                    name: array[: self._options.cases.samples] for name, array in measured.rows[signature.name].items()
                }
                case = self._reference(signature, CaseInputs("calibration", rows, "calibration"))
                out += [case] if case is not None else []
        return out

    def _worker_calibration(self) -> Json | None:
        by_worker = _by_worker(self._options.calibration)
        if by_worker is None:
            return None
        return {"from": by_worker, "range": list(self._options.image_range), "seed": self._options.cases.seed}

    def _calibration_rows(self) -> tuple[str, Mapping[str, Tensors]]:
        given = self._options.calibration
        stored = {name: tensors.load(path) for name, path in self.facts.get("calibration", {}).items()}
        if given is None:
            return "the model's own training data", stored
        if not isinstance(given, str):
            nested = all(isinstance(value, Mapping) for value in given.values())
            return "arrays", dict(given) if nested else {self.signatures[0].name: dict(given)}
        return given, stored if _by_worker(given) else read_inputs(given, self.signatures)

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
            "calibration": self._calibration_files,
            "keep_float": list(self._keep_float),
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
            quantization=value["quantization"],
            seconds=seconds,
            bytes=sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()),
        )

    def expect(self, artifact: Artifact, cases: Iterable[Case]) -> Artifact:
        """Store what a quantized artifact should hold, and give besides the source's outputs.

        An artifact of which that cannot be told cannot be judged: it has failed.
        """
        if artifact.status != "written" or format_named(artifact.recipe.format).expected is None:
            return artifact
        directory = self.root / "artifacts" / artifact.recipe.directory
        try:
            if self._worker is None:
                self._restart()
            self._expect(artifact, directory, cases)
        except SourceError as error:
            self.kill()
            self._worker = None
            reason = f"what it should hold and give is unknown: {error.message}"
            return self._discard(
                directory, Artifact(artifact.recipe, "failed", reason, "expected", explicit=artifact.explicit)
            )
        return artifact

    def _expect(self, artifact: Artifact, directory: Path, cases: Iterable[Case]) -> None:
        fields: Json = {"format": artifact.recipe.format, "directory": str(directory)}
        for name, entry in artifact.entries.items():
            path = self.root / weights_path(artifact, name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._ask("weights", **fields, entry=entry.to_json(), outputs=str(path))
        for case in cases:
            # reference kernels are slow, and the other cases show whether a runtime computes what it should
            if case.signature not in artifact.entries or case.origin == labelled.CASE:
                continue
            entry = artifact.entries[case.signature]
            signature = next(s for s in self.signatures if s.name == case.signature)
            if feeding.refusal(signature, entry, tensors.load(self.root / case.inputs)):
                continue
            self._ask(
                "expect",
                **fields,
                signature=case.signature,
                entry=entry.to_json(),
                inputs=str(self.root / case.inputs),
                outputs={kind: str(self.root / expected_path(artifact.recipe, case, kind)) for kind in EXPECTED},
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
        }
        self._worker = WorkerSession(self._log, self._scratch, self._timeout)
        self._ask("open", spec=spec, staging=str(self._staging))

    @staticmethod
    def _discard(directory: Path, artifact: Artifact) -> Artifact:
        shutil.rmtree(directory, ignore_errors=True)
        return artifact


def _by_worker(calibration: object) -> str | None:
    """What only the source worker can read: a function, or a directory of images."""
    given = calibration if isinstance(calibration, str) else ""
    return given if given and (is_function(given) or Path(given).is_dir()) else None


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
        converter.choose_layers()
        for name, value in converter.facts.get("metrics", {}).items():
            progress(f"trained: {name} {value:.4g}")
        progress("computing the reference")
        cases = converter.make_cases()
        evaluated = converter.make_evaluation()
        if evaluated is not None:
            cases.append(evaluated[0])
            for found in evaluated[1].tasks:
                progress(f"the source itself: {found.metric} {found.source:.4g} ({found.output})")
        examples = _examples(cases, converter.root)
        calibrated = any(format_named(r.format).calibrated for r, _ in recipes)
        measured = converter.calibrate(cases) if calibrated or options.calibration is not None else None
        if measured is not None:
            cases += converter.calibration_cases(cases, measured)
        artifacts = []
        for recipe, explicit in recipes:
            progress(f"writing {recipe.id}")
            artifact = converter.write(recipe, explicit=explicit, examples=examples)
            artifact = converter.expect(artifact, cases)
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
            "calibration": measured.to_json() if measured else None,
        },
        reference={"versions": converter.versions, "cpu": cpu()},
        tool={"exporter": exporter.__version__, "python": sys.version.split()[0]},
        signatures=converter.signatures,
        artifacts=tuple(artifacts),
        cases=tuple(cases),
        notes=(*converter.facts.get("notes", ()), *converter.notes),
        evaluation=evaluated[1] if evaluated else None,
    )
    bundle.save()
    return bundle
