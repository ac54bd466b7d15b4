"""TF.js layers models: the Keras topology as `model.json` plus weight shards, for `tf.loadLayersModel`.

The format is TF.js' `ModelJSON` (tfjs-core/src/io/types.ts) around a Keras 2 `model_config`; its reader is
tfjs-layers 4.22 (src/models.ts). TF.js never learnt Keras 3: upstream's converter writes its JSON unchanged, which
fails to load. We rewrite it, and refuse every layer, argument and value that TF.js computes differently, so a model
this format holds is the same function. Layers that TF.js lacks are written as others that compute the same where that
is exact, and the artifact says so. What remains trainable in TF.js starts from our weights, under the regularizers and
constraints that TF.js has (`_tfjs_training`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporter.formats import Format, Refused, Written
from exporter.formats import _tfjs_kernels as kernels
from exporter.formats._tfjs_files import CONVERTED_BY, OPTIONS, Model, write_models
from exporter.formats._tfjs_published import WRITER, by_writer, write_layers
from exporter.formats._tfjs_quantize import VARIANTS, check_options
from exporter.formats._tfjs_weights import NUMBERS, Weight
from exporter.model import Entry, NameMap, Signature
from exporter.tensors import Array, Tensors

if TYPE_CHECKING:
    from exporter.formats._tfjs_topology import Topology
    from exporter.source.source import Source


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Write `directory/model.json` and its shards for the model's one call signature.

    Raises:
        Refused: the source is not a Functional or Sequential Keras model, or holds what TF.js computes differently, or
            its weights cannot be quantized as the options say.
    """
    from exporter.formats._tfjs_topology import Topology

    return write_with(Topology(), source, directory, options)


def write_with(converter: Topology, source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """As `write`, with a converter of one's own: one that refuses nothing, to see what TF.js makes of it."""
    if source.keras_model is None:
        raise Refused(f"{source.no_keras}, and TF.js layers holds nothing else; use tfjs-graph")
    import keras

    topology = converter.convert(source.keras_model)  # first: what is refused needs no trace
    kernels.check(converter.gaps, options.get("backends", ""))
    key, unavailable = call_signature(source)
    document = {
        "format": "layers-model",
        "generatedBy": f"keras v{keras.__version__}",
        "convertedBy": CONVERTED_BY,
        "modelTopology": topology,
    }
    layers = _layers_of(converter.weights, source) if source.keep_float else {}
    model = Model(document, converter.weights, layers)
    files = write_models(directory, {"": model}, options, source.keep_float, source.metadata)
    outputs = (s.name for s in source.signatures[key].outputs)
    inputs = {name: converter.inputs[layer] for name, layer in source.keras_names(key).inputs.items()}
    names = NameMap(inputs, dict(zip(outputs, converter.outputs, strict=True)))
    return Written(
        {key: Entry("model.json", key, names)},
        unavailable,
        rewrites=(*converter.rewrites, *files.rewrites),
        versions={"keras": keras.__version__},
        needs=kernels.needs(converter.gaps),
        quantization=files.quantization,
    )


def _layers_of(weights: Sequence[Weight], source: Source) -> dict[str, set[str]]:
    """The layers that each weight belongs to, by the variables of the layer it is made from."""
    owned = {layer: {id(v) for v in variables} for layer, variables in source.layer_variables().items()}
    made = {w.name: {id(v) for v in getattr(w.layer, "weights", ())} for w in weights}
    return {name: {layer for layer, ids in owned.items() if ids & own} for name, own in made.items()}


def expected(
    source: Source, directory: Path, entry: Entry, options: Mapping[str, str], signature: Signature, inputs: Tensors
) -> dict[str, Tensors]:
    """`own`: what the Keras model computes that the file is read back as, with the weights that it has stored."""
    from exporter.source.tfjs_layers import load_tfjs

    model = load_tfjs(directory / entry.path)[0].model
    fed = {name: inputs[spec] for spec, name in entry.names.inputs.items()}
    given = [np.asarray(fed[tensor.name.split(":")[0]]) for tensor in model.inputs]
    # the topology lists the outputs in the signature's order
    found = model(given if len(given) > 1 else given[0], training=False)
    values = found if isinstance(found, list | tuple) else [found]
    return {"own": {s.name: np.asarray(v) for s, v in zip(signature.outputs, values, strict=True)}}


def source_weights(source: Source, directory: Path, entry: Entry, options: Mapping[str, str]) -> dict[str, Array]:
    """The weights of the Keras model, by their names in TF.js."""
    return {w.name: w.data for w in _topology(source).weights if w.dtype in NUMBERS}


def _topology(source: Source) -> Topology:
    from exporter.formats._tfjs_topology import Topology

    converter = Topology()
    converter.convert(source.keras_model)
    return converter


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
    options={**OPTIONS, "backends": kernels.OPTION, "writer": WRITER},
    check=check_options,
    quantized_by="quantize",
    variants=VARIANTS,
    reserved_metadata=(),
    expected=expected,
    weights=source_weights,
)
