"""One part as an entry of TF.js' topology, held to the allow-list; its weights are collected on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exporter.formats._tfjs_arguments import Argument, Layer
from exporter.formats._tfjs_keras_config import RECURRENT, Refuse, functional_of, kind_of, plain
from exporter.formats._tfjs_kernels import Gap, op_of_layer
from exporter.formats._tfjs_layer_parts import variables_of
from exporter.formats._tfjs_layer_table import COMMON, LAYERS
from exporter.formats._tfjs_parts import Part
from exporter.formats._tfjs_weights import Weight
from exporter.tensors import Array

_UNKNOWN = Argument(lambda value, rank: value is None, "is not known to honour this argument")


def legal_name(name: str) -> str:
    """A name that TF.js takes for a tensor (isValidTensorName of its common.ts), as near to this one as it gets."""
    clean = re.sub(r"[^-A-Za-z0-9._/]", "_", name)
    return clean if re.match(r"[A-Za-z0-9]", clean) else f"layer{clean}"


class LayerWriter:
    """Writes parts; `nested` writes a model inside one, `note` takes a sentence for the artifact's rewrites."""

    def __init__(self, refuse: Refuse, nested: Callable[[Any], dict[str, Any]], note: Callable[[str], None]) -> None:
        self.weights: list[Weight] = []
        self.gaps: list[Gap] = []
        self._refuse = refuse
        self._nested = nested
        self._note = note

    def check_class(self, layer: Any) -> None:
        """Refuse a class that somebody else wrote: it may compute anything under any name."""
        import keras

        kind = type(layer).__name__
        if hasattr(layer, "layers"):
            functional_of(layer)
        elif isinstance(layer, keras.Layer) and kind != "InputLayer":
            own = type(layer).__module__.startswith("keras.src.applications.")
            if not own and type(layer) is not getattr(keras.layers, kind, None):
                self._refuse(layer, "it is a custom layer")
            for inner in (getattr(layer, key, None) for key in ("layer", "forward_layer", "backward_layer")):
                if inner is not None:
                    self.check_class(inner)

    def write(self, part: Part, name: str) -> dict[str, Any]:
        """One entry of `layers`, without its nodes; its weights are recorded."""
        row = self.row(part)
        if part.kind.startswith("ops."):  # only where refusals are overruled
            return {"class_name": part.kind.removeprefix("ops."), "name": name, "config": {"name": name}}
        self._check_inputs(part, row)
        self._look_for_gap(part)
        kind, written = part.kind, self._arguments(part, row, name) | {"name": name}
        if kind == "Flatten" and None in part.inputs[0][1:]:
            self._refuse(part.layer, "TF.js cannot flatten dimensions that are dynamic")
        if row.stands_for:
            self._note(f"layer {name!r} ({kind}) does nothing in inference and became a linear activation")
            kind = row.stands_for
            written["activation"] = "linear"
        if kind == "Bidirectional":
            written["layer"] = self._both_ways(part, name)
        elif kind == "TimeDistributed":
            written["layer"] = self._each_step(part, name)
        else:
            self._weigh(part.layer, part.variables, row, f"{name}/")
        return {"class_name": kind, "name": name, "config": written}

    def row(self, part: Part) -> Layer:
        """The table's row for a part; `refuse` hears of a part without one."""
        if part.kind not in LAYERS:
            operation = kind_of(part.layer).startswith("ops.")
            what = "it is not a Keras layer, and TF.js 4.22 has none" if operation else "TF.js 4.22 has no such layer"
            self._refuse(part.layer, f"{what}, or computes it differently")
        return LAYERS.get(part.kind, Layer())

    def _arguments(self, part: Part, row: Layer, name: str) -> dict[str, Any]:
        policy = getattr(part.layer, "dtype_policy", None)
        if policy is not None and policy.name != "float32":
            reason = f"its dtype policy is {policy.name}, and TF.js layers computes in float32 only"
            self._refuse(part.layer, reason)
        written: dict[str, Any] = {"dtype": "float32"}
        for key, value in part.config.items():
            argument = row.arguments.get(key) or COMMON.get(key, _UNKNOWN)
            if not argument.accepts(value, part.rank):
                self._refuse(part.layer, f"TF.js {argument.why} ({key}={value!r})")
                written[argument.key or key] = value  # only where refusals are overruled
                continue
            told = argument.write(value, part.rank)
            if argument.training and value is not None and (told is None or argument.key is None):
                what = value.get("class_name", value) if isinstance(value, Mapping) else value
                self._note(f"layer {name!r}: {key} ({what}) is left out, TF.js does not have it for training")
            if argument.key is not None:
                written[argument.key or key] = told
        return written

    def _look_for_gap(self, part: Part) -> None:
        op = op_of_layer(part.kind, part.config, part.inputs[0])
        if op:
            self.gaps.append(Gap("wasm", op, (part.layer.name,)))

    def _check_inputs(self, part: Part, row: Layer) -> None:
        dtypes = set(part.dtypes)
        if dtypes != {"float32"} and not (row.integers and (row.mixed or len(dtypes) == 1)):
            self._refuse(part.layer, f"its inputs are {', '.join(sorted(dtypes))}, and TF.js does not convert them")
        if row.ranks and part.rank not in row.ranks:
            self._refuse(part.layer, f"TF.js does not implement {part.kind} for inputs of rank {part.rank}")

    def _each_step(self, part: Part, name: str) -> dict[str, Any]:
        """The layer inside TimeDistributed, whose weights TF.js names after the wrapper."""
        if part.inner is None:
            nested = self._nested(part.layer.layer)
            return {"class_name": nested["class_name"], "config": nested["config"]}
        inner = part.inner
        if inner.kind in ("Bidirectional", "TimeDistributed"):
            self._refuse(part.layer, f"TF.js is not known to wrap {inner.kind} in it")
        row = self.row(inner)
        self._check_inputs(inner, row)
        self._look_for_gap(inner)
        written = self._arguments(inner, row, name) | {"name": legal_name(inner.layer.name)}
        if row.stands_for:
            written["activation"] = "linear"
        self._weigh(inner.layer, inner.variables, row, f"{name}/")
        return {"class_name": row.stands_for or inner.kind, "config": written}

    def _both_ways(self, part: Part, name: str) -> dict[str, Any]:
        """The layer inside Bidirectional: TF.js builds the backward one from it."""
        forward, backward = part.layer.forward_layer, part.layer.backward_layer
        kind = kind_of(forward)
        if kind not in (*RECURRENT, "ConvLSTM2D"):
            self._refuse(part.layer, f"TF.js is not known to wrap {kind} in it")
        config = {k: plain(v) for k, v in part.config["layer"]["config"].items() if k not in ("name", "dtype")}
        inner = Part(forward, kind, config, part.inputs[:1], part.dtypes[:1], part.output)
        row = self.row(inner)
        written = self._arguments(inner, row, name)
        base = written["name"] = legal_name(forward.name.removeprefix("forward_"))
        self._check_mirror(part.layer, config)
        self._weigh(forward, variables_of(forward), row, f"{name}/forward_{base}/")
        self._weigh(backward, variables_of(backward), row, f"{name}/backward_{base}/")
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
            self._refuse(layer, f"its two layers differ in {', '.join(different) or 'nothing, not even direction'}")

    def _weigh(self, layer: Any, variables: Mapping[str, Array], row: Layer, prefix: str) -> None:
        for leaf, data in variables.items():
            if leaf not in row.variables:
                self._refuse(layer, f"it owns a variable {leaf!r} that TF.js' layer does not have")
            if data.dtype != np.float32:
                reason = f"its variable {leaf!r} is {data.dtype}, and TF.js layers has float32 only"
                self._refuse(layer, reason)
            name = prefix + row.variables.get(leaf, leaf)
            self.weights.append(Weight(name, data.astype(np.float32, copy=False), layer=layer))
