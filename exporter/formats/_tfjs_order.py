"""The order in which TF.js takes the inputs and gives the outputs of a graph model: that of the keys of its signature.

`GraphModel.predict([…])` goes through `Object.keys` of `signature.inputs` and `signature.outputs`
(tfjs-converter/src/operations/operation_mapper.ts), and JavaScript lists keys that are array indices first and in
rising order, wherever they stand in the file (ECMA-262, OrdinaryOwnPropertyKeys).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exporter.model import NameMap, Signature, TensorSpec


def as_javascript_lists(names: Iterable[str]) -> list[str]:
    """The keys of an object that was written in this order, as JavaScript goes through them."""
    given = list(names)
    indices = sorted((name for name in given if _is_index(name)), key=int)
    return [*indices, *(name for name in given if not _is_index(name))]


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name and int(name) < 2**32 - 1


def key_names(signature: Signature) -> NameMap:
    """The names of a signature in model.json: its own, but for integers that JavaScript would put elsewhere."""
    return NameMap(_keys(signature.inputs), _keys(signature.outputs))


def _keys(specs: Sequence[TensorSpec]) -> dict[str, str]:
    names = [s.name for s in specs]
    if as_javascript_lists(names) == names:
        return {name: name for name in names}
    keys: dict[str, str] = {}
    for name in names:
        key = f"tensor_{name}" if _is_index(name) else name
        while key != name and key in names:
            key += "_"
        keys[name] = key
    return keys
