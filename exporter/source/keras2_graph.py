"""The calls of a functional model of Keras 2, made again with Keras 3's layers.

A call is written as the nodes it takes its tensors from, (layer, number of the call, number of the output), with the
call's further arguments repeated at each. What a layer itself becomes is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from exporter.source.keras2_layers import NotExact, plain
from exporter.source.source import first_line

# an entry of `layers` and its new name -> Keras 3's layers, to be applied one after another
Layers = Callable[[Mapping[str, Any], str], list[Any]]
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")
# arguments of a call that say nothing about inference, with the values of which that is true
_CALL: Mapping[str, tuple[Any, ...]] = {"training": (None, False, 0), "mask": (None,), "name": (None,)}


def clean(name: str) -> str:
    """A name that Keras 3 takes: it allows no slash, and Keras 2's own ResNet50V2 is full of them."""
    return name.replace("/", "_")


@dataclass
class Names:
    """The names of one model's layers in Keras 3, each once."""

    rewrites: list[str]
    found: dict[str, str] = field(default_factory=dict)

    def of(self, entry: Mapping[str, Any]) -> str:
        config = entry["config"]
        old = str(entry.get("name") or (config.get("name") if isinstance(config, Mapping) else None) or "")
        old = old or f"{entry['class_name'].lower()}_{len(self.found)}"
        new = clean(old)
        while new in self.found.values():
            new += "_"
        if new != old:
            self.rewrites.append(f"layer {old!r} is called {new!r}, for Keras 3 allows no slash in a name")
        self.found[old] = new
        return new


def input_of(config: Mapping[str, Any], name: str) -> Any:
    for key in ("sparse", "ragged"):
        if config.get(key):
            raise NotExact(f"layer {name!r} (InputLayer): Keras 3 is not known to take a {key} input alike")
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if shape is None:
        raise NotExact(f"layer {name!r} (InputLayer): it says no batch_input_shape")
    return keras.Input(batch_shape=tuple(plain(shape)), dtype=config.get("dtype") or "float32", name=name)


class Graph:
    """Calls the layers of one functional model until every node has its tensors."""

    def __init__(self, layers: Layers, config: Mapping[str, Any], name: str, rewrites: list[str]) -> None:
        self._layers = layers
        self._config = config
        self._name = name
        self._names = Names(rewrites)
        self._tensors: dict[tuple[str, int], list[Any]] = {}
        self._shift: dict[str, int] = {}

    def build(self) -> Any:
        entries = self._config["layers"]
        nodes = {e["name"]: e.get("inbound_nodes") or [] for e in entries}
        references = _References([*nodes.values(), self._config["input_layers"], self._config["output_layers"]], nodes)
        pending: list[tuple[Mapping[str, Any], list[Any], int, Any]] = []
        for entry in entries:
            old, new = entry["name"], self._names.of(entry)
            if entry["class_name"] == "InputLayer":
                self._tensors[old, 0] = [input_of(entry["config"], new)]
                continue
            made = self._layers(entry, new)
            # a nested model's construction counted as its node 0 when it was written, in most versions
            self._shift[old] = references.first(old)
            pending += [(entry, made, i, call) for i, call in enumerate(nodes[old])]
        while pending:
            left = [job for job in pending if not self._call(*job)]
            if len(left) == len(pending):
                stuck = ", ".join(sorted({repr(job[0]["name"]) for job in left}))
                raise NotExact(f"model {self._name!r}: nothing leads to {stuck}")
            pending = left
        ends = [self._structure(self._config[k]) for k in ("input_layers", "output_layers")]
        return keras.Model(*ends, name=self._name)

    def _structure(self, value: Any) -> Any:
        """`input_layers` or `output_layers`: one reference, a list, or a dictionary of them."""
        if _is_reference(value):
            return self._tensor(value)
        if isinstance(value, Mapping):
            return {k: self._structure(v) for k, v in value.items()}
        found = [self._structure(v) for v in value]
        return found[0] if len(found) == 1 else found

    def _tensor(self, reference: Sequence[Any]) -> Any:
        name, node, index = reference[:3]
        tensors = self._tensors.get((name, node - self._shift.get(name, 0)))
        if tensors is None or not 0 <= index < len(tensors):
            raise NotExact(
                f"model {self._name!r} refers to output {index} of node {node} of {name!r}, which is not there"
            )
        return tensors[index]

    def _call(self, entry: Mapping[str, Any], layers: list[Any], number: int, call: Any) -> bool:
        """Apply a layer once its inputs are there; False before that."""
        old, kind = entry["name"], entry["class_name"]
        for name, node, *_ in _walk(call):
            if (name, node - self._shift.get(name, 0)) not in self._tensors:
                return False
        where = f"layer {self._names.found[old]!r} ({kind})"
        arguments = self._arguments(where, kind, call)
        first = self._inputs(where, call)
        if kind in _RECURRENT and isinstance(first, list):
            first, *states = first
            arguments["initial_state"] = states
        try:
            for position, layer in enumerate(layers):
                first = layer(first, **arguments) if position == 0 else layer(first)
        except NotExact:
            raise
        except Exception as error:
            raise NotExact(f"{where}: Keras 3 cannot call it: {first_line(error)}") from error
        self._tensors[old, number] = keras.tree.flatten(first)
        return True

    def _inputs(self, where: str, call: Any) -> Any:
        if isinstance(call, Mapping):
            return {k: self._inputs(where, v) for k, v in call.items()}
        if _is_reference(call):
            return self._tensor(call)
        if call and call[0] == "_CONSTANT_VALUE":
            raise NotExact(f"{where}: it is called with a constant")
        found = [self._inputs(where, item) for item in call]
        return found[0] if len(found) == 1 else found

    def _arguments(self, where: str, kind: str, call: Any) -> dict[str, Any]:
        """Further arguments of a call; Keras 2 repeats them with every tensor."""
        given: Mapping[str, Any] = next((r[3] for r in _walk(call) if len(r) > 3 and r[3]), {})
        found: dict[str, Any] = {}
        for key, value in given.items():
            if _is_reference(value):
                found[key] = self._tensor(value)
            elif isinstance(value, list) and value and all(_is_reference(v) for v in value):
                found[key] = [self._tensor(v) for v in value]
            elif key not in _CALL:
                found[key] = plain(value)
            elif not any(value is v or value == v for v in _CALL[key]):
                raise NotExact(f"{where}: it is called with {key}={value!r}, which Keras 3 takes otherwise")
        return found


class _References:
    """All references to layers in one model's configuration."""

    def __init__(self, places: Iterable[Any], nodes: Mapping[str, Any]) -> None:
        self._found: dict[str, set[int]] = {}
        self._calls = {name: len(calls) for name, calls in nodes.items()}
        for place in places:
            for name, node, *_ in _walk(place):
                self._found.setdefault(name, set()).add(node)

    def first(self, layer: str) -> int:
        """The number of a layer's first call: of n calls they are 0 to n-1, or 1 to n."""
        found = self._found.get(layer)
        return int(bool(found) and max(found or [0]) >= self._calls[layer] > 0)


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(v, int) for v in value[1:3])
    )


def _walk(value: Any) -> Iterator[Sequence[Any]]:
    if _is_reference(value):
        yield value
        if len(value) > 3:
            yield from _walk(value[3])
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item)
