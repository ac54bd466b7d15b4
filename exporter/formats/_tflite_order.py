"""The order of a flatbuffer's inputs and outputs: the source's, in the subgraph and in its signature.

Who calls by index (`Interpreter.get_input_details`, `run(inputs)` on Android, LiteRT's CompiledModel) goes by the lists
of the subgraph, and the converter sorts those by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exporter.model import Signature


def in_order(model: bytes, signatures: Mapping[str, Signature]) -> bytes:
    """A flatbuffer with the inputs and outputs of its signatures in their order; the same bytes if they already are."""
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed)) if reorder(parsed, signatures) else model


def reorder(parsed: Any, signatures: Mapping[str, Signature]) -> bool:
    """The same in a flatbuffer's object tree; True where something had another order."""
    changed = False
    for definition in parsed.signatureDefs or ():
        signature = signatures[_text(definition.signatureKey)]
        graph = parsed.subgraphs[definition.subgraphIndex]
        before = _order(definition, graph)
        definition.inputs = _maps(definition.inputs, (s.name for s in signature.inputs))
        definition.outputs = _maps(definition.outputs, (s.name for s in signature.outputs))
        graph.inputs = _indices(graph.inputs, definition.inputs)
        graph.outputs = _indices(graph.outputs, definition.outputs)
        changed |= _order(definition, graph) != before
    return changed


def _order(definition: Any, graph: Any) -> list[list[int]]:
    maps = [[int(entry.tensorIndex) for entry in side or ()] for side in (definition.inputs, definition.outputs)]
    return [*maps, [int(i) for i in graph.inputs], [int(i) for i in graph.outputs]]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _maps(entries: Iterable[Any] | None, names: Iterable[str]) -> list[Any]:
    place = {name: position for position, name in enumerate(names)}
    return sorted(entries or (), key=lambda entry: place[_text(entry.name)])


def _indices(indices: Iterable[int], entries: Sequence[Any]) -> list[int]:
    """The tensors of a subgraph as its signature lists them; what the signature does not name comes last."""
    named = [int(entry.tensorIndex) for entry in entries]
    return [*named, *(int(i) for i in indices if int(i) not in named)]
