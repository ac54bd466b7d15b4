"""A TF.js layers model as a source: the Keras 3 model that computes what TF.js computes, with the file's weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from exporter.errors import SourceError
from exporter.source import keras2_weights
from exporter.source.keras2 import Translation, rebuild
from exporter.source.keras2_layers import NotExact
from exporter.source.loaders import from_keras
from exporter.source.source import Source
from exporter.source.tfjs_document import read_document
from exporter.source.tfjs_meaning import check
from exporter.source.tfjs_weights import read_weights
from exporter.tensors import Array

Key = tuple[str, ...]


def from_tfjs(path: Path, staging: Path) -> Source:
    """A source over a `model.json`. Raises SourceError as `load_tfjs`."""
    translation, notes = load_tfjs(path)
    source = from_keras(translation.model, staging)
    source.notes = (*source.notes, *notes)
    return source


def load_tfjs(path: Path) -> tuple[Translation, tuple[str, ...]]:
    """Open a `model.json` and the weight files beside it.

    Returns:
        the model with its weights, and notes for the user.

    Raises:
        SourceError: a file is broken or missing, the topology and the weights do not fit, or Keras 3 cannot compute
            what TF.js does.
    """
    document = read_document(path)
    config = document["modelTopology"]
    if "weightsManifest" not in document:
        raise SourceError(
            "missing-weights", f"{path} has no weightsManifest, so it is a topology without weights", "save it again"
        )
    values = read_weights(path.parent, document["weightsManifest"])
    try:
        translation = rebuild(config)
    except NotExact as reason:
        raise SourceError(
            "not-exact", f"{path} cannot be made a Keras model: {reason}", "convert the model that it was made of"
        ) from reason
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise SourceError(
            "bad-topology",
            f"the topology of {path} is not what Keras 2 writes ({type(error).__name__}: {error})",
            "convert it again",
        ) from error
    note = check(config, translation.model)
    keras2_weights.assign(translation.model, _by_layer(translation.model, values), str(path))
    notes = (*translation.rewrites, *([note] if note else ()), *_quantized(document["weightsManifest"]))
    return translation, notes


def _by_layer(model: Any, values: Mapping[str, Array]) -> dict[Key, Array]:
    """The file's weights by the model's own keys: TF.js finds a weight by its layer's name alone, at any depth."""
    keys: dict[str, list[Key]] = {}
    for key, _ in keras2_weights.named(model):
        keys.setdefault(key[-1], []).append(key)
    return {key: value for name, value in values.items() for key in keys.get(_short(name, keys), [(name,)])}


def _short(name: str, keys: Collection[str]) -> str:
    """A weight's name as TF.js looks for it: since version 2.2 TensorFlow puts a recurrent cell's name in it."""
    clean = name.removesuffix(":0")
    candidates = [clean, "/".join([*clean.split("/")[:-2], clean.split("/")[-1]])]
    layers, slash, variable = clean.rpartition("/")
    candidates.append(layers.replace("/", "_") + slash + variable)  # a layer's own name may hold slashes
    return next((c for c in candidates if c in keys), name)


def _quantized(manifest: Any) -> list[str]:
    kinds = {w["quantization"]["dtype"] for group in manifest for w in group["weights"] if w.get("quantization")}
    found = ", ".join(sorted(kinds))
    return [f"the file's weights are quantized ({found}); they are taken as it decodes them"] if kinds else []
