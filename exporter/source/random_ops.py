"""Which operations of a graph give other values at each call, and which outputs they reach."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.selection import Scopes, inside, plain

_RANDOM = re.compile(
    r"Random|TruncatedNormal|Multinomial|Shuffle$|CandidateSampler$|SampleDistorted|^Stateful(?!Partitioned)"
    r"|^NonDeterministicInts$|^Timestamp$|PyFunc|^RngReadAndSkip$"
)
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_READS = ("ReadVariableOp", "VarHandleOp", "VariableV2", "ResourceGather")
# scopes that the functions of TensorFlow and Keras open for themselves, inside of the layer's
_OWN_SCOPES = re.compile(r"(stateless_|stateful_)?(random|truncated|parameterized|uniform|normal|dropout)(_\w+)?")


@dataclass(frozen=True, order=True)
class RandomOp:
    """One node; `live` is False where its seed is a constant of the graph, so that it gives the same at every call."""

    node: str
    op: str
    live: bool


Found = tuple[frozenset[RandomOp], frozenset[str]]


def random_ops(graph_def: Any, outputs: Mapping[str, str]) -> dict[str, tuple[RandomOp, ...]]:
    """Output name -> the random operations whose values reach its tensor, those that are live first."""
    walk = _Walk({f.signature.name: f for f in graph_def.library.function})
    nodes = {node.name: node for node in graph_def.node}
    found = {name: walk.reach(nodes, [tensor], ())[0] for name, tensor in outputs.items()}
    return {name: tuple(sorted(ops, key=lambda op: (not op.live, op))) for name, ops in found.items()}


@dataclass
class _Walk:
    """Backwards from tensors, exact through calls; all of the functions of a loop or a condition count."""

    functions: Mapping[str, Any]
    _known: dict[tuple[str, int | None], Found] = field(default_factory=dict)

    def reach(self, nodes: Mapping[str, Any], starts: Iterable[str], arguments: Iterable[str]) -> Found:
        stack, seen = list(starts), set[str]()
        ops: set[RandomOp] = set()
        reached: set[str] = set()
        own = set(arguments)
        while stack:
            ref = stack.pop()
            name = ref.partition(":")[0]
            if ref in seen or ref.startswith("^"):
                continue
            seen.add(ref)
            if name in own:
                reached.add(name)
                continue
            node = nodes[name]
            inputs = [i for i in node.input if not i.startswith("^")]
            if _RANDOM.search(node.op):
                ops.add(RandomOp(node.name, node.op, self._live(node, inputs, nodes, own)))
            if node.op in _CALLS:
                last = ref.rpartition(":")[2]
                inner, positions = self._body(node.attr["f"].func.name, int(last) if last.isdigit() else 0)
                ops |= {RandomOp(f"{name}/{op.node}", op.op, op.live) for op in inner}
                stack += [inputs[int(i)] for i in positions]
                continue
            for function in _called(node):
                inner, _ = self._body(function, None)
                ops |= {RandomOp(f"{name}/{op.node}", op.op, op.live) for op in inner}
            stack += inputs
        return frozenset(ops), frozenset(reached)

    def _body(self, function: str, output: int | None) -> Found:
        """Random operations behind one output of a function (all for None), and the positions of its arguments."""
        key = (function, output)
        if key not in self._known:
            self._known[key] = (frozenset(), frozenset())  # a function that calls itself adds nothing
            body = self.functions.get(function)
            if body is None:
                return self._known[key]
            names = [a.name for a in body.signature.input_arg]
            results = [body.ret[a.name] for a in body.signature.output_arg]
            starts = results if output is None else results[output : output + 1]
            ops, reached = self.reach({n.name: n for n in body.node_def}, starts, names)
            self._known[key] = (ops, frozenset(str(names.index(n)) for n in reached))
        return self._known[key]

    def _live(self, node: Any, inputs: list[str], nodes: Mapping[str, Any], arguments: set[str]) -> bool:
        if not node.op.startswith("Stateless"):
            return True
        stack, seen = inputs[1:], set[str]()
        while stack:
            name = stack.pop().partition(":")[0]
            if name in arguments:
                return True  # what the caller gives may be a variable's value
            if name in seen:
                continue
            seen.add(name)
            found = nodes[name]
            if found.op in (*_READS, *_CALLS, "Placeholder") or (
                _RANDOM.search(found.op) and not found.op.startswith("Stateless")
            ):
                return True
            stack += [i for i in found.input if not i.startswith("^")]
        return False


def _called(node: Any) -> list[str]:
    """The functions that a node's attributes name."""
    single = [a.func.name for a in node.attr.values() if a.WhichOneof("value") == "func"]
    return single + [f.name for a in node.attr.values() for f in a.list.func]


def layer_of(node: str, layers: Scopes) -> str:
    """The innermost layer around a node; without layers, its name scope."""
    fitting = [(len(s), name) for name, scopes in layers.items() for s in scopes if inside(node, (s,))]
    if fitting:
        return max(fitting)[1]
    parts = plain(node).split("/")[:-1]
    while len(parts) > 1 and _OWN_SCOPES.fullmatch(parts[-1]):
        parts.pop()
    return "/".join(parts)
