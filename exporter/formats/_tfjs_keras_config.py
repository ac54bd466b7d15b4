"""Reading what Keras 3 writes about a model: calls, references between layers, and which layers count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.formats import Refused

WAY_OUT = "use tfjs-graph"


def refused(layer: Any, reason: str) -> Refused:
    """The refusal of one layer: its name, its class, the reason, and the format that can hold it."""
    return Refused(f"layer {layer.name!r} ({type(layer).__name__}): {reason}; {WAY_OUT}")


def functional_of(model: Any) -> Any:
    """The graph of layers behind a Functional or Sequential model.

    Raises:
        Refused: the class overrides `call`, so its layers are not the whole model, or it was never built.
    """
    from keras import Sequential
    from keras.src.models.functional import Functional

    if type(model) is Functional:
        return model
    if type(model) is not Sequential:
        raise Refused(
            f"model {model.name!r} is of a class of its own ({type(model).__name__}), whose code TF.js layers cannot "
            f"hold; {WAY_OUT}"
        )
    if getattr(model, "_functional", None) is None:
        raise Refused(f"model {model.name!r} has no input shape; add a keras.Input, or {WAY_OUT}")
    return model._functional


def tensors_of(layer: Any, call: Mapping[str, Any]) -> list[Any]:
    """The symbolic tensors of one call. Raises Refused for a call TF.js' topology cannot express."""
    arguments = call["args"]
    # MaskFlow deals with masks; `training` is overruled by the training=False of the whole model
    extra = {k: v for k, v in call["kwargs"].items() if k not in ("mask", "training") and v is not None}
    if extra or any(a is not None for a in arguments[1:]):
        raise refused(layer, f"it is called with more than its input ({', '.join(extra) or 'further arguments'})")
    if not arguments:
        return []
    found = arguments[0] if isinstance(arguments[0], list) else [arguments[0]]
    if not all(isinstance(t, dict) and t.get("class_name") == "__keras_tensor__" for t in found):
        raise refused(layer, "it is called with something other than a tensor or a list of tensors")
    return found


def end_references(structure: Any, layers: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """`input_layers` or `output_layers` (one reference, lists, dicts) -> (layer, node, tensor) in Keras' flat order.

    Here, and not in `inbound_nodes`, Keras 3 counts the construction of a nested Functional as a node: undone.
    """
    import keras
    from keras.src.models.functional import Functional

    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: leaves(v) for k, v in value.items()}
        if len(value) == 3 and isinstance(value[0], str):
            return json.dumps(value)
        return [leaves(v) for v in value]

    flat = [json.loads(leaf) for leaf in keras.tree.flatten(leaves(structure))]
    return [(name, node - isinstance(layers[name], Functional), tensor) for name, node, tensor in flat]


def reachable(nodes: Mapping[str, Any], outputs: Sequence[tuple[str, int, int]]) -> set[str]:
    """Names of the layers that lead to an output other than by a mask, and of every input."""
    found = {name for name, calls in nodes.items() if not calls}
    pending = [r[0] for r in outputs]
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        for call in nodes[name]:
            pending += _histories(call["args"])
    return found


def _histories(value: Any) -> list[str]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [value["config"]["keras_history"][0]]
        return [h for v in value.values() for h in _histories(v)]
    return [h for v in value for h in _histories(v)] if isinstance(value, list) else []


def plain(value: Any) -> Any:
    """Keras' serialized tuples as lists, and its serialized functions as their registered names."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        return [plain(i) for i in value["items"]]
    if isinstance(value, dict) and value.get("class_name") == "function" and isinstance(value.get("config"), str):
        return value["config"]
    return [plain(i) for i in value] if isinstance(value, list | tuple) else value
