"""One place that decides what the inputs and outputs of a Keras model are called.

Keras 3 names tensors by process-wide counters (`keras_tensor_17` in a fresh model is `input_layer_3` after a
reload), so the names a user never chose are replaced by `inputs`/`outputs` (or `input_0`, `output_1` …), and the
names a user did choose are kept. The rule gives the same names before and after a reload, in any process.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

import keras
import tensorflow as tf
from keras.src.utils.naming import to_snake_case

from exporter.errors import SourceError
from exporter.model import NameMap
from exporter.source.composite import check_dense


@dataclass(frozen=True)
class KerasCall:
    """A Keras model as a function of named tensors.

    `specs` maps input name -> tf.TensorSpec in the model's order; `call(**tensors)` returns output name -> tensor
    in the model's order, in inference mode; `layer_names` maps both to the names of Keras' own layers.
    """

    specs: Mapping[str, tf.TensorSpec]
    outputs: tuple[str, ...]
    call: Callable[..., dict[str, tf.Tensor]]
    layer_names: NameMap


def sanitize(name: str) -> str:
    """A signature name that is legal in TensorFlow graphs, file names and programming languages.

    It starts with a letter: tf.function calls an argument `arg__x` that is given as `_x`.
    """
    clean = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_")
    return clean if re.match(r"[A-Za-z]", clean) else f"tensor_{clean}".rstrip("_")


def unique(names: Iterable[str], separator: str) -> list[str]:
    """Append `separator` and a counter to the second and later occurrences of a name."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        out.append(f"{name}{separator}{count}" if count else name)
    return out


def _signature_names(names: Iterable[str]) -> list[str]:
    """Names that differ even in lower case, which is what TensorFlow's graphs and some file systems make of them."""
    out: dict[str, str] = {}
    for name in names:
        candidates = (f"{name}_{count}" if count else name for count in itertools.count())
        fresh = next(candidate for candidate in candidates if candidate.lower() not in out)
        out[fresh.lower()] = fresh
    return list(out.values())


def _operation(tensor: Any) -> Any:
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else getattr(history, "operation", None) or history.layer  # tf_keras has layers only


def _chosen_name(path: Sequence[Any], leaf: Any) -> str | None:
    """The name a user gave this leaf: its dictionary keys, or its layer's name if that is not Keras' own."""
    # from the first key on: a name must not start with the position in a list
    keys = [str(p) for p in dropwhile(lambda p: not isinstance(p, str), path)]
    if keys:
        return "_".join(keys)
    operation = _operation(leaf)
    if operation is None:
        return None
    automatic = rf"(input_layer|keras_tensor|{re.escape(to_snake_case(type(operation).__name__))})(_\d+)?"
    return None if re.fullmatch(automatic, operation.name) else str(operation.name)


def _names(structure: Any, single: str, several: str) -> list[str]:
    leaves = keras.tree.flatten_with_path(structure)
    names = []
    for i, (path, leaf) in enumerate(leaves):
        chosen = _chosen_name(path, leaf)
        names.append(sanitize(chosen) if chosen else (single if len(leaves) == 1 else f"{several}_{i}"))
    return _signature_names(names)


def _layer_names(structure: Any, fallback: Sequence[str]) -> list[str]:
    operations = [_operation(leaf) for leaf in keras.tree.flatten(structure)]
    return unique([f if o is None else o.name for o, f in zip(operations, fallback, strict=True)], "/")


def _recorded_shapes(model: Any) -> Any:
    """Structure of (None, …) shapes a subclassed model was first called with."""
    if hasattr(model, "save_spec"):  # tf_keras
        args, kwargs = model.save_spec() or ((), {})
        shapes: Any = dict(enumerate(args)) | dict(kwargs)
    else:
        shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        raise SourceError(
            "unbuilt-model",
            f"the model {model.name!r} ({type(model).__name__}) was never called, so its input shapes are unknown",
            "call it once on a sample before returning or saving it, or return (model, {name: tf.TensorSpec})",
        )
    if len(shapes) != 1:
        raise SourceError(
            "several-arguments",
            f"{type(model).__name__}.call takes several tensors as separate arguments ({', '.join(map(str, shapes))})",
            "take one dict of tensors, or convert a function: return a tf.Module with explicit signatures",
        )

    def is_shape(node: Any) -> bool:
        return isinstance(node, list | tuple) and all(d is None or isinstance(d, int) for d in node)

    def visit(node: Any) -> Any:
        if isinstance(node, tf.TensorSpec):
            return node
        if is_shape(node):
            return tf.TensorSpec((None, *node[1:]), model.input_dtype)
        if isinstance(node, Mapping):
            return {k: visit(v) for k, v in node.items()}
        return [visit(v) for v in node]

    return visit(next(iter(shapes.values())))


def _structure(functional: Any, *attributes: str) -> Any:
    """A functional model's inputs or outputs as they were given; Keras 3 and tf_keras keep them by other names."""
    return next((v for a in attributes if (v := getattr(functional, a, None)) is not None), None)


def _leaf_spec(leaf: Any, *, keeps_state: bool) -> tf.TensorSpec:
    if isinstance(leaf, tf.TensorSpec):
        return leaf
    shape = tuple(leaf.shape)
    # state between calls has one row for each row of the batch, whose size is therefore fixed
    return tf.TensorSpec(shape if keeps_state else (None, *shape[1:]), leaf.dtype)


def _keeps_state(model: keras.Model) -> bool:
    return any(getattr(layer, "stateful", False) is True for layer in model._flatten_layers())


def keras_call(model: Any, specs: Mapping[str, tf.TensorSpec] | None = None) -> KerasCall:
    """Derive names, dtypes and shapes of the inputs and outputs of a model of Keras 3 or tf_keras.

    `specs` overrides the inputs of a subclassed model, by name: one entry feeds the model a tensor, several feed
    it a dictionary.

    Raises:
        SourceError: the model was never built, takes several positional tensors, or ragged or sparse ones.
    """
    functional = getattr(model, "_functional", None) or model
    structure = _structure(functional, "_inputs_struct", "_nested_inputs")
    if specs is not None:
        structure = dict(specs) if len(specs) > 1 else next(iter(specs.values()))
        # a dictionary is flattened by sorted keys, in whatever order it was written
        names = keras.tree.flatten({name: name for name in specs})
    elif structure is None:
        structure = _recorded_shapes(model)
        argument = next(iter(inspect.signature(model.call).parameters), "inputs")
        names = _names(structure, argument, argument)
    else:
        names = _names(structure, "inputs", "input")
    for name, leaf in zip(names, keras.tree.flatten(structure), strict=True):
        check_dense("input", name, leaf)
    keeps_state = _keeps_state(model)
    leaves = [_leaf_spec(leaf, keeps_state=keeps_state) for leaf in keras.tree.flatten(structure)]
    tensor_specs = {
        name: tf.TensorSpec(leaf.shape, leaf.dtype, name=name) for name, leaf in zip(names, leaves, strict=True)
    }

    def invoke(**tensors: tf.Tensor) -> Any:
        return model(keras.tree.pack_sequence_as(structure, [tensors[n] for n in names]), training=False)

    outputs_structure = _structure(functional, "_outputs_struct", "_nested_outputs")
    if outputs_structure is None:
        # a subclassed model shows its output structure only by running: trace it once, abstractly
        outputs_structure = (
            tf.function(invoke, autograph=False).get_concrete_function(**tensor_specs).structured_outputs
        )
    output_names = _names(outputs_structure, "outputs", "output")

    def call(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        flat = keras.tree.flatten(invoke(**tensors))
        return dict(zip(output_names, flat, strict=True))

    return KerasCall(
        tensor_specs,
        tuple(output_names),
        call,
        NameMap(
            dict(zip(names, _layer_names(structure, names), strict=True)),
            dict(zip(output_names, _layer_names(outputs_structure, output_names), strict=True)),
        ),
    )
