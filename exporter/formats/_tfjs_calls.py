"""Which graphs TF.js runs by `executeAsync` only: known before a file is written.

`GraphModel.predict` and `execute` throw on a graph that has one of `ASYNCHRONOUS`, the ops whose executors in
tfjs-converter 4.22 are asynchronous: all of its categories control, dynamic and hash_table (a test compares). Loops
and conditions are among them in both of their forms: `While` is refused as `Enter` is, and `If`, which the check before
a run forgets, gives a promise in the middle of it. So nothing is won by functions in place of switches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

_LOOPS = frozenset({"Enter", "Exit", "LoopCond", "NextIteration", "StatelessWhile", "While"})
_CONDITIONS = frozenset({"If", "Merge", "StatelessIf", "Switch"})
_LISTS = frozenset(
    {
        "EmptyTensorList",
        *(f"TensorArray{verb}V3" for verb in ("", "Close", "Concat", "Gather", "Read", "Scatter", "Size", "Split")),
        "TensorArrayWriteV3",
        *(f"TensorList{verb}" for verb in ("Concat", "ConcatV2", "FromTensor", "Gather", "GetItem", "Length")),
        *(f"TensorList{verb}" for verb in ("PopBack", "PushBack", "Reserve", "Resize", "Scatter", "ScatterV2")),
        *(f"TensorList{verb}" for verb in ("SetItem", "Split", "Stack")),
    }
)
_SIZED_BY_VALUES = frozenset({"ListDiff", "Where", *(f"NonMaxSuppressionV{k}" for k in (2, 3, 4, 5))})
_TABLES = frozenset(
    {
        *(f"{op}{version}" for op in ("HashTable", "InitializeTable", "LookupTableFind") for version in ("", "V2")),
        *(f"{op}{version}" for op in ("LookupTableImport", "LookupTableSize") for version in ("", "V2")),
    }
)
# a loop has switches and lists of its own, so those are named only where there is none
_KINDS: Mapping[str, frozenset[str]] = {
    "a loop": _LOOPS,
    "a condition": _CONDITIONS,
    "a list of tensors": _LISTS,
    "a lookup table": _TABLES,
}
_OF_LOOPS = ("a condition", "a list of tensors")
ASYNCHRONOUS = _LOOPS | _CONDITIONS | _LISTS | _SIZED_BY_VALUES | _TABLES
CALL = "executeAsync"


def needs(nodes: Iterable[tuple[str, str]], layers_of: Callable[[str], Iterable[str]], subject: str = "") -> str:
    """One sentence for a graph that `predict` throws on, else nothing.

    `nodes` are names and ops, `layers_of` gives the layers that a node of this name belongs to, and `subject` is the
    signature, where a file has several.
    """
    found: dict[str, set[str]] = {}
    for name, op in nodes:
        if op in ASYNCHRONOUS:
            kind = next((kind for kind, ops in _KINDS.items() if op in ops), op)
            found.setdefault(kind, set()).update(layers_of(name))
    if "a loop" in found:
        for kind in _OF_LOOPS:
            found["a loop"] |= found.pop(kind, set())
    if not found:
        return ""
    listed = ", ".join(kind + _listed(outermost(layers)) for kind, layers in found.items())
    return f"{f'{subject}: ' if subject else ''}needs {CALL}: the predict of TF.js throws on {listed}"


def _listed(layers: Sequence[str]) -> str:
    return f" ({', '.join(f'layer {layer!r}' for layer in layers)})" if layers else ""


def outermost(layers: Iterable[str]) -> tuple[str, ...]:
    """Layers that are not inside of another one of them, sorted."""
    found = set(layers)
    return tuple(sorted(a for a in found if not any(a.startswith(f"{b}/") for b in found)))
