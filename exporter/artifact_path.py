"""Telling what a path is by looking at it: the format, and the file or directory a runtime opens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import UsageError
from exporter.text import did_you_mean

_SUFFIXES = {".tflite": "tflite", ".onnx": "onnx", ".keras": "keras", ".h5": "h5", ".hdf5": "h5"}


@dataclass(frozen=True)
class ArtifactPath:
    """One artifact outside any bundle's bookkeeping."""

    format: str
    path: Path


def missing_path(path: Path, kind: str = "file or directory") -> UsageError:
    """The error of a path that does not exist, with the nearest name that does."""
    parent = path.absolute().parent
    if not parent.is_dir():
        hint = f"the directory {parent} does not exist"
    else:
        near = did_you_mean(path.name, [p.name for p in parent.iterdir()])
        hint = near.removeprefix(", ") or "check the path"
    return UsageError("missing-file", f"there is no {kind} {path}", hint)


def identify(path: Path) -> ArtifactPath:
    """Decide the format of an artifact.

    Raises:
        UsageError: no such path, or nothing we know.
    """
    if not path.exists():
        raise missing_path(path)
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return ArtifactPath("saved-model", path)
        if (path / "bundle.json").is_file():
            held = sorted(p.name for p in (path / "artifacts").glob("*"))
            raise UsageError(
                "unknown-artifact",
                f"{path} is a bundle of several artifacts",
                f"give one of them: {path}/artifacts/ has {', '.join(held) or 'none'}",
            )
        inner = [p for p in sorted(path.iterdir()) if p.suffix in _SUFFIXES or p.name == "model.json"]
        inner = inner or sorted(path.glob("*/model.json"))  # a TF.js graph per signature
        if len(inner) == 1:
            return identify(inner[0])
        if inner:
            names = ", ".join(str(p.relative_to(path)) for p in inner)
            raise UsageError("several-artifacts", f"{path} holds {len(inner)} models", f"give one of them: {names}")
        raise UsageError(
            "unknown-artifact",
            f"{path} is not an artifact (no model file and no saved_model.pb in it)",
            "give the .tflite, .onnx, .keras, .h5 or model.json file, or a SavedModel directory",
        )
    if path.suffix == ".json":
        return ArtifactPath(_tfjs_format(path), path)
    if path.suffix in _SUFFIXES:
        return ArtifactPath(_SUFFIXES[path.suffix], path)
    raise UsageError(
        "unknown-artifact",
        f"{path} is not a kind of artifact",
        f"known: {', '.join(_SUFFIXES)}, a TF.js model.json, a SavedModel directory",
    )


def _tfjs_format(path: Path) -> str:
    try:
        kind = json.loads(path.read_text()).get("format")
    except (ValueError, AttributeError, OSError) as error:
        raise UsageError(
            "unreadable-file", f"{path} is not a TF.js model.json: {error}", "save or copy it again"
        ) from error
    if kind == "graph-model":
        return "tfjs-graph"
    if kind == "layers-model":
        return "tfjs-layers"
    raise UsageError(
        "unknown-artifact",
        f"{path} is JSON, but its format {kind!r} is none of a TF.js model",
        "expected 'graph-model' or 'layers-model'; of a bundle, give the directory",
    )
