"""Converting a source: open it once, make its cases, compute the reference, write every recipe, verify, publish.

The bundle is built beside its destination and moved into place only when it is complete.
"""

from __future__ import annotations

import functools
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import exporter
from exporter import feeding, labelled, tensors
from exporter.asking import cause_of, has_independent_rows, numbered, rejected_rows, takes_rows
from exporter.bundle import EXPECTED, Bundle, expected_path, labels_path, weights_path
from exporter.calibration import Calibration, calibration, gathered
from exporter.convert_options import ConvertOptions
from exporter.errors import InputsError, SourceError, WorkerFailure
from exporter.formats.registry import format_named, is_quantized, resolved_options
from exporter.inputs import is_function, read_inputs, read_labelled
from exporter.model import Artifact, Case, Entry, Evaluation, Json, Recipe, Signature
from exporter.parity.cases import CaseInputs, check_ranges, fit, make_cases
from exporter.parity.confirmation import describe_idle_outputs
from exporter.parity.environment import cpu
from exporter.parity.left_out import BATCH, RANDOM, batch_outputs, describe
from exporter.parity.made_up import made_up, pinned_needs
from exporter.protocol.client import NotSupported, Ok, RemoteError
from exporter.repeatability import pooled_rows
from exporter.selection import chosen
from exporter.source_session import SourceSession, disk_full, worker_calibration
from exporter.source_spec import SourceSpec
from exporter.tensors import Tensors
from exporter.text import last_words

Progress = Callable[[str], None]


class Converter:
    """One conversion: what is asked of the source, and what of it goes into the bundle at `root`."""

    def __init__(self, spec: SourceSpec, work: Path, options: ConvertOptions, model: Any = None) -> None:
        self._spec = spec
        self._options = options
        self._calibration_files: dict[str, str] = {}
        self._keep_float: tuple[str, ...] = ()
        self.root = work / "bundle"
        for path in (self.root / "artifacts", self.root / "logs"):
            path.mkdir(parents=True)
        self.source = SourceSession(spec, work, self.root / "logs" / "source.log", options, model)
        self.notes: list[str] = []
        self.disagreements: Json = {RANDOM: {}, BATCH: {}}
        self.made_up: dict[str, dict[str, str]] = {}

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
        return list(self.source.ask("layers")["layers"])

    def sensitivity(self, recipe: Recipe, inputs: Mapping[str, Tensors]) -> Json:
        """What each layer loses by being quantized, by the rows given for each signature."""
        files = {}
        for name, rows in inputs.items():
            files[name] = str(self.source.staging / f"rows-{name}.safetensors")
            tensors.save(files[name], rows)
        return self.source.ask_apart(
            "sensitivity",
            format=recipe.format,
            options=resolved_options(recipe),
            examples=files,
            calibration=self._calibration_files,
            inputs=files,
        )

    # -- cases and reference

    def make_cases(self) -> list[Case]:
        check_ranges(self.source.signatures, self._options.cases)
        file_inputs = None
        if self._options.inputs and not is_function(self._options.inputs):
            file_inputs = read_inputs(self._options.inputs, self.source.signatures)
        rows = {signature.name: self._own(signature.name, file_inputs) for signature in self.source.signatures}
        self.source.signatures = tuple(
            replace(signature, independent=self._is_independent(signature, rows[signature.name]))
            for signature in self.source.signatures
        )
        out = []
        for signature in self.source.signatures:
            own = rows[signature.name]
            facts = self.source.facts["ranges"].get(signature.name, {})
            out += self._cases(signature, make_cases(signature, own, facts, self._options.cases))
            if own is None and signature.inputs:
                self.made_up[signature.name] = made_up(signature, facts, self._options.cases)
        if not out:
            raise SourceError("no-cases", "no case could be made, so there would be nothing to compare")
        return out

    def _is_independent(self, signature: Signature, own: Tensors | None) -> bool:
        """Whether inputs may have different numbers of rows, asked of the source where the signature leaves it open."""
        if not signature.batched or len(signature.inputs) < 2:
            return False
        apart = replace(signature, independent=True)
        run = functools.partial(self._run, apart)
        if own is not None and len({len(array) for array in own.values() if array.ndim}) > 1:
            return takes_rows(run, fit(apart, own)) is not None
        if not any(None in (spec.shape or ())[1:] for spec in signature.outputs):
            return False
        facts, sizes = self.source.facts["ranges"].get(signature.name, {}), (2, 3)
        options = replace(self._options.cases, batch_sizes=sizes)
        made = {case.name: case.inputs for case in make_cases(signature, own, facts, options)}
        return has_independent_rows(run, *(made[f"batch-{size}"] for size in sizes))

    def own_inputs(self) -> dict[str, Tensors]:
        """The source's own data, or what was given in its place, by signature."""
        given = self._options.inputs
        file_inputs = read_inputs(given, self.source.signatures) if given and not is_function(given) else None
        found = ((signature, self._own(signature.name, file_inputs)) for signature in self.source.signatures)
        return {signature.name: fit(signature, own) for signature, own in found if own is not None}

    def _own(self, signature: str, file_inputs: Mapping[str, Tensors] | None) -> Tensors | None:
        if file_inputs is not None:
            return file_inputs.get(signature)
        stored = self.source.facts["own"].get(signature)
        return tensors.load(stored) if stored else None

    def _cases(self, signature: Signature, made: Iterable[CaseInputs]) -> list[Case]:
        """The cases that the source takes.

        Raises:
            SourceError: it rejects its own rows, or everything.
        """
        out, causes = [], []
        for one in made:
            try:
                out.append(self._reference(signature, one))
            except SourceError as error:
                ended = isinstance(error.__cause__, WorkerFailure)
                if error.code != "reference" and not (ended and one.optional):
                    raise
                cause = cause_of(error, signature.name)
                if not one.optional and one.inputs:
                    raise self._own_rows_fail(signature, one, cause) from error
                if ended:
                    self.source.drop_worker()  # a kernel that ends the process on a value that means nothing
                causes.append(cause)
                self.notes.append(
                    f"case {one.name} of {signature.name} left out: it is {one.kind}, and the source itself fails on "
                    f"it: {cause}"
                )
        if not out:
            raise SourceError(
                "no-cases",
                f"the source itself fails on all inputs that were made up for signature {signature.name!r}: "
                f"{'; '.join(dict.fromkeys(causes))}",
                "give inputs that it takes with --inputs, bounds with --range, or choose another signature with "
                "--signature",
            )
        return out

    def _own_rows_fail(self, signature: Signature, made: CaseInputs, cause: str) -> SourceError:
        """Which of its own rows the source rejects."""
        where = "the inputs given" if self._options.inputs else "its own data"
        which = ""
        if signature.batched:
            count = len(next(iter(made.inputs.values())))
            rejected = rejected_rows(lambda rows: self._run(signature, rows), made.inputs)
            if not rejected:
                which = f"the first {count} rows together, and on none of them alone, of "
            else:
                which = "every row of " if len(rejected) == count else f"{numbered(rejected)} of "
        return SourceError(
            "own-rows",
            f"the source itself fails on {which}{where} for signature {signature.name!r}: {cause}",
            "give rows that it takes with --inputs",
        )

    def _run(self, signature: Signature, inputs: Tensors) -> Tensors:
        """The source's outputs for inputs that are no case. Raises `SourceError` as `_reference`."""
        paths = {side: self.source.staging / f"asked-{side}.safetensors" for side in ("inputs", "outputs")}
        tensors.save(paths["inputs"], inputs)
        self.source.ask("reference", signature=signature.name, **{side: str(path) for side, path in paths.items()})
        return tensors.load(paths["outputs"])

    def _reference(self, signature: Signature, made: CaseInputs) -> Case:
        relative = f"{signature.name}/{made.name}.safetensors"
        inputs, outputs = self.root / "cases" / relative, self.root / "references" / relative
        for path in (inputs, outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
        tensors.save(inputs, made.inputs)
        fields: Json = {"signature": signature.name, "inputs": str(inputs), "outputs": str(outputs)}
        at_once = signature.name in self.source.facts["stateful"] or batch_outputs(self.disagreements, signature.name)
        if made.origin == labelled.CASE and not at_once:
            fields["most"] = labelled.BATCH
        try:
            self.source.ask("reference", **fields)
        except SourceError:
            inputs.unlink()
            raise
        origin = "file" if self._options.inputs and made.origin == "data" else made.origin
        return Case(
            made.name, signature.name, f"cases/{relative}", f"references/{relative}", origin, self._options.cases.seed
        )

    def probe(self, cases: Sequence[Case]) -> None:
        """Ask the source again on a few rows: what it answers otherwise is random, or depends on its batch."""
        for signature in self.source.signatures:
            own = sorted((c for c in cases if c.signature == signature.name), key=lambda case: not case.real)
            given = [tensors.load(self.root / case.inputs) for case in own]
            if not given:
                continue
            path = self.source.staging / f"probe-{signature.name}.safetensors"
            tensors.save(path, pooled_rows(given) if signature.batched else given[0])
            try:
                found = self.source.ask("probe", signature=signature.name, inputs=str(path))
            except SourceError as error:
                if error.code != "reference":
                    raise
                self.notes.append(f"whether outputs of {signature.name} are random was not found out: {error.message}")
                continue
            for key, outputs in ((RANDOM, found["random"]), (BATCH, found["batch"])):
                if outputs:
                    self.disagreements[key][signature.name] = outputs
            self.notes += describe(self.disagreements, signature.name)

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
        signature = labelled.signature_for(given, self.source.signatures)
        rows = fit(signature, given)
        count = len(next(iter(rows.values())))
        labels = labelled.labels_for(signature, labels, asked, count)
        numbers = labelled.drawn(count, self._options.eval_rows, self._options.cases.seed)
        if len(numbers) < count:
            self.notes.append(
                f"evaluation: {len(numbers)} of {count} rows were drawn, the others left out; --eval-rows N takes more"
            )
        case = self._reference(signature, CaseInputs(labelled.CASE, labelled.taken(rows, numbers), labelled.CASE))
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
            inputs, labels = (tensors.load(path) for path in self.source.facts["evaluation"])
            return given or "the model's own test data", inputs, labels
        return (given, *read_labelled(given, self.source.signatures))

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
        found = calibration(origin, given, self.source.signatures, judged, seed=self._options.cases.seed)
        if found.findings and self._options.strict_calibration:
            raise InputsError(
                "calibration",
                "; ".join(f"{finding.code}: {finding.message}" for finding in found.findings),
                "give other rows with --calibration, or leave out --strict-calibration",
            )
        for finding in found.findings:
            self.notes.append(f"calibration: {finding.code}: {finding.message}")
        for name, rows in found.rows.items():
            path = self.source.staging / f"measured-{name}.safetensors"
            tensors.save(path, rows)
            self._calibration_files[name] = str(path)
        return found

    def calibration_cases(self, cases: Sequence[Case], measured: Calibration) -> list[Case]:
        """A case of calibration rows for each signature that no other data judge.

        Made-up inputs lie outside of the calibrated ranges: with those alone nothing would judge an int8 artifact.
        """
        judged = {case.signature for case in cases if case.real}
        out = []
        for signature in self.source.signatures:
            if signature.name in measured.rows and signature.name not in judged:
                rows = {
                    name: array[: self._options.cases.samples] for name, array in measured.rows[signature.name].items()
                }
                case = self._reference(signature, CaseInputs("calibration", rows, "calibration"))
                out.append(case)
        return out

    def _calibration_rows(self) -> tuple[str, Mapping[str, Tensors]]:
        given = self._options.calibration
        stored = {name: tensors.load(path) for name, path in self.source.facts.get("calibration", {}).items()}
        if given is None:
            return "the model's own training data", stored
        if not isinstance(given, str):
            nested = all(isinstance(value, Mapping) for value in given.values())
            return "arrays", dict(given) if nested else {self.source.signatures[0].name: dict(given)}
        return given, stored if worker_calibration(given) else read_inputs(given, self.source.signatures)

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
            "metadata": dict(self._options.metadata),
            "random": {name: list(outputs) for name, outputs in self.disagreements[RANDOM].items()},
        }
        began = time.monotonic()
        reply: Ok | NotSupported | RemoteError | WorkerFailure
        try:
            reply = self.source.write(fields, needs_model=format_named(recipe.format).needs_model)
        except WorkerFailure as failure:
            reply = failure
        if isinstance(reply, RemoteError) and reply.code == "disk-full":
            raise disk_full(f"writing {recipe.id}", reply.message)
        artifact = artifact_of(recipe, reply, directory, time.monotonic() - began, explicit=explicit)
        pinned = pinned_needs(self.source.signatures, artifact.entries, self.made_up)
        artifact = replace(artifact, needs=(*artifact.needs, *pinned))
        return artifact if artifact.status == "written" else self._discard(directory, artifact)

    def expect(self, artifact: Artifact, cases: Iterable[Case]) -> Artifact:
        """Store what a quantized artifact should hold, and give besides the source's outputs.

        An artifact of which that cannot be told cannot be judged: it has failed.
        """
        if artifact.status != "written" or not is_quantized(artifact.recipe):
            return artifact
        directory = self.root / "artifacts" / artifact.recipe.directory
        try:
            self._expect(artifact, directory, cases)
        except SourceError as error:
            self.source.drop_worker()
            reason = f"what it should hold and give is unknown: {error.message}"
            return self._discard(
                directory, Artifact(artifact.recipe, "failed", reason, "expected", explicit=artifact.explicit)
            )
        return artifact

    def _expect(self, artifact: Artifact, directory: Path, cases: Iterable[Case]) -> None:
        recipe = artifact.recipe
        fields: Json = {"format": recipe.format, "options": resolved_options(recipe), "directory": str(directory)}
        for name, entry in artifact.entries.items():
            path = self.root / weights_path(artifact, name)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self.source.ask_apart("weights", **fields, entry=entry.to_json(), outputs=str(path))
        for case in cases:
            # reference kernels are slow, and the other cases show whether a runtime computes what it should
            if case.signature not in artifact.entries or case.origin == labelled.CASE:
                continue
            entry = artifact.entries[case.signature]
            signature = next(s for s in self.source.signatures if s.name == case.signature)
            if feeding.refusal(signature, entry, tensors.load(self.root / case.inputs)):
                continue
            self.source.ask_apart(
                "expect",
                **fields,
                signature=case.signature,
                entry=entry.to_json(),
                inputs=str(self.root / case.inputs),
                outputs={kind: str(self.root / expected_path(artifact.recipe, case, kind)) for kind in EXPECTED},
            )

    @staticmethod
    def _discard(directory: Path, artifact: Artifact) -> Artifact:
        shutil.rmtree(directory, ignore_errors=True)
        return artifact


def artifact_of(
    recipe: Recipe,
    reply: Ok | NotSupported | RemoteError | WorkerFailure,
    directory: Path,
    seconds: float = 0.0,
    *,
    explicit: bool,
) -> Artifact:
    """What became of a recipe, by what the source worker answered after `seconds`, or how it ended."""
    if isinstance(reply, WorkerFailure):
        words = last_words(reply.tail) if reply.stage == "crash" else ""
        reason = reply.message + (f" ({words})" if words else "")
        return Artifact(recipe, "failed", reason, reply.code, explicit)
    if isinstance(reply, NotSupported):
        return Artifact(recipe, "refused", reply.reason, "refused", explicit)
    if isinstance(reply, RemoteError):
        return Artifact(recipe, "failed", reply.message, reply.code, explicit)
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
        needs=tuple(value["needs"]),
        quantization=value["quantization"],
        seconds=seconds,
        bytes=sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()),
    )


def _examples(cases: Iterable[Case], root: Path) -> Json:
    """Signature -> the file with the inputs of its first case."""
    out: Json = {}
    for case in cases:
        out.setdefault(case.signature, str(root / case.inputs))
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
    converter = Converter(spec, work, options, model)
    source = converter.source
    try:
        progress(f"opening {spec.text}")
        source.open()
        check(source.signatures)
        converter.choose_layers()
        for name, value in source.facts.get("metrics", {}).items():
            progress(f"trained: {name} {value:.4g}")
        progress("computing the reference")
        cases = converter.make_cases()
        converter.probe(cases)
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
        source.close()
    except BaseException:
        source.kill()
        raise
    bundle = Bundle(
        root=converter.root,
        source={
            **source.facts["source"],
            "name": spec.name,
            "text": spec.text,
            "metrics": source.facts.get("metrics", {}),
            "stateful": source.facts.get("stateful", []),
            "float64": source.facts.get("float64", {}),
            **converter.disagreements,
            "seconds": source.facts.get("seconds", 0.0),
            "peak_bytes": source.peak_bytes,
            "calibration": measured.to_json() if measured else None,
        },
        reference={"versions": source.versions, "cpu": cpu()},
        tool={"exporter": exporter.__version__, "python": sys.version.split()[0]},
        signatures=source.signatures,
        artifacts=tuple(artifacts),
        cases=tuple(cases),
        notes=(*source.facts.get("notes", ()), *converter.notes),
        made_up=converter.made_up,
        evaluation=evaluated[1] if evaluated else None,
    )
    bundle = replace(bundle, notes=(*bundle.notes, *describe_idle_outputs(bundle)))
    bundle.save()
    return bundle
