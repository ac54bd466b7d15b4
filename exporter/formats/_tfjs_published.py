"""The published converter (the Python package `tensorflowjs`) as the other writer of both TF.js formats.

It is a second opinion, chosen for one recipe by `writer=tensorflowjs`. It pins an old TensorFlow and takes 3 GB, so it
lives in an environment of its own, which `make upstream` builds, and is called there by a process of its own, through
the function behind its command line and with the flags' defaults. What it writes is not touched but for the order of a
graph's signature: whether it loads and is right is for the runtimes to say.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.formats import Option, Refused, Writer, Written, parse_size
from exporter.formats import _tfjs_calls as calls
from exporter.formats._quantization import one_of
from exporter.model import Entry, Json, NameMap, Signature
from exporter.resources import root
from exporter.text import last_words

if TYPE_CHECKING:
    from exporter.source.source import Source

OWN, PUBLISHED = "exporter", "tensorflowjs"
WRITER = Option(
    OWN, f"who writes the files: {OWN}, or {PUBLISHED}, the published converter (make upstream)", one_of(OWN, PUBLISHED)
)
VARIABLE = "EXPORTER_UPSTREAM"
_PACKAGES = ("tensorflowjs", "tensorflow", "keras", "tf-keras")
_SERVED = ("writer", "shard-size")
_REORDERED = "inputs and outputs stand in the source's order; the published converter sorts them by name"
_VERSIONS = f"import json, importlib.metadata as m; print(json.dumps({{n: m.version(n) for n in {_PACKAGES!r}}}))"
# one answer per job: what it raised, or nothing
_CONVERT = """
import json, sys, traceback
from tensorflowjs.converters.converter import convert
jobs, answers = sys.argv[1:]
with open(answers, "w") as out:
    for job in json.load(open(jobs)):
        answer = ""
        try:
            convert(job)
        except BaseException as error:
            traceback.print_exc()
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=out, flush=True)
"""


@dataclass(frozen=True)
class Converter:
    """The published converter: the interpreter of its environment, and the versions of what is in there."""

    python: str
    versions: Mapping[str, str]

    def convert(self, jobs: Sequence[Sequence[str]]) -> list[str]:
        """Run its command line's function on lists of arguments, one after the other in one process.

        Returns:
            One sentence per job that says what was raised; empty where nothing was.

        Raises:
            RuntimeError: its process ended before the last answer.
        """
        with tempfile.TemporaryDirectory() as scratch:
            given, answers = Path(scratch) / "jobs.json", Path(scratch) / "answers"
            given.write_text(json.dumps([list(job) for job in jobs]))
            command = [self.python, "-I", "-c", _CONVERT, str(given), str(answers)]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)
            found = [json.loads(line) for line in answers.read_text().splitlines()] if answers.exists() else []
        print(done.stdout, file=sys.stderr)  # the log of the worker
        if len(found) < len(jobs):
            said = last_words(done.stdout)
            raise RuntimeError(f"the published converter ended with status {done.returncode} ({said})")
        return [" ".join(answer.split()) for answer in found]


def published() -> Converter:
    """The converter in the environment that EXPORTER_UPSTREAM names, or else in the one that `make upstream` built.

    Raises:
        Refused: there is none.
    """
    named = os.environ.get(VARIABLE)
    python = named or str(root() / "build" / "venv-upstream" / "bin" / "python")
    fix = f"run: make upstream, or let {VARIABLE} name the Python of an environment that has tensorflowjs"
    if not Path(python).exists():
        what = f"{VARIABLE}={named} does not exist" if named else "the published converter is not installed"
        raise Refused(f"{what}; {fix}")
    done = subprocess.run([python, "-I", "-c", _VERSIONS], capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"{python} has no published converter ({last_words(done.stderr)}); {fix}")
    return Converter(python, json.loads(done.stdout))


def by_writer(own: Writer, theirs: Writer) -> Writer:
    """The writer of a format that has the option `writer`."""
    writers = {OWN: own, PUBLISHED: theirs}

    def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
        return writers[options["writer"]](source, directory, options)

    return write


def write_graph(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Have the staged SavedModel written as graph models, one per signature, to `directory/<signature>/`.

    Raises:
        Refused: the converter is not installed, takes no such option, or rejects the ops of every signature.
        RuntimeError: it fails in another way.
    """
    converter = _checked("tfjs-graph", options)
    answers = converter.convert(graph_jobs(source.saved_model, source.signatures, directory, options))
    return graph_written(source.signatures, directory, answers, converter)


def graph_jobs(
    saved_model: Path, signatures: Iterable[str], directory: Path, options: Mapping[str, str]
) -> list[list[str]]:
    """Arguments that convert each signature of a SavedModel to a graph model."""
    formats = ["--input_format=tf_saved_model", "--output_format=tfjs_graph_model", _shard_size(options)]
    return [
        [*formats, f"--signature_name={name}", str(saved_model), str(directory / folder)]
        for name, folder in _folders(signatures).items()
    ]


def graph_written(
    signatures: Mapping[str, Signature], directory: Path, answers: Sequence[str], converter: Converter
) -> Written:
    """What the jobs of `graph_jobs` left. Raises as `write_graph`."""
    entries: dict[str, Entry] = {}
    unavailable: dict[str, str] = {}
    rewrites: tuple[str, ...] = ()
    needs: list[str] = []
    for (name, folder), answer in zip(_folders(signatures).items(), answers, strict=True):
        if answer:
            unavailable[name] = _rejected(answer)
            shutil.rmtree(directory / folder, ignore_errors=True)
        else:
            path = directory / folder / "model.json"
            document = json.loads(path.read_text())
            names = graph_names(document, signatures[name])
            entries[name] = Entry(f"{folder}/model.json", name, names)
            if in_order(document, names):
                path.write_text(json.dumps(document))
                rewrites = (_REORDERED,)
            ops = ((node["name"], node["op"]) for node in document["modelTopology"].get("node", []))
            subject = f"signature {name!r}" if len(signatures) > 1 else ""
            needs.append(calls.needs(ops, lambda node: (), subject))
    if not entries:
        raise Refused(next(iter(unavailable.values())))
    return Written(entries, unavailable, rewrites, converter.versions, needs=tuple(filter(None, needs)))


def in_order(document: Json, names: NameMap) -> bool:
    """Put a signature of model.json into the order of `names`; True where it was another."""
    changed = False
    for side, keys in (("inputs", names.inputs), ("outputs", names.outputs)):
        found = document["signature"].get(side, {})
        wanted = [*keys.values(), *(key for key in found if key not in keys.values())]
        changed |= list(found) != wanted
        document["signature"][side] = {key: found[key] for key in wanted}
    return changed


def write_layers(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Have the staged Keras file written as `directory/model.json` and its shards.

    Raises:
        Refused: the converter is not installed, takes no such option, or the source is not a Keras model.
        RuntimeError: it fails.
    """
    from exporter.formats.tfjs_layers import call_signature  # not above: that module imports this one

    call_signature(source)
    converter = _checked("tfjs-layers", options)
    with tempfile.TemporaryDirectory() as scratch:
        # it unpacks the file beside itself
        copy = Path(shutil.copy(source.keras_file, scratch))
        (answer,) = converter.convert([layers_job(copy, directory, options)])
    return layers_written(source, answer, converter)


def layers_job(keras_file: Path, directory: Path, options: Mapping[str, str]) -> list[str]:
    """Arguments that convert a Keras file, `.keras` or `.h5`, to a layers model."""
    kind = "keras_keras" if keras_file.suffix == ".keras" else "keras"
    formats = [f"--input_format={kind}", "--output_format=tfjs_layers_model", _shard_size(options)]
    return [*formats, str(keras_file), str(directory)]


def layers_written(source: Source, answer: str, converter: Converter) -> Written:
    """What the job of `layers_job` left. Raises as `write_layers`."""
    from exporter.formats.tfjs_layers import call_signature  # not above: that module imports this one

    if answer:
        raise RuntimeError(f"the published converter failed: {answer}")
    key, unavailable = call_signature(source)
    entry = Entry("model.json", key, source.keras_names(key))
    return Written({key: entry}, unavailable, versions=converter.versions)


def _folders(signatures: Iterable[str]) -> dict[str, str]:
    from exporter.formats.tfjs_graph import folders  # not above: that module imports this one

    return folders(signatures)


def _shard_size(options: Mapping[str, str]) -> str:
    return f"--weight_shard_size_bytes={parse_size(options['shard-size'])}"


def _rejected(answer: str) -> str:
    """The reason behind ops that the converter rejects. Raises `RuntimeError` for any other answer."""
    if "Unsupported Ops" not in answer:
        raise RuntimeError(f"the published converter failed: {answer}")
    return f"the published converter rejects the model: {answer.removeprefix('ValueError: ')}; use writer={OWN}"


def graph_names(document: Json, signature: Signature) -> NameMap:
    """What the names of a signature became in a graph model of the published converter.

    It names a tensor `tensor:0` instead where another one has its dtype and shape. Inputs are the placeholders of
    their names; outputs are `Identity`, `Identity_1` … in the order of their sorted names, which is how TensorFlow
    flattens the result of a signature.

    Raises:
        RuntimeError: an input or output is not there.
    """
    inputs, outputs = (
        {info["name"]: key for key, info in document["signature"].get(side, {}).items()}
        for side in ("inputs", "outputs")
    )
    names = sorted(s.name for s in signature.outputs)
    identities = {name: f"Identity_{i}:0" if i else "Identity:0" for i, name in enumerate(names)}
    try:
        return NameMap(
            {s.name: inputs[f"{s.name}:0"] for s in signature.inputs},
            {s.name: outputs[identities[s.name]] for s in signature.outputs},
        )
    except KeyError as missing:
        raise RuntimeError(f"the published converter dropped {missing} of signature {signature.name!r}") from None


def _checked(name: str, options: Mapping[str, str]) -> Converter:
    """The converter, if it can write what the options ask for. Raises `Refused`."""
    from exporter.formats.registry import format_named

    usual = {key: option.default for key, option in format_named(name).options.items()}
    for key, value in options.items():
        if key not in _SERVED and usual.get(key) != value:
            raise Refused(f"{key}={value} is not passed on to the published converter; use writer={OWN}")
    return published()
