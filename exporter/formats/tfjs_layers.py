"""TF.js layers models: the Keras topology as `model.json` plus weight shards, for `tf.loadLayersModel`.

The format is TF.js' `ModelJSON` (tfjs-core/src/io/types.ts) around a Keras 2 `model_config`; its reader is
tfjs-layers 4.22 (src/models.ts). TF.js never learnt Keras 3: upstream's converter writes its JSON unchanged, which
fails to load. We rewrite it, and refuse every layer, argument and value that TF.js computes differently, so a model
this format holds is the same function. What remains trainable in TF.js starts from our weights; initialisers,
regularisers and constraints are not carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.formats import Format, Refused, Written, parse_size
from exporter.formats._tfjs_published import WRITER, by_writer, write_layers
from exporter.formats._tfjs_weights import SHARD_SIZE, write_model_json, write_shards
from exporter.model import Entry, NameMap

if TYPE_CHECKING:
    from exporter.source.source import Source


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Write `directory/model.json` and its shards for the model's one call signature.

    Raises:
        Refused: the source is not a Functional or Sequential Keras model, or holds what TF.js computes differently.
    """
    if source.keras_model is None:
        raise Refused("the source is not a Keras model, and TF.js layers holds nothing else; use tfjs-graph")
    import keras

    from exporter.formats._tfjs_topology import Topology

    converter = Topology()
    topology = converter.convert(source.keras_model)  # first: what is refused needs no trace
    key, unavailable = call_signature(source)
    document = {
        "format": "layers-model",
        "generatedBy": f"keras v{keras.__version__}",
        "convertedBy": "exporter",
        "modelTopology": topology,
        "weightsManifest": write_shards(directory, converter.weights, parse_size(options["shard-size"])),
    }
    write_model_json(directory, document)
    outputs = (s.name for s in source.signatures[key].outputs)
    names = NameMap(source.keras_names(key).inputs, dict(zip(outputs, converter.outputs, strict=True)))
    return Written(
        {key: Entry("model.json", key, names)},
        unavailable,
        rewrites=tuple(converter.rewrites),
        versions={"keras": keras.__version__},
    )


def call_signature(source: Source) -> tuple[str, dict[str, str]]:
    """The one signature that is the model's own call, and why each other one cannot be written."""
    found = ""
    unavailable: dict[str, str] = {}
    for name in source.signatures:
        try:
            source.keras_names(name)
        except Refused as reason:
            unavailable[name] = str(reason)
            continue
        if found:
            unavailable[name] = "TF.js layers holds the model's call only; use tfjs-graph"
        else:
            found = name
    if not found:
        raise Refused(next(iter(unavailable.values())))
    return found, unavailable


FORMAT = Format(
    name="tfjs-layers",
    title="TF.js layers model",
    write=by_writer(write, write_layers),
    order=20,
    needs_model=True,
    options={"shard-size": SHARD_SIZE, "writer": WRITER},
)
