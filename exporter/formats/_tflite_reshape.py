"""Reshapes to a shape that is computed while the model runs, written with a constant shape.

Keras flattens a batch of unknown size by asking for its shape: SHAPE, STRIDED_SLICE and PACK before RESHAPE. One
unknown length among known ones need not be computed: -1 stands for it, unless it does for another. Without these
operations delegates take the whole graph, integer models have no float part in the middle, and runtimes that allocate
before they run know the sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def constant_reshapes(model: bytes) -> bytes:
    """A flatbuffer whose reshapes with one computed length have constant shapes; the same bytes if there are none."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    kinds = [max(int(c.builtinCode), int(c.deprecatedBuiltinCode)) for c in parsed.operatorCodes]
    changed = False
    for number, graph in enumerate(parsed.subgraphs):
        makers = {int(out): op for op in graph.operators for out in op.outputs}
        readers = [int(i) for op in graph.operators for i in op.inputs]
        for operator in graph.operators:
            if kinds[operator.opcodeIndex] != schema.BuiltinOperator.RESHAPE or len(operator.inputs) < 2:
                continue
            computed = int(operator.inputs[1])
            maker = makers.get(computed)
            # where others read the shape as well, it stays what it was
            if maker is None or kinds[maker.opcodeIndex] != schema.BuiltinOperator.PACK or readers.count(computed) != 1:
                continue
            lengths = [_constant(parsed, graph, int(i)) for i in maker.inputs]
            if lengths.count(None) == 1 and not {0, -1} & set(lengths):
                shape = np.asarray([-1 if length is None else length for length in lengths], np.int32)
                buffer = schema.BufferT()
                buffer.data = shape.view(np.uint8)
                parsed.buffers.append(buffer)
                graph.tensors[computed].buffer = len(parsed.buffers) - 1
                graph.operators = [op for op in graph.operators if op is not maker]
                changed = True
        if changed:
            _drop_unused(parsed, number)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed)) if changed else model


def _constant(parsed: Any, graph: Any, index: int) -> int | None:
    data = parsed.buffers[graph.tensors[index].buffer].data
    return None if data is None or len(data) != 4 else int(np.frombuffer(bytes(data), np.int32)[0])


def _drop_unused(parsed: Any, number: int) -> None:
    """Remove the operations of a subgraph that nothing reads, and the tensors that no operation has."""
    graph = parsed.subgraphs[number]
    while True:
        read = {int(i) for op in graph.operators for i in op.inputs} | {int(i) for i in graph.outputs}
        kept = [op for op in graph.operators if any(int(i) in read for i in op.outputs) or not len(op.outputs)]
        if len(kept) == len(graph.operators):
            break
        graph.operators = kept
    maps = [
        entry
        for signature in parsed.signatureDefs or []
        if signature.subgraphIndex == number
        for entry in (*signature.inputs, *signature.outputs)
    ]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs, *_intermediates(op))}
    used |= {int(i) for i in (*graph.inputs, *graph.outputs)} | {int(entry.tensorIndex) for entry in maps}
    order = sorted(used - {-1})
    place = {-1: -1, **{old: new for new, old in enumerate(order)}}
    graph.tensors = [graph.tensors[i] for i in order]
    graph.inputs, graph.outputs = ([place[int(i)] for i in side] for side in (graph.inputs, graph.outputs))
    for entry in maps:
        entry.tensorIndex = place[int(entry.tensorIndex)]
    for op in graph.operators:
        op.inputs, op.outputs = ([place[int(i)] for i in side] for side in (op.inputs, op.outputs))
        if len(_intermediates(op)):
            op.intermediates = [place[int(i)] for i in op.intermediates]


def _intermediates(op: Any) -> Any:
    return () if op.intermediates is None else op.intermediates
