"""What a SOURCE argument means: a reference model's name, a file, a directory, or module.py:callable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter import reference
from exporter.artifact_path import missing_path
from exporter.errors import SourceError, UsageError
from exporter.text import did_you_mean


@dataclass(frozen=True)
class SourceSpec:
    """A source before it is opened. `name` is what its bundle is called by default."""

    kind: str
    path: Path
    name: str
    text: str
    callable: str = ""


def parse_source(text: str) -> SourceSpec:
    """Decide what `text` names; existing paths win over reference models' names.

    What can be told without TensorFlow is told here, in a moment.

    Raises:
        UsageError: nothing of that name exists.
        SourceError: it exists and is no source.
    """
    path = Path(text)
    file, colon, function = text.rpartition(":")
    if colon and file.endswith(".py"):
        if not function.isidentifier():
            raise UsageError("bad-source", f"{text!r} names no callable", "write path/to/module.py:callable")
        if not Path(file).is_file():
            raise missing_path(Path(file), "file")
        return SourceSpec("callable", Path(file).absolute(), function, text, function)
    if path.is_dir():
        return _directory(path, text)
    if path.suffix == ".json" and path.is_file():
        return _tfjs(path, text)
    if path.suffix in (".keras", ".h5", ".hdf5"):
        if not path.exists():
            raise missing_path(path, "file")
        return SourceSpec("keras", path.absolute(), path.stem, text)
    if text in reference.names():
        return SourceSpec("reference", reference.path_of(text), text, text)
    if path.suffix == ".py" and path.exists():
        raise UsageError("bad-source", f"{path} is a module", f"name its callable: {path}:build")
    if path.exists():
        raise SourceError(
            "unknown-kind",
            f"{path} is not a kind of source",
            "give a .keras or .h5 file, a SavedModel directory, or the model.json of a TF.js layers model",
        )
    raise UsageError(
        "unknown-source",
        f"there is no file and no reference model {text!r}{did_you_mean(text, reference.names())}",
        "give a .keras or .h5 file, a SavedModel or TF.js layers directory, module.py:callable, or a name from "
        "exporter models",
    )


def _directory(path: Path, text: str) -> SourceSpec:
    if (path / "saved_model.pb").is_file():
        return SourceSpec("saved-model", path.absolute(), path.absolute().name, text)
    if (path / "bundle.json").is_file():
        raise UsageError("bad-source", f"{path} is a bundle, not a source", f"run exporter verify {path}")
    if (path / "model.json").is_file():
        return _tfjs(path / "model.json", text)
    inner = sorted(p.parent for p in path.glob("*/saved_model.pb"))
    found = f"; {inner[-1]} has one" if inner else ""
    raise SourceError(
        "not-a-saved-model", f"{path} has no saved_model.pb", f"give the directory that holds saved_model.pb{found}"
    )


def _tfjs(path: Path, text: str) -> SourceSpec:
    from exporter.source.tfjs_document import read_document

    read_document(path)
    return SourceSpec("tfjs", path.absolute(), path.absolute().parent.name, text)
