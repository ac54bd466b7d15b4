"""A Keras 3 model as the Keras 2 style topology and the weight names TF.js layers reads.

The rules (how nodes are counted, what weights of wrappers are called, which keys TF.js wants) were found by loading
models into TF.js 4.22; `_tfjs_layer_table` lists what may pass, `_tfjs_rewrites` what is replaced by what may pass.
Every refusal happens here, before a file is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from exporter.formats._tfjs_keras_config import (
    Refuse,
    call_of,
    end_references,
    functional_of,
    reachable,
    refuse,
)
from exporter.formats._tfjs_layer_parts import Parts, parts_of
from exporter.formats._tfjs_layer_writer import LayerWriter, legal_name
from exporter.formats._tfjs_masks import MaskFlow
from exporter.formats._tfjs_parts import Rewrite
from exporter.formats._tfjs_rewrites import REWRITES

# TF.js has no other integers; the workers cast, range-checked
_INPUT_DTYPES = {"float32": "float32"} | dict.fromkeys(["int8", "uint8", "int16", "uint16", "int32", "int64"], "int32")


class Topology:
    """Converts one model; the weights, what was rewritten and the names of inputs and outputs fill up on the way.

    `inputs` maps Keras' names of the outermost input layers to those in TF.js; `outputs` has the names in TF.js.

    `refuse` and `rewrites` are arguments so that tests can do without refusals, and without rewrites, and see in TF.js
    that none is superfluous.
    """

    def __init__(self, refuse: Refuse = refuse, rewrites: Sequence[Rewrite] = REWRITES) -> None:
        self.inputs: dict[str, str] = {}
        self.outputs: list[str] = []
        self.rewrites: list[str] = []
        self._refuse = refuse
        self._rules = rewrites
        self._taken: set[str] = set()
        self._writer = LayerWriter(refuse, self._nested, self.rewrites.append)
        self.weights, self.gaps = self._writer.weights, self._writer.gaps

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
            self._writer.check_class(layer)  # refuses unknown classes before Keras is asked to serialize them
        try:
            config = json.loads(graph.to_json())["config"]
        except NotImplementedError:
            self._refuse_indescribable(layers.values())
            raise
        entries = {entry["name"]: entry for entry in config["layers"]}
        outputs = end_references(config["output_layers"], layers)
        nodes = {name: entry["inbound_nodes"] for name, entry in entries.items()}
        used = reachable(nodes, outputs)
        # what is not used computes masks; TF.js computes its own
        calls = {n: [call_of(layers[n], c, self._refuse) for c in nodes[n]] for n in nodes if n in used}
        parts = {n: parts_of(layers[n], entries[n]["config"], calls[n], self._rules, self._refuse) for n in calls}
        for part in (p for n in parts for p in parts[n].all):
            self._writer.row(part)  # first of all: what there is no layer for
        masks = MaskFlow(nodes, layers, parts, self._refuse)
        masks.check(used, outputs if model is not outermost else [], model)
        names = {n: self._name(n) for n in calls}
        # in Keras 2 a nested model's own construction is its node 0, so every later call counts one more
        shift = {n: int(hasattr(layers[n], "layers")) for n in names}

        def refer(reference: Sequence[Any]) -> list[Any]:
            layer, node, tensor = reference
            return [names[layer], node + shift[layer], tensor]

        written = []
        for n in names:
            sources = [[refer(t["config"]["keras_history"]) for t in call.tensors] for call in calls[n]]
            written += self._records(layers[n], names[n], parts[n], sources)
        if model is outermost:
            self.inputs = {n: names[n] for n in names if type(layers[n]).__name__ == "InputLayer"}
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

    def _refuse_indescribable(self, operations: Iterable[Any]) -> None:
        """Operations of keras.ops that hold functions or other objects: loops, for one."""
        for operation in operations:
            try:
                operation.get_config()
            except NotImplementedError:
                self._refuse(operation, "it is not a Keras layer, and Keras has no configuration of it")

    def _nested(self, model: Any) -> dict[str, Any]:
        return self._model(model, self._name(model.name))

    def _records(self, layer: Any, name: str, parts: Parts, sources: list[list[list[Any]]]) -> list[dict[str, Any]]:
        """The entries of `layers` that stand for one Keras layer; the last one bears its name.

        `sources` are the references each call takes.
        """
        if type(layer).__name__ == "InputLayer":
            return [self._input(layer, name)]
        if hasattr(layer, "layers"):
            nested = self._model(layer, name)
            record = {"class_name": nested["class_name"], "name": name, "config": nested["config"]}
            return [record | {"inbound_nodes": [_node(call) for call in sources]}]
        self.rewrites.extend(parts.describe(name))
        kinds = [p.kind.removeprefix("ops.") for p in parts.all]
        names = [self._unique(f"{name}_{kind.lower()}") for kind in kinds[:-1]] + [name]
        records = []
        for index, part in enumerate(parts.all):
            record = self._writer.write(part, names[index])
            record["inbound_nodes"] = [
                _node([call[-1 - t] if t < 0 else [names[t], number, 0] for t in part.takes])
                for number, call in enumerate(sources)
            ]
            records.append(record)
        return records

    def _copy(self, tensor: Sequence[Any]) -> dict[str, Any]:
        name = self._name(f"{tensor[0]}_copy")
        self.rewrites.append(f"output {tensor[0]!r} is listed twice; the second is the linear activation {name!r}")
        config = {"name": name, "activation": "linear"}
        return {"class_name": "Activation", "name": name, "config": config, "inbound_nodes": [_node([tensor])]}

    def _name(self, name: str) -> str:
        """A layer name used once in the whole file: TF.js finds weights by layer name, at any depth."""
        legal = legal_name(name)
        unique = self._unique(legal)
        if legal != name:
            self.rewrites.append(
                f"layer {name!r} is called {unique!r}: TF.js takes letters of ASCII, digits, . _ and -"
            )
        elif unique != name:
            self.rewrites.append(f"layer {name!r} of a nested model is called {unique!r}")
        return unique

    def _unique(self, name: str) -> str:
        unique, count = name, 0
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        self._taken.add(unique)
        return unique

    def _input(self, layer: Any, name: str) -> dict[str, Any]:
        dtype = _INPUT_DTYPES.get(layer.dtype)
        if dtype is None or layer.sparse or getattr(layer, "ragged", False) or getattr(layer, "optional", False):
            self._refuse(layer, f"TF.js layers takes dense float32 and integer inputs, this one is {layer.dtype}")
        # the batch is dynamic in the signature, whatever the layer was built with
        shape = [None, *layer.batch_shape[1:]]
        config = {"name": name, "batch_input_shape": shape, "dtype": dtype or layer.dtype, "sparse": False}
        return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


def _node(references: Sequence[Sequence[Any]]) -> list[Any]:
    return [[*reference, {}] for reference in references]
