"""Lookup tables in TF.js graph models.

A frozen graph takes its tables as inputs of type resource. TF.js keeps tables by node name, shared between the graph
and an initializer graph that it runs once (`modelInitializer`; tfjs-converter/src/executor/graph_model.ts). So each
such input becomes a HashTableV2 node, and a node of the same name in the initializer graph imports the contents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.formats import Refused
from exporter.formats._tfjs_graphdef import GraphDef, node_of

if TYPE_CHECKING:
    from exporter.source.source import Source

_READS = ("LookupTableFindV2", "LookupTableSizeV2")
_WRITES = ("Assign", "ResourceScatter", "LookupTableInsert", "LookupTableRemove", "LookupTableImport")


def frozen_with_tables(source: Source, signature: str) -> tuple[Any, dict[str, Any]]:
    """The frozen graph of a signature, and table node -> handle of each table that is left as a placeholder.

    Raises:
        Refused: as `Source.frozen`, for anything but tables that are only read.
    """
    try:
        return source.frozen(signature), {}
    except Refused:
        from exporter.source.trace import FrozenGraph, graph_ops, lower_ops

        concrete = source.concrete(signature)
        ops = graph_ops(concrete)
        if not any(op in _READS for op in ops) or any(op.startswith(_WRITES) for op in ops):
            raise
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = convert_variables_to_constants_v2(concrete, lower_control_flow=True, aggressive_inlining=True)
    placeholders = {node_of(t.name) for t in function.inputs}
    handles = {node_of(inner.name): outer for outer, inner in concrete.graph.captures}
    # keyword tensors and dict results are flattened in sorted order, tables come last
    inputs = dict(zip(sorted(concrete.structured_input_signature[1]), (t.name for t in function.inputs), strict=False))
    outputs = dict(zip(sorted(concrete.structured_outputs), (t.name for t in function.outputs), strict=True))
    frozen = FrozenGraph(lower_ops(function.graph.as_graph_def()), inputs, outputs, function)
    return frozen, {n: handles[n] for n in sorted(placeholders & set(handles))}


def place_tables(graph_def: GraphDef, handles: Mapping[str, Any]) -> GraphDef | None:
    """Turn the placeholders in `handles` into tables; returns the initializer graph that fills them, if any.

    Raises:
        Refused: a table is not looked up with known key and value types.
    """
    if not handles:
        return None
    import tensorflow as tf

    initializer = type(graph_def)()
    initializer.versions.CopyFrom(graph_def.versions)
    nodes = {n.name: n for n in graph_def.node}
    for name, handle in handles.items():
        finds = [n for n in graph_def.node if n.op == "LookupTableFindV2" and node_of(n.input[0]) == name]
        if not finds:
            raise Refused(f"lookup table {name!r} is never looked up in this graph; use saved-model or onnx")
        key_type, value_type = finds[0].attr["Tin"].type, finds[0].attr["Tout"].type
        keys, values = tf.raw_ops.LookupTableExportV2(
            table_handle=handle, Tkeys=tf.as_dtype(key_type), Tvalues=tf.as_dtype(value_type)
        )
        order = np.argsort(keys.numpy(), kind="stable")  # a table has no order of its own
        for node in (nodes[name], initializer.node.add()):
            node.Clear()
            node.name, node.op = name, "HashTableV2"
            node.attr["key_dtype"].type, node.attr["value_dtype"].type = key_type, value_type
        _add_constant(initializer, f"{name}/keys", keys.numpy()[order], key_type)
        _add_constant(initializer, f"{name}/values", values.numpy()[order], value_type)
        fill = initializer.node.add(name=f"{name}/fill", op="LookupTableImportV2")
        fill.input.extend([name, f"{name}/keys", f"{name}/values"])
        fill.attr["Tin"].type, fill.attr["Tout"].type = key_type, value_type
        for find in finds:
            _reshape_result(graph_def, find)
    return initializer


def _add_constant(graph_def: GraphDef, name: str, values: Any, dtype: int) -> None:
    import tensorflow as tf

    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = dtype
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values, dtype=tf.as_dtype(dtype)))


def _reshape_result(graph_def: GraphDef, find: Any) -> None:
    """TF.js returns the found values as a vector, whatever the shape of the keys: give it back."""
    name = find.name
    find.name = f"{name}/flat"
    shape = graph_def.node.add(name=f"{name}/shape", op="Shape", input=[find.input[1]])
    shape.attr["T"].type, shape.attr["out_type"].type = find.attr["Tin"].type, 3  # DT_INT32
    result = graph_def.node.add(name=name, op="Reshape", input=[find.name, shape.name])
    result.attr["T"].type, result.attr["Tshape"].type = find.attr["Tout"].type, 3
