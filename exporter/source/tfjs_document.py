"""A TF.js `model.json`: what kind it is, and where its files are.

There is no TensorFlow here, so that the host can refuse at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.errors import SourceError


def read_document(path: Path) -> Mapping[str, Any]:
    """The document of a layers model, with its `model_config` as `modelTopology`.

    TF.js writes the model itself there, and the published converter {"keras_version": …, "model_config": …}. Files of
    TF.js 0.x and 1.0 do not say their format; the topology tells it.

    Raises:
        SourceError: no JSON, a graph model, not a TF.js model, or written from Keras 3 by another converter.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise SourceError(
            "unreadable-file", f"{path} is not JSON: {str(error).splitlines()[0]}", "convert or copy it again"
        ) from error
    topology = document.get("modelTopology") if isinstance(document, dict) else None
    if not isinstance(topology, dict):
        raise SourceError(
            "not-a-tfjs-model", f"{path} has no modelTopology, so it is no TF.js model", "give the model.json of one"
        )
    if document.get("format") == "graph-model" or "node" in topology:
        raise SourceError(
            "graph-model",
            f"{path} is a TF.js graph model: it holds operations and no layers, so that no Keras model can be made "
            "of it",
            "convert the Keras file or SavedModel that it was made of (exporter run and inspect take it as it is)",
        )
    config = topology.get("model_config", topology)
    if isinstance(config, str):  # what an HDF5 attribute holds, copied as it is
        config = _parsed(path, config)
    if not isinstance(config, dict) or "class_name" not in config or "config" not in config:
        raise SourceError(
            "not-a-tfjs-model",
            f"{path} has a modelTopology without a class and a config (format {document.get('format')!r})",
            "expected a layers model, as the TF.js converter or model.save of TF.js writes it",
        )
    if str(topology.get("keras_version", "")).startswith("3."):
        raise SourceError(
            "keras-3-topology",
            f"{path} holds a topology of Keras {topology['keras_version']}, which TF.js cannot load either",
            "convert the .keras or .h5 file that it was made of",
        )
    return {**document, "modelTopology": config}


def model_files(path: Path) -> list[Path]:
    """A model.json that was opened, and its weight files in its own order."""
    groups = json.loads(path.read_text(encoding="utf-8")).get("weightsManifest", [])
    return [path, *(path.parent / name for group in groups for name in group["paths"])]


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError("unreadable-file", f"the model_config of {path} is not JSON: {error}", "") from error
