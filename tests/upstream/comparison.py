"""The same models written by exporter and by the published converter, run in TF.js, compared with Keras.

All of it is one bundle, whose signatures are the models and whose recipes are the ways to files, so that the verdicts
are those of `exporter verify`: its cases, its tolerances. The published converter runs in one process for all models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from exporter import reference, tensors
from exporter.bundle import Bundle
from exporter.formats import Refused, Written
from exporter.formats import _tfjs_published as published
from exporter.formats.registry import format_named, resolved_options
from exporter.model import Artifact, Case, Entry, Recipe, Signature, recipe_of_id
from exporter.outcome import CellResult, Failed, Mismatched, NotRun, Passed, Unsupported
from exporter.parity.environment import cpu
from exporter.parity.plan import plan
from exporter.parity.run import RunResult, run_cells
from exporter.parity.session import RunOptions
from exporter.runtimes.registry import runtime_named
from exporter.source.loaders import from_keras
from exporter.source.opening import open_source
from exporter.source.source import Source
from exporter.tensors import Tensors
from exporter.workers.source import versions

TOP = Path(__file__).resolve().parents[2]
RUNTIMES = {"tfjs-node-cpu": "cpu", "tfjs-node-wasm": "wasm"}
ROWS = 4  # of own data per model: TF.js' cpu backend takes seconds for one image
OWN = ("tfjs-graph", "tfjs-layers")
THEIRS = tuple(f"{name}:writer=tensorflowjs" for name in OWN)
# the published converter's other ways from a Keras file, which no recipe takes
FROM_H5 = tuple(f"{name}:from=h5,writer=tensorflowjs" for name in OWN)
RIGHT = "right"


@dataclass(frozen=True)
class Subject:
    """A model that is open, with inputs by signature and case."""

    name: str
    source: Source
    inputs: Mapping[str, Mapping[str, Tensors]]

    def label(self, signature: str) -> str:
        """The name of one of its signatures among those of all models."""
        return self.name if len(self.inputs) == 1 else f"{self.name}-{signature}"


@dataclass
class Way:
    """What one way to files made of the models, by label: where it is, or why there is nothing."""

    recipe: Recipe
    root: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # of those without an entry: not refused, but failed
    versions: Mapping[str, str] = field(default_factory=dict)

    def directory(self, subject: Subject) -> Path:
        """Where the files of a model are to be; made at the first call."""
        path = self.root / "artifacts" / self.recipe.directory / subject.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def take(self, subject: Subject, write: Callable[[], Written]) -> None:
        """Write a model, and note what came of it."""
        labels = {name: subject.label(name) for name in subject.source.signatures}
        try:
            written = write()
        except Refused as reason:
            self.reasons |= dict.fromkeys(labels.values(), str(reason))
        except Exception as error:
            self.reasons |= dict.fromkeys(labels.values(), str(error) or type(error).__name__)
            self.broken |= set(labels.values())
        else:
            self.versions = written.versions
            self.reasons |= {labels[name]: reason for name, reason in written.unavailable.items()}
            for name, entry in written.entries.items():
                self.entries[labels[name]] = replace(entry, path=f"{subject.name}/{entry.path}")

    def artifact(self) -> Artifact:
        return Artifact(self.recipe, "written", entries=self.entries, unavailable=self.reasons, versions=self.versions)


@dataclass(frozen=True)
class Comparison:
    """The ways by recipe id, the models, and every verdict: recipe id -> label -> backend -> (word, reason)."""

    ways: Mapping[str, Way]
    signatures: tuple[Signature, ...]
    verdicts: Mapping[str, Mapping[str, Mapping[str, tuple[str, str]]]]
    versions: Mapping[str, str]


# -- models


def subjects(scratch: Path) -> Iterator[Subject]:
    """The zoo of small models with random weights, then the reference models, trained."""
    zoo, node = (reference.load_module(TOP / "tests" / "parity" / f"tfjs_{name}.py") for name in ("zoo", "node"))
    for name in zoo.ZOO:
        source = from_keras(node.built(zoo.ZOO[name]), _new(scratch / name))
        source.stage()
        ((key, signature),) = source.signatures.items()
        cases = {}
        for batch in (3, 1):
            rng = np.random.default_rng(batch)
            cases[f"batch-{batch}"] = {s.name: node.feed(s, batch, rng) for s in signature.inputs}
        yield Subject(name, source, {key: cases})
    for name in reference.names():
        spec = {"kind": "reference", "path": str(reference.path_of(name)), "name": name}
        source, facts = open_source(spec, _new(scratch / name))
        own = {key: tensors.load(Path(path)) for key, path in facts["own"].items()}
        rows = {key: ROWS if signature.batched else None for key, signature in source.signatures.items()}
        yield Subject(
            name, source, {key: {"data": {n: a[: rows[key]] for n, a in own[key].items()}} for key in source.signatures}
        )


def _new(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


# -- writing


def write_own(models: Sequence[Subject], root: Path) -> dict[str, Way]:
    """Both formats by exporter's own writers."""
    ways = {name: Way(Recipe(name), root) for name in OWN}
    for subject in models:
        for name, way in ways.items():
            write, directory = format_named(name).write, way.directory(subject)
            way.take(subject, lambda: write(subject.source, directory, resolved_options(way.recipe)))  # noqa: B023
    return ways


@dataclass(frozen=True)
class Job:
    """What the published converter is asked for one model on one way, and what becomes of its answers."""

    way: str
    subject: Subject
    arguments: Sequence[Sequence[str]]
    written: Callable[[Sequence[str]], Written]


def write_theirs(models: Sequence[Subject], root: Path, scratch: Path) -> dict[str, Way]:
    """Both formats by the published converter, from the SavedModel, the `.keras` and the `.h5` file."""
    converter = published.published()
    ways = {name: Way(recipe_of_id(name), root) for name in (*THEIRS, *FROM_H5)}
    jobs = [job for subject in models for job in _jobs(subject, ways, converter, scratch)]
    answers = iter(converter.convert([arguments for job in jobs for arguments in job.arguments]))
    for job in jobs:
        own = [next(answers) for _ in job.arguments]
        ways[job.way].take(job.subject, lambda: job.written(own))  # noqa: B023 - called at once
    return ways


def _jobs(subject: Subject, ways: Mapping[str, Way], converter: published.Converter, scratch: Path) -> Iterator[Job]:
    source, options = subject.source, resolved_options(recipe_of_id(THEIRS[0]))
    at = {name: way.directory(subject) for name, way in ways.items()}
    graph, layers = THEIRS
    yield Job(
        graph,
        subject,
        published.graph_jobs(source.saved_model, source.signatures, at[graph], options),
        lambda answers: published.graph_written(source.signatures, at[graph], answers, converter),
    )
    if source.keras_model is None:
        for name in (layers, *FROM_H5):  # for the reason
            yield Job(name, subject, [], lambda answers: published.layers_written(source, "", converter))
        return
    for name in (layers, *FROM_H5):
        file = _new(scratch / subject.name / ways[name].recipe.directory) / (
            "model.keras" if name == layers else "model.h5"
        )
        source.keras_model.save(file)
        job = published.layers_job(file, at[name], options)
        if name.startswith("tfjs-graph"):
            job = [word.replace("tfjs_layers_model", "tfjs_graph_model") for word in job]
        yield Job(name, subject, [job], lambda answers: published.layers_written(source, answers[0], converter))


# -- running


def compared(root: Path, scratch: Path) -> Comparison:
    """Open, write and run everything below `root`, and judge it. Takes minutes."""
    models = list(subjects(scratch / "models"))
    ways = {**write_own(models, root), **write_theirs(models, root, scratch / "files")}
    signatures, cases = [], []
    for subject in models:
        for name, signature in subject.source.signatures.items():
            label = subject.label(name)
            signatures.append(replace(signature, name=label))
            for case, inputs in subject.inputs[name].items():
                files = [f"{kind}/{label}/{case}.safetensors" for kind in ("cases", "references")]
                for file, arrays in zip(files, (inputs, subject.source.reference(name, inputs)), strict=True):
                    (root / file).parent.mkdir(parents=True, exist_ok=True)
                    tensors.save(root / file, arrays)
                cases.append(Case(case, label, *files, origin="data", seed=0))
    bundle = Bundle(
        root,
        source={"stateful": []},
        reference={"versions": versions(), "cpu": cpu()},
        tool={},
        signatures=tuple(signatures),
        artifacts=tuple(way.artifact() for way in ways.values()),
        cases=tuple(cases),
    )
    runtimes = {name: runtime_named(name) for name in RUNTIMES}
    result = run_cells(bundle, plan(bundle, runtimes.values()), runtimes, _new(root / "logs"), RunOptions(jobs=2))
    return Comparison(ways, bundle.signatures, _verdicts(result, ways), _versions(result, ways))


def _versions(result: RunResult, ways: Mapping[str, Way]) -> dict[str, str]:
    ours = versions()
    theirs = ways[THEIRS[0]].versions
    return {
        **{f"exporter's {name}": ours[name] for name in ("tensorflow", "keras")},
        "tensorflowjs": theirs["tensorflowjs"],
        **{f"its {name}": theirs[name] for name in ("tensorflow", "keras", "tf-keras")},
        # not Node's: any will do
        **{n: v for facts in result.runtimes.values() for n, v in sorted(facts["versions"].items()) if n != "node"},
    }


def _verdicts(result: RunResult, ways: Mapping[str, Way]) -> dict[str, dict[str, dict[str, tuple[str, str]]]]:
    """The first result of each artifact in each runtime that is not a pass decides."""
    found: dict[str, dict[str, dict[str, tuple[str, str]]]] = {name: {} for name in ways}
    for cell in sorted(result.cells):  # runtimes ran side by side
        answer = result.cells[cell]
        backends = found[cell.recipe].setdefault(cell.signature, {})
        backend = RUNTIMES[cell.runtime]
        if backends.get(backend, (RIGHT, ""))[0] == RIGHT:
            backends[backend] = _verdict(answer, broken=cell.signature in ways[cell.recipe].broken)
    return found


def _verdict(answer: CellResult, *, broken: bool) -> tuple[str, str]:
    match answer.outcome:
        case Passed():
            return RIGHT, ""
        case Mismatched(comparison):
            return "wrong", comparison.code
        case Failed("load", _, message):
            return "does not load", message
        case Failed(_, _, message):
            return "does not run", message
        case Unsupported(reason) if broken:
            return "not converted", reason
        case Unsupported(reason):
            return "refused", reason
        case NotRun(reason):
            return "not run", reason
