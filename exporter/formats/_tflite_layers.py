"""Which operations of a flatbuffer belong to which layer of the source, by the names of the tensors they make.

The operation that makes an output of a signature is called after the signature's function (`Identity_1`), so for those
the graph tells what the operation behind it was called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.formats import _tflite_weights as stored
from exporter.selection import Traced, owners

_LONGEST = 10_000  # characters of a scope that ai-edge-quantizer compares


@dataclass(frozen=True)
class Operation:
    """One operation: its scope as ai-edge-quantizer has it, the layers it belongs to, and the constants it takes."""

    scope: str
    layers: frozenset[str]
    constants: tuple[stored.Name, ...]
    makes_output: bool


def operations(model: bytes, traced: Mapping[str, Traced]) -> Iterator[Operation]:
    """All operations of a flatbuffer. `traced` has the names of every signature in it."""
    parsed = stored.parse(model)
    layers = {
        layer: tuple(dict.fromkeys(scope for one in traced.values() for scope in one.layers.get(layer, ())))
        for layer in dict.fromkeys(layer for one in traced.values() for layer in one.layers)
    }
    for number, graph in enumerate(parsed.subgraphs):
        behind = _behind_outputs(parsed, number, traced)
        for operator in graph.operators:
            made = [int(i) for i in operator.outputs]
            names = [graph.tensors[i].name.decode() for i in made]
            found = owners([*names, *(behind[i] for i in made if i in behind)], layers)
            taken = (graph.tensors[int(i)] for i in operator.inputs if int(i) >= 0)
            constants = ((number, t.name.decode()) for t in taken if parsed.buffers[t.buffer].data is not None)
            yield Operation(
                ";".join(filter(None, names)) + ";",
                frozenset(found),
                tuple(constants),
                any(i in behind for i in made),
            )


def _behind_outputs(parsed: Any, subgraph: int, traced: Mapping[str, Traced]) -> dict[int, str]:
    """Tensor number -> the operation that the graph has for it."""
    found: dict[int, str] = {}
    for definition in parsed.signatureDefs or ():
        key = definition.signatureKey.decode()
        if definition.subgraphIndex == subgraph and key in traced:
            _, outputs, _ = stored.signature_tensors(parsed, key)
            found |= {number: traced[key].outputs[name] for name, number in outputs.items()}
    return found


def keeping(found: Iterable[Operation], layers: Iterable[str]) -> list[Operation]:
    """The operations that belong to one of the layers."""
    wanted = frozenset(layers)
    return [operation for operation in found if operation.layers & wanted]


def pattern(kept: Sequence[Operation]) -> str:
    """The regular expression that fits the scopes of these operations and no other."""
    names = dict.fromkeys(re.escape(operation.scope[:_LONGEST]) for operation in kept)
    return f"^(?:{'|'.join(names)})$"
