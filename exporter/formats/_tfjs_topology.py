"""A Keras 3 model as the Keras 2 style topology and the weight names TF.js layers reads.

The rules (how nodes are counted, what weights of wrappers are called, which keys TF.js wants) were found by loading
models into TF.js 4.22; `_tfjs_layer_table` lists what may pass. Every refusal happens here, before a file is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exporter.formats import Refused
from exporter.formats._tfjs_keras_config import (
    WAY_OUT,
    end_references,
    functional_of,
    plain,
    reachable,
    refused,
    tensors_of,
)
from exporter.formats._tfjs_layer_table import ACTIVATIONS, COMMON, KERAS_2_ACTIVATIONS, LAYERS, Argument, Layer
from exporter.formats._tfjs_masks import MaskFlow
from exporter.formats._tfjs_weights import Weight

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
TFJS_ACTIVATIONS = {**ACTIVATIONS, **KERAS_2_ACTIVATIONS}
_UNKNOWN = Argument(lambda value, rank: value is None, "is not known to honour this argument", key=None)


class Topology:
    """Converts one model; the weights, what was rewritten and the outputs' names in TF.js fill up on the way."""

    def __init__(self) -> None:
        self.outputs: list[str] = []
        self.weights: list[Weight] = []
        self.rewrites: list[str] = []
        self._taken: set[str] = set()

    def convert(self, model: Any) -> dict[str, Any]:
        """`modelTopology` of a model. Raises Refused for whatever TF.js would not load or compute alike."""
        config = self._model(model, model.name, outermost=model)
        for name, _, _ in config["config"]["output_layers"]:
            count = sum(o.split("/")[0] == name for o in self.outputs)  # layer names hold no slash
            self.outputs.append(f"{name}/{count}" if count else name)
        return {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": config}

    def _model(self, model: Any, name: str, outermost: Any = None) -> dict[str, Any]:
        graph = functional_of(model)
        layers = {op.name: op for op in graph.operations}
        for layer in layers.values():
            _spec(layer)  # refuses unknown classes before Keras is asked to serialize them
        config = json.loads(graph.to_json())["config"]
        nodes = {entry["name"]: entry["inbound_nodes"] for entry in config["layers"]}
        outputs = end_references(config["output_layers"], layers)
        used = reachable(nodes, outputs)
        for unlisted in sorted(used - {n for n, op in layers.items() if _spec(op) is not None}):
            op = layers[unlisted]
            raise Refused(f"operation {op.name!r} ({type(op).__name__}) is not a Keras layer; {WAY_OUT}")
        masks = MaskFlow(nodes, layers)
        masks.check(used)
        if model is not outermost and any(masks.of(r) is not None for r in outputs):
            raise refused(model, "a mask leaves this nested model, where TF.js loses it")
        names = {entry["name"]: self._name(entry["name"]) for entry in config["layers"] if entry["name"] in used}
        # in Keras 2 a nested model's own construction is its node 0, so every later call counts one more
        shift = {n: int(hasattr(layers[n], "layers")) for n in names}

        def refer(reference: Sequence[Any]) -> list[Any]:
            layer, node, tensor = reference
            return [names[layer], node + shift[layer], tensor]

        written = []
        for entry in config["layers"]:
            if entry["name"] not in used:
                continue  # the operations that compute masks; TF.js computes its own
            layer, calls = layers[entry["name"]], entry["inbound_nodes"]
            record = self._layer(layer, names[layer.name], entry["config"], [tensors_of(layer, c) for c in calls])
            record["inbound_nodes"] = [
                [[*refer(t["config"]["keras_history"]), {}] for t in tensors_of(layer, call)] for call in calls
            ]
            written.append(record)
        ends = [refer(r) for r in outputs]
        for index, end in enumerate(ends):
            if end in ends[:index]:  # TF.js fetches a tensor once, and has no second value for the same one
                written.append(self._copy(end))
                ends[index] = [written[-1]["name"], 0, 0]
        return {
            "class_name": "Functional",
            "config": {
                "name": name,
                "layers": written,
                "input_layers": [refer(r) for r in end_references(config["input_layers"], layers)],
                "output_layers": ends,
            },
        }

    def _copy(self, tensor: Sequence[Any]) -> dict[str, Any]:
        name = self._name(f"{tensor[0]}_copy")
        self.rewrites.append(f"output {tensor[0]!r} is listed twice; the second is the linear activation {name!r}")
        config = {"name": name, "activation": "linear"}
        return {"class_name": "Activation", "name": name, "config": config, "inbound_nodes": [[[*tensor, {}]]]}

    def _name(self, name: str) -> str:
        """A layer name used once in the whole file: TF.js finds weights by layer name, at any depth."""
        unique, count = name, 0
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        if count:
            self.rewrites.append(f"layer {name!r} of a nested model is called {unique!r}")
        self._taken.add(unique)
        return unique

    def _layer(self, layer: Any, name: str, config: Mapping[str, Any], calls: Sequence[Any]) -> dict[str, Any]:
        """One entry of `layers`, without its nodes; its weights are recorded."""
        kind = type(layer).__name__
        if kind == "InputLayer":
            return {"class_name": kind, "name": name, "config": self._input(layer, name)}
        if hasattr(layer, "layers"):
            nested = self._model(layer, name)
            return {"class_name": nested["class_name"], "name": name, "config": nested["config"]}
        spec = _spec(layer)
        assert spec is not None
        shapes = [[t["config"]["shape"] for t in tensors] for tensors in calls]
        for tensors in calls:
            _check_inputs(layer, spec, tensors)
        written = self._arguments(layer, spec, config, len(shapes[0][0])) | {"name": name}
        if kind == "Flatten" and any(None in s[0][1:] for s in shapes):
            raise refused(layer, "TF.js cannot flatten dimensions that are dynamic")
        if kind == "Flatten" and all(len(s[0]) == 2 for s in shapes):
            kind, written = "Activation", {"name": name, "activation": "linear"}
            self.rewrites.append(f"layer {name!r} (Flatten of a flat input) became a linear activation")
        elif spec.stands_for:
            written |= {"activation": "linear"}
            self.rewrites.append(f"layer {name!r} ({kind}) does nothing in inference and became a linear activation")
            kind = spec.stands_for
        if kind in ("Bidirectional", "TimeDistributed"):
            written["layer"] = self._wrapped(layer, name, config, shapes)
        else:
            self._weights(layer, spec, lambda variable: f"{name}/{variable}")
        return {"class_name": kind, "name": name, "config": written}

    def _input(self, layer: Any, name: str) -> dict[str, Any]:
        dtype = {"float32": "float32", "int32": "int32", "int64": "int32"}.get(layer.dtype)
        if dtype is None or layer.sparse or getattr(layer, "ragged", False) or getattr(layer, "optional", False):
            raise refused(layer, f"TF.js layers takes dense float32 and int32 inputs, this one is {layer.dtype}")
        # the batch is dynamic in the signature, whatever the layer was built with
        shape = [None, *layer.batch_shape[1:]]
        return {"name": name, "batch_input_shape": shape, "dtype": dtype, "sparse": False}

    def _arguments(self, layer: Any, spec: Layer, config: Mapping[str, Any], rank: int) -> dict[str, Any]:
        policy = getattr(layer, "dtype_policy", None)
        if policy is not None and policy.name != "float32":
            raise refused(layer, f"its dtype policy is {policy.name}, and TF.js layers computes in float32 only")
        written: dict[str, Any] = {"dtype": "float32"}
        for key, given in config.items():
            value = plain(given)
            if key in ("name", "dtype"):
                continue
            argument = spec.arguments.get(key) or COMMON.get(key, _UNKNOWN)
            if not argument.accepts(value, rank):
                raise refused(layer, f"TF.js {argument.why} ({key}={value!r})")
            if argument.key is not None:
                value = argument.value if argument.value is not None else value
                is_activation = key in ("activation", "recurrent_activation")
                written[argument.key or key] = TFJS_ACTIVATIONS[value] if is_activation else value
        return written

    def _wrapped(self, layer: Any, name: str, config: Mapping[str, Any], shapes: Any) -> dict[str, Any]:
        """The layer inside TimeDistributed or Bidirectional, whose weights TF.js names after the wrapper."""
        both = type(layer).__name__ == "Bidirectional"
        inner = layer.forward_layer if both else layer.layer
        if hasattr(inner, "layers"):
            nested = self._model(inner, self._name(inner.name))
            return {"class_name": nested["class_name"], "config": nested["config"]}
        spec = _spec(inner)
        kind = type(inner).__name__
        if spec is None or (both and kind not in _RECURRENT) or kind in ("Bidirectional", "TimeDistributed"):
            raise refused(layer, f"TF.js is not known to wrap {kind} in it")
        rank = len(shapes[0][0]) - (0 if both else 1)
        if spec.ranks and rank not in spec.ranks:
            raise refused(layer, f"TF.js does not implement {kind} for inputs of rank {rank}")
        inner_config = config["layer"]["config"]
        written = self._arguments(inner, spec, inner_config, rank)
        if spec.stands_for:
            kind = spec.stands_for
            written["activation"] = "linear"
        base = written["name"] = inner.name.removeprefix("forward_") if both else inner.name
        if not both:
            self._weights(inner, spec, lambda variable: f"{name}/{variable}")
        else:
            if written["return_state"]:
                raise refused(layer, "TF.js is not known to return states from it (return_state=True)")
            self._check_mirror(layer, inner_config)
            self._weights(inner, spec, lambda variable: f"{name}/forward_{base}/{variable}")
            self._weights(layer.backward_layer, spec, lambda variable: f"{name}/backward_{base}/{variable}")
        return {"class_name": kind, "config": written}

    def _check_mirror(self, layer: Any, forward: Mapping[str, Any]) -> None:
        """TF.js builds the backward layer from the forward one, so the two must not differ."""
        backward = layer.backward_layer.get_config()
        irrelevant = {"name", "go_backwards", "trainable", "seed", "dtype", "build_config"}
        different = [
            key
            for key, value in forward.items()
            if key not in irrelevant and not key.endswith(("initializer", "regularizer", "constraint"))
            if plain(json.loads(json.dumps(backward.get(key), default=str))) != plain(value)
        ]
        if different or backward["go_backwards"] == forward["go_backwards"]:
            raise refused(layer, f"its two layers differ in {', '.join(different) or 'nothing, not even direction'}")

    def _weights(self, layer: Any, spec: Layer, named: Any) -> None:
        for variable in layer.weights:
            leaf = variable.path.split("/")[-1]
            if "seed_generator" in variable.path:
                continue
            if leaf not in spec.variables:
                raise refused(layer, f"it owns a variable {leaf!r} that TF.js' layer does not have")
            data = variable.numpy()
            if data.dtype != np.float32:
                raise refused(layer, f"its variable {leaf!r} is {data.dtype}, and TF.js layers has float32 only")
            self.weights.append(Weight(named(spec.variables[leaf]), data))


def _spec(layer: Any) -> Layer | None:
    """The table's row for a layer; None for an operation. Raises Refused for a layer without one."""
    import keras

    kind = type(layer).__name__
    if not isinstance(layer, keras.Layer):
        return None
    if hasattr(layer, "layers") or kind == "InputLayer":
        if kind != "InputLayer":
            functional_of(layer)
        return Layer()
    if type(layer) is not getattr(keras.layers, kind, None):
        raise refused(layer, "it is a custom layer")
    if kind not in LAYERS:
        raise refused(layer, "TF.js 4.22 has no such layer, or computes it differently")
    return LAYERS[kind]


def _check_inputs(layer: Any, spec: Layer, tensors: Sequence[Any]) -> None:
    dtypes = {t["config"]["dtype"] for t in tensors}
    ranks = {len(t["config"]["shape"]) for t in tensors}
    if dtypes != {"float32"} and not (spec.integers and len(dtypes) == 1):
        raise refused(layer, f"its inputs are {', '.join(sorted(dtypes))}, and TF.js does not convert them")
    if len(ranks) > 1:
        raise refused(layer, "its inputs differ in rank, which TF.js broadcasts in another way")
    if spec.ranks and not ranks <= set(spec.ranks):
        raise refused(layer, f"TF.js does not implement it for inputs of rank {ranks.pop()}")
