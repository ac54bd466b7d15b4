"""What made-up values of an input may be, told by the tables that the input indexes in a traced graph.

For models without a Keras graph. An input is followed through the nodes that keep its values (casts, reshapes,
slices …) and through calls, up to a gather from a table of known size, a one-hot of known depth, or a lookup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.model import Json
from exporter.source.reach import index_fact, vocabulary_fact

# op -> how many of its first inputs have values that its outputs have too; None for all of them
_PASSING: Mapping[str, int | None] = {
    **dict.fromkeys(("Identity", "Cast", "Reshape", "ExpandDims", "Squeeze", "StopGradient", "Snapshot"), 1),
    **dict.fromkeys(("Transpose", "StridedSlice", "Slice", "Tile", "BroadcastTo", "ReverseV2", "EnsureShape"), 1),
    **dict.fromkeys(("PreventGradient", "PlaceholderWithDefault", "Unpack", "Unique"), 1),
    **dict.fromkeys(("IdentityN", "Pack", "ConcatV2"), None),
}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_GATHERS = ("Gather", "GatherV2", "ResourceGather")


@dataclass(frozen=True)
class _Value:
    """What is known of a tensor: the inputs whose values it holds, its shape as a table, its numbers, its handle."""

    inputs: frozenset[str] = frozenset()
    shape: tuple[int | None, ...] | None = None
    numbers: Any = None
    handle: Any = None


_UNKNOWN = _Value()


def graph_facts(concrete: Any, names: Iterable[str]) -> dict[str, list[Json]]:
    """By input of a concrete function of keyword tensors, what each table takes that the input indexes."""
    graph = concrete.graph.as_graph_def()
    functions = {f.signature.name: f for f in graph.library.function}
    given: dict[str, _Value] = {}
    for outer, inner in concrete.graph.captures:
        given[inner.op.name] = _captured(outer)
    ordered = sorted(concrete.structured_input_signature[1])  # keyword tensors are flattened in sorted order
    for name, tensor in zip(ordered, concrete.inputs, strict=False):
        given[tensor.op.name] = _Value(frozenset([name]))
    found: dict[str, list[Json]] = {name: [] for name in names}
    _Body(graph.node, given, functions, found).visit()
    return found


def _captured(outer: Any) -> _Value:
    if outer.dtype != tf.resource:
        return _Value(shape=tuple(outer.shape.as_list())) if outer.shape.rank is not None else _UNKNOWN
    data = getattr(outer, "_handle_data", None)
    kinds = list(data.shape_and_type) if data is not None and data.is_set else []
    if len(kinds) != 1 or kinds[0].shape.unknown_rank:
        return _Value(handle=outer)
    return _Value(shape=tuple(d.size if d.size >= 0 else None for d in kinds[0].shape.dim), handle=outer)


class _Body:
    """One graph or function body, its nodes visited once."""

    def __init__(
        self, nodes: Any, given: Mapping[str, _Value], functions: Mapping[str, Any], found: dict[str, list[Json]]
    ) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._given = given
        self._functions = functions
        self._found = found
        self._known: dict[str, list[_Value]] = {}

    def visit(self) -> None:
        for name in self._nodes:
            self.node(name)

    def node(self, name: str) -> list[_Value]:
        """The values of a node's outputs; a single one stands for all of them."""
        pending = [name]
        while pending:  # no recursion: graphs are deeper than Python's stack
            current = pending[-1]
            if current in self._known or current in self._given or current not in self._nodes:
                pending.pop()
                continue
            node = self._nodes[current]
            waiting = [n for n in (_producer(i) for i in node.input) if n not in self._known and n not in self._given]
            waiting = [n for n in waiting if n in self._nodes and n not in pending]
            if waiting:
                pending += waiting
                continue
            self._known[current] = self._evaluated(node)
            pending.pop()
        return [self._given[name]] if name in self._given else self._known.get(name, [_UNKNOWN])

    def _inputs(self, node: Any) -> Iterator[_Value]:
        for text in node.input:
            if not text.startswith("^"):
                values = self._known.get(_producer(text)) or [self._given.get(_producer(text), _UNKNOWN)]
                number = text.rpartition(":")[2]
                index = int(number) if ":" in text and number.isdigit() else 0
                yield values[index] if index < len(values) else (values[0] if len(values) == 1 else _UNKNOWN)

    def _evaluated(self, node: Any) -> list[_Value]:
        inputs = list(self._inputs(node))
        if node.op in _PASSING and inputs:
            most = _PASSING[node.op]
            taken = inputs if most is None else inputs[:most]
            if node.op in ("Identity", "Cast", "StopGradient", "Snapshot"):
                return [taken[0]]
            if node.op == "IdentityN":
                return taken
            return [_Value(frozenset().union(*(value.inputs for value in taken)))]
        if node.op == "Const":
            numbers = tf.make_ndarray(node.attr["value"].tensor)
            return [_Value(shape=numbers.shape, numbers=numbers)]
        if node.op in ("SelectV2", "Select") and len(inputs) == 3:
            return [_Value(inputs[1].inputs | inputs[2].inputs)]
        if node.op in ("ReadVariableOp", "VarHandleOp") and inputs:
            return [_Value(shape=inputs[0].shape)]
        if node.op in _CALLS and node.attr["f"].func.name in self._functions:
            return self._call(self._functions[node.attr["f"].func.name], inputs)
        self._read(node, inputs)
        return [_UNKNOWN]

    def _call(self, function: Any, inputs: list[_Value]) -> list[_Value]:
        given = {arg.name: value for arg, value in zip(function.signature.input_arg, inputs, strict=False)}
        body = _Body(function.node_def, given, self._functions, self._found)
        body.visit()
        return [body.node(_producer(function.ret[arg.name]))[0] for arg in function.signature.output_arg]

    def _read(self, node: Any, inputs: list[_Value]) -> None:
        """Record what a node that looks something up takes."""
        fact: Json | None = None
        indices = inputs[1] if len(inputs) > 1 else _UNKNOWN
        if node.op in _GATHERS and indices.inputs and not node.attr["batch_dims"].i:
            axis = int(inputs[2].numbers) if len(inputs) > 2 and inputs[2].numbers is not None else 0
            shape = inputs[0].shape or ()
            size = shape[axis] if -len(shape) <= axis < len(shape) else None
            fact = index_fact(size, f"a table of {size} rows") if size else None
        elif node.op == "OneHot" and inputs[0].inputs and indices.numbers is not None:
            indices, depth = inputs[0], int(indices.numbers)
            fact = index_fact(depth, f"a one-hot of {depth}") if depth > 0 else None
        elif node.op == "LookupTableFindV2" and indices.inputs and inputs[0].handle is not None:
            fact = _table_fact(node, inputs[0].handle)
        if fact is not None:
            for name in indices.inputs:
                self._found.setdefault(name, []).append(fact)


def _table_fact(node: Any, handle: Any) -> Json | None:
    try:
        keys, _ = tf.raw_ops.LookupTableExportV2(
            table_handle=handle, Tkeys=node.attr["Tin"].type, Tvalues=node.attr["Tout"].type
        )
    except Exception:  # a table that was not filled yet, or of a kind that cannot be listed
        return None
    entries = np.asarray(keys.numpy()).reshape(-1).tolist()
    words = sorted(entry.decode("utf-8", "replace") if isinstance(entry, bytes) else entry for entry in entries)
    return vocabulary_fact(words, "the keys of a lookup table") if words else None


def _producer(text: str) -> str:
    return text.lstrip("^").partition(":")[0]
