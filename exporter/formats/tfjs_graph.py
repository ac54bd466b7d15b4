"""TF.js graph models: a frozen TensorFlow graph as `model.json` plus weight shards, for `tf.loadGraphModel`.

The format is TF.js' `ModelJSON` (tfjs-core/src/io/types.ts): `modelTopology` is the GraphDef as proto3 JSON with the
constants moved into the weight files, `signature` is a SignatureDef that maps our names to tensors. It holds one
signature, so each signature gets a directory of its own.

We write it ourselves because upstream's converter pins an old TensorFlow, and because Keras 3 models need three things
it does not do: exact gelu and softsign lowered, control edges removed, and outputs named by the signature.
Graph models with loops must be run by `executeAsync`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.formats import Format, Refused, Written, parse_size
from exporter.formats import _tfjs_graphdef as rewriting
from exporter.formats._tfjs_check import check
from exporter.formats._tfjs_fuse import fold_constants, fuse
from exporter.formats._tfjs_lower import lower
from exporter.formats._tfjs_published import WRITER, by_writer, write_graph
from exporter.formats._tfjs_tables import frozen_with_tables, place_tables
from exporter.formats._tfjs_weights import SHARD_SIZE, Weight, write_model_json, write_shards
from exporter.model import Entry, NameMap, Signature, TensorSpec

if TYPE_CHECKING:
    from exporter.source.source import Source


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Write every signature the format can hold to `directory/<signature>/`.

    Raises:
        Refused: no signature can be held; the message is the reason of the first.
    """
    import tensorflow as tf

    shard_size = parse_size(options["shard-size"])
    entries: dict[str, Entry] = {}
    rewrites: list[str] = []
    unavailable: dict[str, str] = {}
    for name, folder in folders(source.signatures).items():
        signature = source.signatures[name]
        try:
            document, weights, rewritten = _convert(*frozen_with_tables(source, name), signature)
        except Refused as reason:
            unavailable[name] = str(reason)
            continue
        rewrites += rewritten
        (directory / folder).mkdir()
        document["weightsManifest"] = write_shards(directory / folder, weights, shard_size)
        write_model_json(directory / folder, document)
        entries[name] = Entry(f"{folder}/model.json", name, NameMap.identity(signature))
    if not entries:
        raise Refused(next(iter(unavailable.values())))
    return Written(entries, unavailable, tuple(dict.fromkeys(rewrites)), versions={"tensorflow": tf.__version__})


def folders(names: Iterable[str]) -> dict[str, str]:
    """Signature name -> directory name: special characters replaced, and no two alike even where case is ignored."""
    found: dict[str, str] = {}
    for name in names:
        folder = base = re.sub(r"[^A-Za-z0-9_-]+", "_", name) or "_"
        count = 1
        while folder.lower() in {f.lower() for f in found.values()}:
            count += 1
            folder = f"{base}-{count}"
        found[name] = folder
    return found


def _convert(
    frozen: Any, tables: Mapping[str, Any], signature: Signature
) -> tuple[dict[str, Any], list[Weight], tuple[str, ...]]:
    """A frozen graph and its tables -> model.json without its manifest, the weights, and what was rewritten."""
    import tensorflow as tf
    from google.protobuf.json_format import MessageToDict

    graph_def = type(frozen.graph_def)()
    graph_def.CopyFrom(frozen.graph_def)  # the frozen graph is shared with other writers
    rewritten = lower(graph_def)
    types = {s.name: tf.as_dtype(s.dtype).as_datatype_enum for s in signature.outputs}
    outputs = rewriting.name_outputs(graph_def, {s.name: frozen.outputs[s.name] for s in signature.outputs}, types)
    inputs = {s.name: rewriting.node_of(frozen.inputs[s.name]) for s in signature.inputs}
    # inputs are kept even if nothing reads them: TF.js rejects a feed it cannot find
    roots = [*inputs.values(), *outputs.values(), *tables]
    graph_def = rewriting.strip(rewriting.optimize(graph_def, roots), roots)
    initializer = place_tables(graph_def, tables)
    check(graph_def)
    graph_def = rewriting.strip(fuse(fold_constants(graph_def)), roots)
    weights = rewriting.take_constants(graph_def)
    document: dict[str, Any] = {
        "format": "graph-model",
        "generatedBy": tf.__version__,
        "convertedBy": "exporter",
        "signature": {
            "inputs": {s.name: _tensor_info(inputs[s.name], s) for s in signature.inputs},
            "outputs": {s.name: _tensor_info(outputs[s.name], s) for s in signature.outputs},
        },
        "modelTopology": MessageToDict(graph_def),
    }
    if initializer is not None:
        weights += rewriting.take_constants(initializer)
        document["modelInitializer"] = MessageToDict(initializer)
    return document, weights, rewritten


def _tensor_info(node: str, spec: TensorSpec) -> dict[str, Any]:
    """A TensorInfo (tensorflow/core/protobuf/meta_graph.proto) in proto3 JSON, where an int64 is a string."""
    import tensorflow as tf
    from tensorflow.core.framework.types_pb2 import DataType

    if spec.shape is None:
        shape: dict[str, Any] = {"unknownRank": True}
    else:
        shape = {"dim": [{"size": str(-1 if d is None else d)} for d in spec.shape]}
    dtype = DataType.Name(tf.as_dtype(spec.dtype).as_datatype_enum)
    return {"name": f"{node}:0", "dtype": dtype, "tensorShape": shape}


FORMAT = Format(
    name="tfjs-graph",
    title="TF.js graph model",
    write=by_writer(write, write_graph),
    order=40,
    options={"shard-size": SHARD_SIZE, "writer": WRITER},
)
