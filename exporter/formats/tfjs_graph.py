"""TF.js graph models: a frozen TensorFlow graph as `model.json` plus weight shards, for `tf.loadGraphModel`.

The format is TF.js' `ModelJSON` (tfjs-core/src/io/types.ts): `modelTopology` is the GraphDef as proto3 JSON with the
constants moved into the weight files, `signature` is a SignatureDef that maps our names to tensors. It holds one
signature, so each signature gets a directory of its own.

We write it ourselves because upstream's converter pins an old TensorFlow, and because Keras 3 models need three things
it does not do: exact gelu and softsign lowered, control edges removed, and outputs named by the signature.
Which graphs `predict` throws on, so that only `executeAsync` runs them, is said before they are (`_tfjs_calls`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter import feeding
from exporter.formats import Format, Option, Refused, Written
from exporter.formats import _tfjs_calls as calls
from exporter.formats import _tfjs_graphdef as rewriting
from exporter.formats import _tfjs_kernels as kernels
from exporter.formats._quantization import one_of
from exporter.formats._tfjs_check import check
from exporter.formats._tfjs_files import CONVERTED_BY, OPTIONS, Model, write_models
from exporter.formats._tfjs_fuse import fold_constants, fuse
from exporter.formats._tfjs_lower import lower
from exporter.formats._tfjs_order import key_names
from exporter.formats._tfjs_own import Graph, in_tensorflow
from exporter.formats._tfjs_published import WRITER, by_writer, write_graph
from exporter.formats._tfjs_quantize import VARIANTS, check_options
from exporter.formats._tfjs_tables import frozen_with_tables, place_tables
from exporter.formats._tfjs_unroll import UNROLL, without_loops
from exporter.formats._tfjs_weights import NUMBERS, Weight, read_weights_of
from exporter.model import Entry, NameMap, Signature, TensorSpec
from exporter.selection import Traced, owners
from exporter.tensors import Array, Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source

# keys of userDefinedMetadata that TF.js prefers to the signature (tfjs-converter/src/executor/graph_model.ts)
_READ_AS_SIGNATURE = ("signature", "structuredOutputKeys")
_OUTPUTS = Option(
    "tensors",
    "what predict gives: tensors, or named, an object with the signature's names for keys",
    one_of("tensors", "named"),
)


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Write every signature the format can hold to `directory/<signature>/`.

    Raises:
        Refused: no signature can be held (the message is the reason of the first), or not with quantized weights.
    """
    import tensorflow as tf

    models: dict[str, Model] = {}
    entries: dict[str, Entry] = {}
    rewrites: list[str] = []
    needs: list[str] = []
    unavailable: dict[str, str] = {}
    made = without_loops(source, options)
    traced = made.source
    for name, folder in folders(traced.signatures).items():
        signature = traced.signatures[name]
        try:
            graph = converted(traced, name)
            gaps = kernels.gaps(graph.graph_def, _owners(traced, name))
            kernels.check(gaps, options.get("backends", ""))
        except Refused as reason:
            unavailable[name] = _with_layer(str(reason), traced, name)
            continue
        rewrites += graph.rewrites
        needs += kernels.needs(gaps)
        ops = ((node.name, node.op) for node in graph.graph_def.node)
        needs.append(calls.needs(ops, _owners(traced, name), _subject(traced, name)))
        layers = _layers_of(graph.weights, traced.traced(name)) if source.keep_float else {}
        named = [s.name for s in signature.outputs] if options.get("outputs") == "named" else []
        names = key_names(signature)
        rewrites += _renamed(names)
        models[folder] = Model(_document(graph, signature, names, named), graph.weights, layers)
        entries[name] = Entry(f"{folder}/model.json", name, names)
    if not entries:
        raise Refused(next(iter(unavailable.values())))
    rewrites += made.said()
    files = write_models(directory, models, options, source.keep_float, source.metadata)
    return Written(
        entries,
        unavailable,
        tuple(dict.fromkeys([*rewrites, *files.rewrites])),
        versions={"tensorflow": tf.__version__},
        needs=tuple(dict.fromkeys(filter(None, needs))),
        quantization=files.quantization,
    )


def _renamed(names: NameMap) -> list[str]:
    return [
        f"{name!r} is called {key!r}: JavaScript would put a key that is an integer before the others"
        for name, key in (*names.inputs.items(), *names.outputs.items())
        if key != name
    ]


def _with_layer(reason: str, source: Source, signature: str) -> str:
    """A refusal that names the layer of Keras behind its node, too."""
    found = re.match(r"node '([^']+)'", reason)
    layers = _owners(source, signature)(found[1]) if found and source.keras_model is not None else set()
    if not found or not layers:
        return reason
    return f"{found[0]} of layer {max(layers, key=len)!r}{reason[found.end() :]}"


def _subject(source: Source, signature: str) -> str:
    return f"signature {signature!r}" if len(source.signatures) > 1 else ""


def _owners(source: Source, signature: str) -> Callable[[str], set[str]]:
    """The layers that a node of this name belongs to; asked for few nodes, if any."""
    return lambda name: owners([name], source.traced(signature).layers)


def _layers_of(weights: Iterable[Weight], traced: Traced) -> dict[str, set[str]]:
    """The layers that each weight belongs to, by the scope in its name."""
    return {w.name: owners([w.name], traced.layers) for w in weights}


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


def converted(source: Source, signature: str) -> Graph:
    """What TF.js executes for one signature, made once for all recipes. Raises Refused as `write`."""
    made: dict[str, Graph] = source.derived.setdefault("tfjs-graph", {})
    if signature not in made:
        made[signature] = _convert(*frozen_with_tables(source, signature), source.signatures[signature])
    return made[signature]


def _convert(frozen: Any, tables: Mapping[str, Any], signature: Signature) -> Graph:
    import tensorflow as tf

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
    if initializer is not None:
        weights += rewriting.take_constants(initializer)
    return Graph(graph_def, initializer, inputs, outputs, weights, rewritten)


def _document(graph: Graph, signature: Signature, names: NameMap, named: Sequence[str]) -> dict[str, Any]:
    """model.json without what `write_models` adds. `named` are keys by which `predict` returns the outputs, if any.

    The signature's keys stand in the order of the source: `predict` takes and returns tensors in that of the file.
    """
    import tensorflow as tf
    from google.protobuf.json_format import MessageToDict

    document: dict[str, Any] = {
        "format": "graph-model",
        "generatedBy": tf.__version__,
        "convertedBy": CONVERTED_BY,
        "signature": {
            "inputs": {names.inputs[s.name]: _tensor_info(graph.inputs[s.name], s) for s in signature.inputs},
            "outputs": {names.outputs[s.name]: _tensor_info(graph.outputs[s.name], s) for s in signature.outputs},
        },
        "modelTopology": MessageToDict(graph.graph_def),
    }
    if named:
        document["userDefinedMetadata"] = {"structuredOutputKeys": list(named)}
    if graph.initializer is not None:
        document["modelInitializer"] = MessageToDict(graph.initializer)
    return document


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


def expected(
    source: Source, directory: Path, entry: Entry, options: Mapping[str, str], signature: Signature, inputs: Tensors
) -> dict[str, Tensors]:
    """`own`: what TensorFlow computes with the graph and the weights that this artifact has stored."""
    place = str(directory / entry.path)
    traced = without_loops(source, options).source
    if source.derived.get("tfjs-graph own", (None,))[0] != place:
        weights = read_weights_of(directory / entry.path)
        source.derived["tfjs-graph own"] = (place, in_tensorflow(converted(traced, entry.key), weights, signature))
    by_name = replace(entry, names=NameMap.identity(signature))
    return {"own": feeding.run(signature, by_name, inputs, source.derived["tfjs-graph own"][1])}


def source_weights(source: Source, directory: Path, entry: Entry, options: Mapping[str, str]) -> dict[str, Array]:
    """The graph's own constants, as they are before anything is quantized."""
    traced = without_loops(source, options).source
    return {w.name: w.data for w in converted(traced, entry.key).weights if w.dtype in NUMBERS}


FORMAT = Format(
    name="tfjs-graph",
    title="TF.js graph model",
    write=by_writer(write, write_graph),
    order=40,
    options={**OPTIONS, "outputs": _OUTPUTS, "unroll": UNROLL, "backends": kernels.OPTION, "writer": WRITER},
    check=check_options,
    quantized_by="quantize",
    variants=VARIANTS,
    reserved_metadata=_READ_AS_SIGNATURE,
    expected=expected,
    weights=source_weights,
)
