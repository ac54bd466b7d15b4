"""What users can ask of the files of both TF.js formats: shards, their names, quantized weights, metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import exporter
from exporter.formats import Option, parse_size
from exporter.formats import _tfjs_quantize as quantize
from exporter.formats._quantization import kept_note
from exporter.formats._tfjs_weights import SHARD_NAMES, SHARD_SIZE, Weight, write_model_json, write_shards
from exporter.selection import present

CONVERTED_BY = f"exporter {exporter.__version__}"
OPTIONS: Mapping[str, Option] = {"shard-size": SHARD_SIZE, "shard-names": SHARD_NAMES, **quantize.OPTIONS}


@dataclass(frozen=True)
class Model:
    """One model.json to be: its content without the manifest, and its weights.

    `layers` holds, of each weight that belongs to Keras layers, those layers.
    """

    document: Mapping[str, Any]
    weights: Sequence[Weight]
    layers: Mapping[str, Set[str]]


@dataclass(frozen=True)
class Files:
    """What was done to the weights, and to say of it."""

    quantization: Mapping[str, Any]
    rewrites: tuple[str, ...]


def write_models(
    root: Path,
    models: Mapping[str, Model],
    options: Mapping[str, str],
    keep_float: Sequence[str],
    metadata: Mapping[str, Any],
) -> Files:
    """Write each model into the directory of its name below `root`; options that are missing have their defaults.

    Raises:
        Refused: weights cannot be quantized as the options say, or none is. Nothing has been written then.
    """
    given = {name: option.default for name, option in OPTIONS.items()} | dict(options)
    packed, done = _packed(models, given, keep_float)
    size, hashed = parse_size(given["shard-size"]), given["shard-names"] == "hashed"
    written = 0
    for name, model in models.items():
        directory = root / name
        directory.mkdir(exist_ok=True)
        manifest = write_shards(directory, packed[name], size, hashed=hashed)
        described = {**model.document.get("userDefinedMetadata", {}), **metadata}
        own = {"userDefinedMetadata": described} if described else {}
        write_model_json(directory, {**model.document, **own, "weightsManifest": manifest})
        written += sum(file.stat().st_size for file in directory.iterdir())
    if not done.quantization:
        return done
    saved = sum(w.data.nbytes - w.nbytes for weights in packed.values() for w in weights if w.quantization)
    return replace(done, quantization={**done.quantization, "float_bytes": written + saved})


def _packed(
    models: Mapping[str, Model], options: Mapping[str, str], keep_float: Sequence[str]
) -> tuple[Mapping[str, Sequence[Weight]], Files]:
    """The weights of each model as they are to be stored, and what there is to say of them."""
    rules = quantize.rules(options)
    if not rules:
        return {name: model.weights for name, model in models.items()}, Files({}, ())
    quantize.check_globs(rules, (w for model in models.values() for w in model.weights))
    wanted = set(keep_float)
    packed = {}
    for name, model in models.items():
        keep = {weight for weight, layers in model.layers.items() if layers & wanted}
        packed[name] = quantize.quantized(model.weights, rules, keep)
    weights = {w.name if len(models) == 1 else f"{name}/{w.name}": w for name, ws in packed.items() for w in ws}
    touched = (m.layers.get(w.name, set()) for m in models.values() for w in m.weights if quantize.quantizable(w))
    kept = present(touched, keep_float)
    rewrites = (*quantize.notes(weights.values()), *kept_note(keep_float, kept, ()))
    return packed, Files({**quantize.facts(weights), "kept_float": kept}, rewrites)
