"""Opening each kind of source. A file is checked before TensorFlow is asked to read it, so that the message is ours.

Keras files load in safe mode, and their class names are read before loading: code comes from the module the user
gave, never from the file.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

from exporter import reference
from exporter.errors import SourceError
from exporter.source.argument_order import signature_call
from exporter.source.composite import check_dense
from exporter.source.keras_file import check_classes, foreign_classes, keras_config, walk
from exporter.source.keras_signature import keras_call, sanitize
from exporter.source.source import NamedCall, Source, first_line
from exporter.text import did_you_mean

SERVING = "serving_default"


def custom_objects(module: ModuleType | None) -> dict[str, Any]:
    """Every Keras class and plain function that a module defines, by name (for classes nobody registered)."""
    if module is None:
        return {}
    own = module.__name__
    return {n: v for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == own}


def file_digest(path: Path, files: Sequence[Path] | None = None) -> str:
    """sha256 of a file, or of the sorted names and contents of a directory's files, or of the files given."""
    digest = hashlib.sha256()
    if files is None:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def known_objects(custom: ModuleType | None) -> dict[str, Any]:
    """The classes and functions a file may name: what is registered, and what the user's module defines."""
    return {**keras.saving.get_custom_objects(), **custom_objects(custom)}


def load_keras_file(path: Path, custom: ModuleType | None) -> Any:
    """Load a Keras 3 file in safe mode.

    Raises:
        SourceError: missing, truncated, written by Keras 2, weights only, or of classes the module does not have.
    """
    check_classes(path, keras_config(path), known_objects(custom))
    try:
        return keras.models.load_model(path, custom_objects=custom_objects(custom), compile=False)
    except Exception as error:
        raise SourceError("unreadable-file", f"{path} cannot be loaded: {first_line(error)}", "") from error


def from_keras(model: Any, staging: Path, specs: Mapping[str, tf.TensorSpec] | None = None) -> Source:
    """A source over a Keras model object."""
    if not isinstance(model, keras.Model):
        raise SourceError("not-a-model", f"expected a keras.Model, found an instance of {type(model).__name__}", "")
    call = keras_call(model, specs)
    notes: tuple[str, ...] = ()
    try:
        config = keras.saving.serialize_keras_object(model)
        needs = foreign_classes(config)
        notes = tuple(
            f"layer {name!r} is called with training=True; in inference mode, as in model.predict, that has no effect"
            for name in trained_at_inference(config, model)
        )
    except Exception:  # a model whose get_config fails still traces; reloading it will say so in its own cell
        needs = (type(model).__name__,)
    return Source(
        calls={SERVING: NamedCall(call.specs, call.outputs, call.call, call.layer_names)},
        trackables=tuple(tables(model)),
        variables=tuple(v.value for v in model.variables),
        staging=staging,
        keras_model=model,
        needs_code=needs,
        notes=notes,
    )


def trained_at_inference(config: Any, model: Any) -> list[str]:
    """Names of layers that a functional model calls with training=True, where that is not what they do anyway."""
    # Keras writes the default down; that of its preprocessing layers is True
    parameters = {layer.name: inspect.signature(layer.call).parameters for layer in model._flatten_layers()}
    usual = {name for name, found in parameters.items() if "training" in found and found["training"].default is True}
    return [
        str(node.get("name"))
        for node in walk(config)
        for call in node.get("inbound_nodes") or ()
        if isinstance(call, Mapping)
        and (call.get("kwargs") or {}).get("training") is True
        and node.get("name") not in usual
    ]


def is_tf_keras(model: Any) -> bool:
    """Whether an object is a model of tf_keras, which is not imported for that."""
    package = sys.modules.get("tf_keras")
    return package is not None and isinstance(model, package.Model)


def tables(model: Any) -> Iterator[Any]:
    """The lookup tables of a model's layers; tracking the layers themselves would make Keras trace them again."""
    from tensorflow.python.trackable.resource import TrackableResource

    for layer in model._flatten_layers(include_self=True, recursive=True):
        for value in list(vars(layer).values()):
            if isinstance(value, TrackableResource):
                yield value


def from_saved_model(path: Path, staging: Path, signature: str | None) -> Source:
    """A source over a SavedModel directory: one signature if named, else all of them.

    Raises:
        SourceError: no such directory, not a SavedModel, no signatures, or not the one named.
    """
    if not path.is_dir():
        raise SourceError("missing-file", f"there is no directory {path}", "check the path")
    if not (path / "saved_model.pb").is_file():
        raise SourceError(
            "not-a-saved-model",
            f"{path} has no saved_model.pb",
            "give the directory that holds saved_model.pb (for a Serving layout, the numbered one)",
        )
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise SourceError(
            "unreadable-file", f"{path} cannot be loaded: {first_line(error)}", "save it again"
        ) from error
    available = list(loaded.signatures)
    if not available:
        raise SourceError(
            "no-signatures",
            f"{path} has no signatures, so its inputs and outputs have no names",
            "save it with tf.saved_model.save(obj, path, signatures={'serving_default': function})",
        )
    if signature is not None and signature not in available:
        raise SourceError(
            "no-such-signature",
            f"{path} has no signature {signature!r}{did_you_mean(signature, available)}",
            f"it has: {', '.join(available)}",
        )
    calls = {n: signature_call(loaded.signatures[n]) for n in ([signature] if signature else available)}
    return Source(calls=calls, trackables=(loaded,), variables=(), staging=staging)


def from_module(module: Any, functions: Mapping[str, Any], staging: Path) -> Source:
    """A source over a tf.Module and its explicit signatures (tf.functions with an input_signature)."""
    calls = {}
    for name, function in functions.items():
        concrete = function.get_concrete_function()
        args, kwargs = concrete.structured_input_signature
        for spec in (*args, *kwargs.values()):
            check_dense("input", getattr(spec, "name", None) or "", spec)
        named = {s.name: s for s in args if isinstance(s, tf.TensorSpec)} | dict(kwargs)
        if any(n is None for n in named) or len(named) != len([*args, *kwargs]):
            raise SourceError(
                "unnamed-input",
                f"signature {name!r} has inputs without a name",
                "give every TensorSpec of its input_signature a name",
            )
        calls[name] = NamedCall(
            {sanitize(n): tf.TensorSpec(s.shape, s.dtype, name=sanitize(n)) for n, s in named.items()},
            None,
            _dict_result(function, tuple(named)),
        )
    return Source(calls=calls, trackables=(module,), variables=tuple(module.variables), staging=staging)


def _dict_result(function: Any, order: tuple[str, ...]) -> Any:
    def call(**tensors: tf.Tensor) -> Mapping[str, tf.Tensor]:
        result = function(*(tensors[sanitize(n)] for n in order))
        if isinstance(result, Mapping):
            return {sanitize(str(k)): v for k, v in result.items()}
        flat = tf.nest.flatten(result)
        names = ["outputs"] if len(flat) == 1 else [f"output_{i}" for i in range(len(flat))]
        return dict(zip(names, flat, strict=True))

    return call


def from_callable(result: Any, staging: Path, functions: Mapping[str, Any] | None = None) -> Source:
    """A source over what a builder returned: a Keras model, (model, specs), or a tf.Module with signatures."""
    specs = None
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
        result, specs = result
    if isinstance(result, keras.Model):
        return from_keras(result, staging, specs)
    if is_tf_keras(result):
        from exporter.source.keras2_file import from_tf_keras

        return from_tf_keras(result, staging, specs)
    if isinstance(result, tf.Module):
        found = functions or getattr(result, "signatures", None) or _module_functions(result)
        if not found:
            raise SourceError(
                "no-signatures",
                f"the {type(result).__name__} has no tf.function with an input_signature",
                "decorate its methods with @tf.function(input_signature=[tf.TensorSpec(..., name=...)])",
            )
        return from_module(result, found, staging)
    raise SourceError(
        "not-a-model",
        f"the callable returned an instance of {type(result).__name__}, expected a keras.Model or a tf.Module",
        "return the model (or (model, {input name: tf.TensorSpec}))",
    )


def _module_functions(module: tf.Module) -> dict[str, Any]:
    found = {}
    for name in dir(type(module)):
        value = getattr(module, name, None)
        if getattr(value, "input_signature", None):
            # a signature of the name __call__ is hidden by some converters
            found[SERVING if name == "__call__" else name] = value
    return found


def load_code(path: Path) -> ModuleType:
    """Import a user's Python file. Raises `SourceError` with the first line of what went wrong."""
    if not path.is_file():
        raise SourceError("missing-file", f"there is no file {path}", "check the path")
    try:
        return reference.load_module(path)
    except Exception as error:
        raise SourceError(
            "broken-module", f"{path} cannot be imported: {type(error).__name__}: {first_line(error)}", ""
        ) from error
