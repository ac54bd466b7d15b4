"""A model from a Keras 2 configuration, as a Keras 3 model that computes the same.

Both `model_config` of a TF.js layers model and `get_config` of tf_keras are such configurations. The graph is built
anew by calling Keras 3's layers as the configuration says: nothing of its JSON is handed to Keras 3, which would read
some of it in its own way. `keras2_layers` says what one layer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from exporter.source.keras2_graph import Graph, Names, clean, input_of
from exporter.source.keras2_layers import NotExact, operation, policy, translate

_MODELS = ("Sequential", "Functional", "Model")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


@dataclass
class Translation:
    """A Keras 3 model, and what had to be said otherwise than in the configuration."""

    model: Any = None
    rewrites: tuple[str, ...] = ()


def rebuild(config: Mapping[str, Any]) -> Translation:
    """The Keras 3 model of {"class_name": …, "config": …}, its weights still to be set.

    Raises:
        NotExact: with the layer, and why Keras 3 cannot compute it or nobody has compared it.
    """
    builder = _Builder()
    model = builder.model(config, str(config["config"].get("name") or "model") if _is_model(config) else "model")
    return Translation(model, tuple(builder.rewrites))


def _is_model(config: Mapping[str, Any]) -> bool:
    return isinstance(config.get("config"), Mapping)


@dataclass
class _Builder:
    rewrites: list[str] = field(default_factory=list)

    def model(self, entry: Mapping[str, Any], name: str) -> Any:
        kind, config = entry["class_name"], entry["config"]
        if kind == "Sequential":
            return self._sequential(config, name)
        if kind not in _MODELS:
            raise NotExact(f"model {name!r} is of a class of its own ({kind}), whose code is not in the file")
        return Graph(self.layers, config, name, self.rewrites).build()

    def layers(self, entry: Mapping[str, Any], name: str, *, single: bool = False) -> list[Any]:
        """What one entry of `layers` becomes, applied one after another; see `translate`.

        Raises:
            NotExact: with the layer's name.
        """
        kind, config = entry["class_name"], entry["config"]
        if kind in _MODELS:
            return [self.model(entry, name)]
        try:
            _check_own(entry)
            if kind in ("Bidirectional", "TimeDistributed"):
                return [self._wrapper(kind, config, name)]
            if kind == "TFOpLambda":
                return [operation(config, name)]
            made = translate(kind, config, name, single=single)
        except NotExact as reason:
            raise (
                reason
                if str(reason).startswith(("layer ", "model "))
                else NotExact(f"layer {name!r} ({kind}): {reason}")
            ) from reason
        if len(made) > 1 or type(made[0]).__name__ != kind:
            what = " and ".join(type(layer).__name__ for layer in made)
            self.rewrites.append(f"layer {name!r} ({kind}) became {what}")
        return made

    def _wrapper(self, kind: str, config: Mapping[str, Any], name: str) -> Any:
        inner = self._inner(config["layer"], name)
        if kind == "TimeDistributed":
            return keras.layers.TimeDistributed(inner, name=name)
        if type(inner).__name__ not in _RECURRENT:
            raise NotExact(f"Keras 3 is not known to compute the same for {type(inner).__name__} both ways")
        backward = config.get("backward_layer")
        return keras.layers.Bidirectional(
            inner,
            merge_mode=config.get("merge_mode", "concat"),
            backward_layer=None if backward is None else self._inner(backward, name),
            name=name,
        )

    def _inner(self, entry: Mapping[str, Any], wrapper: str) -> Any:
        name = clean(str(entry["config"].get("name") or f"{wrapper}_inner"))
        return self.layers(entry, name, single=True)[0]

    def _sequential(self, config: Any, name: str) -> Any:
        entries = config if isinstance(config, list) else config["layers"]  # a list until Keras 2.2
        made: list[Any] = []
        names = Names(self.rewrites)
        for position, entry in enumerate(entries):
            called = names.of(entry)
            if entry["class_name"] == "InputLayer":
                made.append(input_of(entry["config"], called))
                continue
            new = self.layers(entry, called)
            if position == 0:
                first = _first_input(entry, config, new[0], called)
                made += [] if first is None else [first]
            made += new
        return keras.Sequential(made, name=name)


def _check_own(entry: Mapping[str, Any]) -> None:
    """Refuse a layer of somebody's own: versions 2.12 and later say where a class is from."""
    module, registered = entry.get("module"), entry.get("registered_name")
    if ">" in entry["class_name"] or (registered and ">" in registered):
        raise NotExact("it is a custom layer, whose code is not in the file")
    if module and not module.startswith(("keras", "tf_keras", "tensorflow.python.keras", "builtins")):
        raise NotExact(f"it is a custom layer of {module}, whose code is not in the file")


def _first_input(entry: Mapping[str, Any], config: Any, layer: Any, name: str) -> Any:
    """The input of a Sequential model whose file lists none; None where its shape is not known."""
    own = entry["config"] if isinstance(entry["config"], Mapping) else {}
    dtype = "float32"
    if "batch_input_shape" in own:
        shape, dtype = own["batch_input_shape"], policy(own.get("dtype"))
    elif isinstance(layer, keras.Model) and layer.inputs:
        (tensor,) = layer.inputs
        shape, dtype = tensor.shape, tensor.dtype
    else:
        shape = config.get("build_input_shape") if isinstance(config, Mapping) else None
    if shape is None:
        return None
    return input_of({"batch_input_shape": shape, "dtype": dtype}, f"{name}_input")
