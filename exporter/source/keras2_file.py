"""Models of Keras 2 as sources: files and SavedModels that tf_keras wrote, and tf_keras' own objects.

tf_keras loads them, and its own call is the reference and what the graphs are traced from. Where the very same model
can be said in Keras 3, the formats that hold Keras models are written from that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from exporter.source.loaders import SERVING, custom_objects, from_keras, known_objects, load_keras_file, tables
from exporter.source.source import NamedCall, Source, first_line


def open_keras_file(path: Path, staging: Path, custom: ModuleType | None) -> Source:
    """A source over a `.keras` or `.h5` file of either Keras. Raises SourceError."""
    if check_file(path, known_objects(custom)):
        return from_tf_keras(_load(path, custom), staging)
    return from_keras(load_keras_file(path, custom), staging)


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
    translate_into(source, model, SERVING, dict(zip(call.specs, call.specs, strict=True)))
    return source


def translate_into(source: Source, model: Any, signature: str, inputs: Mapping[str, str]) -> None:
    """Add the Keras 3 model that computes what a tf_keras model does, or the reason why there is none.

    Args:
        signature: the call of the model.
        inputs: names of its inputs, in the model's order, by themselves.
    """
    try:
        translation = rebuild(json.loads(model.to_json()))
        values = {key: variable.numpy() for key, variable in keras2_weights.named(model)}
        keras2_weights.assign(translation.model, values, model.name)
    except (NotExact, NotImplementedError, SourceError) as reason:
        source.no_keras = f"the source is a model of Keras 2, and Keras 3 has none that computes the same: {reason}"
        return
    names = keras_call(translation.model).layer_names
    call = source.calls[signature]
    outputs = call.outputs or ()
    source.keras_model = translation.model
    source.calls = {
        **source.calls,
        signature: replace(
            call,
            layer_names=NameMap(
                dict(zip(inputs, names.inputs.values(), strict=True)),
                dict(zip(outputs, names.outputs.values(), strict=True)),
            ),
        ),
    }
    source.notes = (*source.notes, *(f"as a Keras 3 model: {note}" for note in translation.rewrites))


def is_keras_2(directory: Path) -> bool:
    """Whether a SavedModel was written by Keras 2's `model.save`."""
    return (directory / "keras_metadata.pb").is_file()


def add_keras_model(source: Source, directory: Path, custom: ModuleType | None) -> None:
    """Let a SavedModel of Keras 2 be a Keras model as well; its signature stays as it was saved."""
    what = "the source is a SavedModel of Keras 2"
    if not has_tf_keras():
        source.no_keras = f"{what}, and its Keras model is read by tf_keras only ({install_command()})"
        return
    if list(source.calls) != [SERVING]:
        source.no_keras = f"{what} with other signatures ({', '.join(source.calls)}) than its own call"
        return
    try:
        _refuse_saved_code(directory)
        model = _load(directory, custom)
        call = keras_call(model)
    except SourceError as error:
        source.no_keras = f"{what}, and {error.message}"
        return
    saved = source.calls[SERVING]
    inputs, outputs = _saved_order(model, saved)
    if not inputs or not outputs:
        source.no_keras = f"{what} whose signature has other names than its Keras model"
        return
    assert len(inputs) == len(call.specs)
    source.calls = {SERVING: replace(saved, specs={n: saved.specs[n] for n in inputs}, outputs=outputs)}
    translate_into(source, model, SERVING, dict(zip(inputs, inputs, strict=True)))


def _saved_order(model: Any, saved: NamedCall) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a saved signature in the order of the model, which Keras 2 names it by; empty where it did not."""
    inputs, outputs = getattr(model, "input_names", None), getattr(model, "output_names", None)
    if set(inputs or ()) != set(saved.specs) or set(outputs or ()) != set(saved.outputs or ()):
        return (), ()
    return tuple(inputs or ()), tuple(outputs or ())


def _refuse_saved_code(directory: Path) -> None:
    """Look for Lambda layers in the metadata before tf_keras revives them."""
    from tf_keras.protobuf import saved_metadata_pb2

    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString((directory / "keras_metadata.pb").read_bytes())
    for node in metadata.nodes:
        refuse_code(directory, json.loads(node.metadata))


def named_as(call: NamedCall, names_file: Path, signature: str) -> NamedCall:
    """A call with the names its inputs and outputs had when the source was opened, which it takes in the same order."""
    opened = Signature.from_json(json.loads(names_file.read_text())[signature])
    inputs = dict(zip((s.name for s in opened.inputs), call.specs, strict=True))
    outputs = tuple(s.name for s in opened.outputs)
    if list(inputs) == list(call.specs) and outputs == call.outputs:
        return call

    def renamed(**tensors: tf.Tensor) -> Mapping[str, tf.Tensor]:
        results = call.call(**{own: tensors[name] for name, own in inputs.items()})
        return dict(zip(outputs, results.values(), strict=True))

    layers = call.layer_names
    assert layers is not None
    return NamedCall(
        {n: tf.TensorSpec(call.specs[own].shape, call.specs[own].dtype, name=n) for n, own in inputs.items()},
        outputs,
        renamed,
        NameMap(
            {n: layers.inputs[own] for n, own in inputs.items()},
            dict(zip(outputs, layers.outputs.values(), strict=True)),
        ),
    )
