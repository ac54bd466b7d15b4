"""Asking a source whether it agrees with itself: again on the same rows, and on them in another batch and order.

What differs between equal calls is random: no artifact can have the same numbers. What differs in another batch is
deterministic and depends on the other rows: an artifact that runs row by row computes something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.errors import SourceError
from exporter.model import Json
from exporter.repeatability import count_rows, differs, identical, other_batch, taken
from exporter.source.random_ops import RandomOp, layer_of, random_ops
from exporter.tensors import Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source

# a class that noise may change does not change at every call
_TRIES = 6
_FLOATS = ("float64", "float32", "float16", "bfloat16")  # from fine to coarse


def probe(source: Source, signature: str, rows: Tensors) -> Json:
    """What the outputs of a signature say twice.

    Returns:
        `random`: output -> {"layer", "op", "varies"}: `op` is empty where no operation of the graph explains it,
        `varies` is "shape" where not even that is the same; `batch`: the outputs that depend on the rest of the batch.

    Raises:
        SourceError: the source cannot run these rows.
    """
    reaching = _reaching(source, signature)
    coarsest = _coarsest(source, signature)
    first, *later = source.successive(signature, rows, 2)
    calls = [source.reference(signature, rows)] if source.is_stateful(signature) else later
    live = {name for name, ops in reaching.items() if any(op.live for op in ops)}

    def changed(name: str, other: Tensors) -> bool:
        # where a random operation is known to reach an output, any difference is its doing
        if name in live:
            return not identical(first[name], other[name])
        return differs(first[name], other[name], coarsest=coarsest, same_call=True)

    random = {name for name in first if any(changed(name, other) for other in calls)}
    if live:
        # a seed that is a variable moves on from call to call, and so does the state of a recurrent layer
        tries = source.successive(signature, rows, _TRIES) if live - random else [first, *later]
        random |= {name for name in live if any(changed(name, other) for other in tries)}
    layers = source.layer_scopes(signature) if random else {}
    moving = {name for name in random if any(first[name].shape != other[name].shape for other in (*later, *calls))}
    return {
        "random": {
            name: {**_cause(reaching[name], layers), "varies": "shape" if name in moving else "values"}
            for name in sorted(random)
        },
        "batch": sorted(_batch_dependent(source, signature, rows, first, coarsest) - random),
    }


def _batch_dependent(source: Source, signature: str, rows: Tensors, first: Tensors, coarsest: str) -> set[str]:
    count = count_rows(rows)
    if not source.signatures[signature].batched or count is None:
        return set()
    numbers = other_batch(count)
    # the only row there is gets company: twice itself
    numbers = numbers if count > 1 else [0, 0]
    try:
        other = source.reference(signature, taken(rows, numbers))
    except SourceError:
        return set()  # these inputs are no rows of one batch
    followed = [name for name in first if len(first[name]) == count and len(other[name]) == len(numbers)]
    return {n for n in followed if differs(other[n], first[n][numbers], coarsest=coarsest, same_call=False)}


def _reaching(source: Source, signature: str) -> dict[str, tuple[RandomOp, ...]]:
    concrete = source.concrete(signature)
    outputs = dict(zip(sorted(concrete.structured_outputs), (t.name for t in concrete.outputs), strict=True))
    return random_ops(concrete.graph.as_graph_def(), outputs)


def _coarsest(source: Source, signature: str) -> str:
    names = {t.dtype.name for op in source.concrete(signature).graph.get_operations() for t in op.outputs}
    return max((f for f in _FLOATS if f in names), key=_FLOATS.index, default="float32")


def _cause(ops: tuple[RandomOp, ...], layers: dict[str, tuple[str, ...]]) -> Json:
    if not ops:
        return {"layer": "", "op": ""}
    return {"layer": layer_of(ops[0].node, layers), "op": ops[0].op}
