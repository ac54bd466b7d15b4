"""Reading what Keras 3 writes about a model: calls, references between layers, and which layers count."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.formats import Refused
from exporter.formats._tfjs_parts import Tensor

WAY_OUT = "use tfjs-graph"
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
ATTENTION = ("MultiHeadAttention", "Attention")
Refuse = Callable[[Any, str], None]


def refused(layer: Any, reason: str) -> Refused:
    """The refusal of one layer or operation: its name, its class, the reason, and the format that can hold it."""
    import keras

    what = "layer" if isinstance(layer, keras.Layer) else "operation"
    return Refused(f"{what} {layer.name!r} ({type(layer).__name__}): {reason}; {WAY_OUT}")


def refuse(layer: Any, reason: str) -> None:
    """Raise the refusal of one layer.

    The writer hands this function down to every check. A test hands down one that returns, so that the file is
    written all the same, and shows in TF.js that each refusal is earned.
    """
    raise refused(layer, reason)


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


@dataclass(frozen=True)
class Call:
    """One call of a layer: the serialized tensors it is given, in TF.js' order, and all other arguments."""

    tensors: list[Any]
    arguments: Mapping[str, Any]


def call_of(layer: Any, call: Mapping[str, Any], refuse: Refuse) -> Call:
    """Read one serialized call; `refuse` hears of what TF.js' topology cannot express."""
    kind = type(layer).__name__
    # MaskFlow deals with masks; `training` is overruled by the training=False of the whole model
    named = {k: v for k, v in call["kwargs"].items() if k not in ("mask", "training") and v is not None}
    if kind_of(layer).startswith("ops."):
        tensors: list[Any] = []
        return Call(tensors, {"args": _replaced(call["args"], tensors), **_replaced(named, tensors)})
    if kind in ATTENTION:
        given = inspect.signature(layer.call).bind(*call["args"], **named).arguments
        inputs = {k: v for k, v in given.items() if v is not None}
        found = inputs.pop("inputs", None) or [inputs.pop(k) for k in ("query", "value", "key") if k in inputs]
        if inputs:
            refuse(layer, f"it is called with {', '.join(inputs)}")
        return Call(found, {})
    arguments = call["args"]
    states = named.pop("initial_state", []) if kind in (*RECURRENT, "RNN") else []
    if named or any(a is not None for a in arguments[1:]):
        refuse(layer, f"it is called with more than its input ({', '.join(named) or 'further arguments'})")
    if not arguments:
        return Call([], {})
    if hasattr(layer, "layers"):
        return Call(_flat(arguments[0]), {})
    found = arguments[0] if isinstance(arguments[0], list) else [arguments[0]]
    found = [*found, *(states if isinstance(states, list) else [states])]
    if not all(_is_tensor(t) for t in found):
        raise refused(layer, "it is called with something other than tensors")
    return Call(found, {})


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _replaced(value: Any, tensors: list[Any]) -> Any:
    """Arguments with `Tensor(k)` for the k-th tensor in them; the tensors are appended to the list."""
    if _is_tensor(value):
        tensors.append(value)
        return Tensor(len(tensors) - 1)
    if isinstance(value, dict):
        return {k: _replaced(v, tensors) for k, v in value.items()}
    return [_replaced(v, tensors) for v in value] if isinstance(value, list | tuple) else value


def _flat(structure: Any) -> list[Any]:
    """The tensors of a structure, in the order in which Keras flattens it: dictionaries by sorted keys."""
    import keras

    def leaves(value: Any) -> Any:
        if _is_tensor(value):
            return json.dumps(value)
        if isinstance(value, dict):
            return {k: leaves(v) for k, v in value.items()}
        return [leaves(v) for v in value] if isinstance(value, list) else None

    return [json.loads(leaf) for leaf in keras.tree.flatten(leaves(structure)) if leaf is not None]


def kind_of(layer: Any) -> str:
    """The class of a layer; `ops.Add` for an operation of Keras, and `Add` for one that somebody else wrote."""
    import keras

    name = type(layer).__name__
    own = type(layer).__module__.startswith(("keras.src.ops.", "keras.src.activations."))
    return f"ops.{name}" if own and not isinstance(layer, keras.Layer) else name


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
            pending += [t["config"]["keras_history"][0] for t in tensors_of(call)]
    return found


def tensors_of(call: Mapping[str, Any]) -> list[Any]:
    """All serialized tensors among the arguments of a call, masks excepted."""
    named = {k: v for k, v in call["kwargs"].items() if not k.endswith("mask")}
    return _flat([call["args"], named])


def plain(value: Any) -> Any:
    """Keras' serialized tuples as lists, and its serialized functions as their registered names."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        return [plain(i) for i in value["items"]]
    if isinstance(value, dict) and value.get("class_name") == "function" and isinstance(value.get("config"), str):
        return value["config"]
    return [plain(i) for i in value] if isinstance(value, list | tuple) else value
