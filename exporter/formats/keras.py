"""Keras' own files: `.keras` (the Keras 3 archive) and `.h5` (the older single HDF5 file)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.formats import Format, Refused, Written
from exporter.model import Entry, NameMap

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
        raise Refused(
            "the source is not a Keras model (a SavedModel or tf.Module has no Keras configuration); use saved-model"
        )


def write_keras(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Copy the staged `model.keras`: the very file a restarted worker would continue from."""
    _require_model(source)
    shutil.copyfile(source.keras_file, directory / "model.keras")
    return _entry(source, "model.keras")


def write_h5(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Save the model as one HDF5 file, configuration and weights.

    Raises:
        Refused: no Keras model, or a subclassed one, whose architecture HDF5 cannot hold.
    """
    import keras

    _require_model(source)
    if not isinstance(source.keras_model, keras.Sequential | keras.src.models.Functional):
        raise Refused(
            f"{type(source.keras_model).__name__} is a subclassed model: HDF5 holds its weights but not its "
            "architecture; use keras"
        )
    source.keras_model.save(directory / "model.h5")
    return _entry(source, "model.h5")


FORMATS = (
    Format("keras", "Keras 3 archive (.keras)", write_keras, order=10, needs_model=True),
    Format("h5", "Keras HDF5 file (.h5)", write_h5, order=11, needs_model=True),
)
