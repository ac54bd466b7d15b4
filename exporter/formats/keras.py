"""Keras' own files: `.keras` (the Keras 3 archive) and `.h5` (the older single HDF5 file)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.formats import Format, Refused, Written
from exporter.model import Entry, Json, NameMap

if TYPE_CHECKING:
    from exporter.source.source import Source


def _entry(source: Source, file: str) -> Written:
    import keras

    from exporter.source.keras_signature import keras_call

    (name,) = source.calls
    derived = keras_call(source.keras_model)
    call = source.calls[name]
    outputs = call.outputs or derived.outputs
    names = NameMap(dict(zip(call.specs, derived.specs, strict=True)), dict(zip(outputs, derived.outputs, strict=True)))
    return Written(
        {name: Entry(file, name, names)},
        versions={"keras": keras.__version__},
        needs_code=source.needs_code,
    )


def _require_model(source: Source) -> None:
    if source.keras_model is None:
        raise Refused(f"{source.no_keras}; use saved-model")
    from exporter.source.keras2_layers import functions_of

    for reason in functions_of(source.keras_model):
        raise Refused(f"{reason}, a function that Keras 3 does not have; use saved-model")


def _gate(source: Source, path: Path, way_out: str) -> None:
    """Reload the file in safe mode and run it once: Keras saves some models that it cannot load, or loads otherwise.

    Raises:
        Refused: with Keras' own reason, or with what differs.
    """
    import keras
    import tensorflow as tf

    from exporter.formats.saved_model import probe
    from exporter.source.keras_signature import keras_call
    from exporter.source.source import first_line

    (signature,) = source.signatures.values()
    inputs = probe(source, signature)
    objects = {type(layer).__name__: type(layer) for layer in source.keras_model._flatten_layers(include_self=True)}
    known = {name: kind for name, kind in objects.items() if not kind.__module__.startswith("keras.")}
    try:
        loaded = keras.models.load_model(path, custom_objects=known, compile=False)
        call = keras_call(loaded)
        call.call(**{n: tf.constant(a) for n, a in zip(call.specs, inputs.values(), strict=True)})
    except Exception as error:
        raise Refused(
            f"Keras saves this model as {path.suffix} but cannot load and run it: {first_line(error)}; use {way_out}"
        ) from error
    differs = _other_configuration(source.keras_model, loaded)
    if differs:
        raise Refused(f"Keras loads {differs} from {path.suffix}; use {way_out}")


def _other_configuration(model: Any, loaded: Any) -> str:
    """The first argument of a layer that its reloaded twin has otherwise, in words; empty if there is none."""
    pairs = zip(model._flatten_layers(include_self=False), loaded._flatten_layers(include_self=False), strict=False)
    for layer, twin in pairs:
        if layer.name != twin.name or hasattr(layer, "layers"):
            continue  # what contains others is compared by its parts
        here, there = _plain_config(layer), _plain_config(twin)
        for key in sorted(set(here) & set(there)):
            if here[key] != there[key]:
                return (
                    f"layer {layer.name!r} ({type(layer).__name__}) with {key}={there[key]!r} in place of {here[key]!r}"
                )
    return ""


def _plain_config(layer: Any) -> Json:
    """The arguments of a layer as JSON holds them; none where they cannot be told."""
    import keras

    try:
        config = keras.saving.serialize_keras_object(layer)["config"]
        return json.loads(json.dumps(config))  # type: ignore[no-any-return]
    except Exception:  # a class without get_config: its file is judged by running it alone
        return {}


def write_keras(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Copy the staged `model.keras`: the very file a restarted worker would continue from."""
    _require_model(source)
    if source.unsaved:
        raise Refused(f"Keras cannot save this model as .keras: {source.unsaved}; use saved-model")
    shutil.copyfile(source.keras_file, directory / "model.keras")
    _gate(source, directory / "model.keras", "saved-model")
    return _entry(source, "model.keras")


def write_h5(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Save the model as one HDF5 file, configuration and weights.

    Raises:
        Refused: no Keras model, or a subclassed one, whose architecture HDF5 cannot hold.
    """
    import keras

    from exporter.source.source import first_line

    _require_model(source)
    if not isinstance(source.keras_model, keras.Sequential | keras.src.models.Functional):
        raise Refused(
            f"{type(source.keras_model).__name__} is a subclassed model: HDF5 holds its weights but not its "
            "architecture; use keras"
        )
    try:
        source.keras_model.save(directory / "model.h5")
    except Exception as error:
        raise Refused(f"Keras cannot save this model as .h5: {first_line(error)}; use keras or saved-model") from error
    _gate(source, directory / "model.h5", "keras or saved-model")
    return _entry(source, "model.h5")


FORMATS = (
    Format("keras", "Keras 3 archive (.keras)", write_keras, order=10, needs_model=True),
    Format("h5", "Keras HDF5 file (.h5)", write_h5, order=11, needs_model=True),
)
