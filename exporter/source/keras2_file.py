"""Models of Keras 2 as sources: files and SavedModels that tf_keras wrote, and tf_keras' own objects.

tf_keras loads them, and its own call is the reference and what the graphs are traced from. Where the very same model
can be said in Keras 3, the formats that hold Keras models are written from that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from exporter.errors import SourceError
from exporter.legacy_keras import has_tf_keras, install_command
from exporter.model import NameMap, Signature
from exporter.source import keras2_weights
from exporter.source.keras2 import rebuild
from exporter.source.keras2_layers import NotExact
from exporter.source.keras_file import check_file, refuse_code
from exporter.source.keras_signature import keras_call
from exporter.source.loaders import (
    SERVING,
    custom_objects,
    from_keras,
    from_saved_model,
    known_objects,
    load_keras_file,
    tables,
)
from exporter.source.source import NamedCall, Source, first_line


def open_keras_file(path: Path, staging: Path, custom: ModuleType | None) -> Source:
    """A source over a `.keras` or `.h5` file of either Keras. Raises SourceError."""
    if check_file(path, known_objects(custom)):
        return from_tf_keras(_load(path, custom), staging)
    source = from_keras(load_keras_file(path, custom), staging)
    source.reloads = path.suffix == ".keras"  # what came from .h5 may be saved as .keras and not load
    return source


def _load(path: Path, custom: ModuleType | None) -> Any:
    """Load what tf_keras wrote, without running code that is in it."""
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    try:
        with SafeModeScope(True):
            return tf_keras.models.load_model(path, custom_objects=custom_objects(custom), compile=False)
    except Exception as error:
        raise SourceError(
            "unreadable-file",
            f"{path} cannot be loaded by tf_keras: {first_line(error)}",
            "give the module that defines its classes with --custom module.py" if custom is None else "",
        ) from error


def from_tf_keras(model: Any, staging: Path, specs: Mapping[str, tf.TensorSpec] | None = None) -> Source:
    """A source over a tf_keras model object; its formats of Keras' own are written from its translation."""
    call = keras_call(model, specs)
    source = Source(
        calls={SERVING: NamedCall(call.specs, call.outputs, call.call, call.layer_names)},
        trackables=tuple(tables(model)),
        variables=tuple(model.variables),
        staging=staging,
    )
    try:
        translation = rebuild(json.loads(model.to_json()))
        values = {key: variable.numpy() for key, variable in keras2_weights.named(model)}
        keras2_weights.assign(translation.model, values, model.name)
    except (NotExact, NotImplementedError, SourceError) as reason:
        source.no_keras = f"the source is a model of Keras 2, and Keras 3 has none that computes the same: {reason}"
        return source
    source.keras_model = translation.model
    source.notes = tuple(f"as a Keras 3 model: {note}" for note in translation.rewrites)
    # the same names, but for those of layers that Keras 3 does not allow
    layers = keras_call(translation.model).layer_names
    source.calls = {SERVING: replace(source.calls[SERVING], layer_names=_in_order(layers, call.specs, call.outputs))}
    return source


def _in_order(layers: NameMap, inputs: Iterable[str], outputs: Iterable[str]) -> NameMap:
    """The names of layers for other names of the same inputs and outputs."""
    return NameMap(
        dict(zip(inputs, layers.inputs.values(), strict=True)),
        dict(zip(outputs, layers.outputs.values(), strict=True)),
    )


def renamed(call: NamedCall, inputs: Sequence[str], outputs: Sequence[str]) -> NamedCall:
    """A call with other names for its inputs and outputs, given in its own order."""
    if list(inputs) == list(call.specs) and tuple(outputs) == call.outputs:
        return call
    own = dict(zip(inputs, call.specs, strict=True))

    def invoke(**tensors: tf.Tensor) -> Mapping[str, tf.Tensor]:
        results = call.call(**{name: tensors[new] for new, name in own.items()})
        return dict(zip(outputs, results.values(), strict=True))

    specs = {n: tf.TensorSpec(call.specs[name].shape, call.specs[name].dtype, name=n) for n, name in own.items()}
    layers = None if call.layer_names is None else _in_order(call.layer_names, inputs, outputs)
    return NamedCall(specs, tuple(outputs), invoke, layers)


def as_opened(call: NamedCall, names_file: Path, signature: str) -> NamedCall:
    """A call with the names that its inputs and outputs had when the source was opened."""
    opened = Signature.from_json(json.loads(names_file.read_text())[signature])
    return renamed(call, [s.name for s in opened.inputs], [s.name for s in opened.outputs])


def in_opened_order(calls: Mapping[str, NamedCall], names_file: Path) -> dict[str, NamedCall]:
    """Calls with the order of their inputs and outputs when the source was opened, under the same names."""
    found = {}
    for name, opened in json.loads(names_file.read_text()).items():
        signature = Signature.from_json(opened)
        specs = {s.name: calls[name].specs[s.name] for s in signature.inputs}
        found[name] = replace(calls[name], specs=specs, outputs=tuple(s.name for s in signature.outputs))
    return found


def open_saved_model(path: Path, staging: Path, signature: str | None, custom: ModuleType | None) -> Source:
    """A source over a SavedModel; one that Keras 2 wrote is its Keras model as well, under the names it was saved with.

    Raises:
        SourceError: as `loaders.from_saved_model`.
    """
    saved = from_saved_model(path, staging, signature)
    if not (path / "keras_metadata.pb").is_file():
        return saved
    what = "the source is a SavedModel of Keras 2"
    if not has_tf_keras():
        saved.no_keras = f"{what}, and its Keras model is read by tf_keras only ({install_command()})"
        return saved
    try:
        _refuse_saved_code(path)
        model = _load(path, custom)
        source = from_tf_keras(model, staging)
    except SourceError as error:
        saved.no_keras = f"{what}, and {error.message}"
        return saved
    # Keras 2 calls its one signature, and the inputs and outputs of that, by the names of its layers
    inputs, outputs = getattr(model, "input_names", None) or (), getattr(model, "output_names", None) or ()
    kept = {SERVING: (set(inputs), set(outputs))}
    if kept != {name: (set(call.specs), set(call.outputs or ())) for name, call in saved.calls.items()}:
        saved.no_keras = f"{what} with other signatures than the one of its Keras model"
        return saved
    source.calls = {SERVING: renamed(source.calls[SERVING], inputs, outputs)}
    return source


def _refuse_saved_code(directory: Path) -> None:
    """Look for Lambda layers in the metadata before tf_keras revives them."""
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString((directory / "keras_metadata.pb").read_bytes())
    for node in metadata.nodes:
        refuse_code(directory, json.loads(node.metadata))
