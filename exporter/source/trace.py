"""From a callable of named tensors to a named tf.function, a concrete function, and a frozen graph.

One trace per (signature, pinned shapes) and one freeze per trace; `exporter.source.source.Source` caches them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from exporter.errors import SourceError
from exporter.formats import Refused
from exporter.model import Signature, TensorSpec
from exporter.source.composite import check_dense

# ops that change state: freezing would turn what they write into a constant
STATE_WRITES = (
    "AssignVariableOp",
    "AssignAddVariableOp",
    "AssignSubVariableOp",
    "ResourceScatterUpdate",
    "ResourceScatterAdd",
    "ResourceScatterSub",
    "ResourceScatterNdUpdate",
    "ResourceScatterNdAdd",
    "ResourceStridedSliceAssign",
    # tf.random.Generator keeps its state in a variable
    "RngReadAndSkip",
    "RngSkip",
    "StatefulStandardNormalV2",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "StatefulUniformInt",
    "StatefulUniformFullInt",
    "StatefulRandomBinomial",
)
_TABLES = ("HashTableV2", "LookupTableFindV2", "MutableHashTableV2", "LookupTableSizeV2")
# protobuf cannot carry a graph of 2 GiB; leave room for the nodes themselves
_FREEZE_LIMIT = 2**31 - 2**25


@dataclass(frozen=True)
class FrozenGraph:
    """A graph with its variables as constants.

    `inputs` maps signature name -> placeholder tensor (`x:0`), `outputs` signature name -> tensor, both in
    signature order. `function` is the same graph as a concrete function, where control flow is not lowered.
    """

    graph_def: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    function: Any = None


def named_function(name: str, call: Callable[..., Mapping[str, tf.Tensor]], specs: Mapping[str, tf.TensorSpec]) -> Any:
    """A concrete function of keyword tensors whose graph names are those of `specs`, with a dict result.

    Raises:
        SourceError: a layer has a name that TensorFlow cannot call a scope, or an output is ragged or sparse.
    """

    def traced(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        results = call(**tensors)
        for key, value in results.items():
            check_dense("output", key, value)
        return {key: tf.identity(value) for key, value in results.items()}

    traced.__name__ = f"signature_{name}"
    function = tf.function(traced, autograph=False)
    try:
        return function.get_concrete_function(**specs)
    except ValueError as error:
        found = re.search(r"'(.*)' is not a valid (?:root )?scope name", str(error))
        if found is None:
            raise
        raise SourceError(
            "illegal-name",
            f"a layer or model is called {found[1]!r}, and TensorFlow cannot trace it under that name, nor predict",
            "rename it: letters of ASCII, digits, '.', '_' and '-', a letter or digit first",
        ) from error


def dims(shape: tf.TensorShape) -> tuple[int | None, ...] | None:
    return None if shape.rank is None else tuple(shape.as_list())


def spec_of(name: str, tensor: Any) -> TensorSpec:
    return TensorSpec(name, tensor.dtype.name, dims(tensor.shape))


def signature_of(name: str, concrete: Any, inputs: Iterable[str], outputs: Iterable[str]) -> Signature:
    """The signature of a concrete function, its inputs and outputs in the given order."""
    specs = concrete.structured_input_signature[1]
    results = concrete.structured_outputs
    return Signature(
        name,
        tuple(spec_of(n, specs[n]) for n in inputs),
        tuple(spec_of(n, results[n]) for n in outputs),
    )


def graph_ops(concrete: Any) -> dict[str, str]:
    """op type -> name of one node that has it, over the graph and all its functions."""
    graph = concrete.graph.as_graph_def()
    found: dict[str, str] = {}
    for function in graph.library.function:
        for node in function.node_def:
            found.setdefault(node.op, f"{function.signature.name}/{node.name}")
    for node in graph.node:
        found.setdefault(node.op, node.name)
    return found


def freeze(concrete: Any, *, lower_control_flow: bool) -> FrozenGraph:
    """Replace variables by constants and inline calls.

    With `lower_control_flow` While and If become the switch/merge form TF.js executes, and `Erfc` and `Softsign`
    are rewritten; without it they stay functional, as TFLite wants them.

    Raises:
        Refused: the graph writes state, uses lookup tables, or is too large to freeze.
    """
    ops = graph_ops(concrete)
    for op in STATE_WRITES:
        if op in ops:
            raise Refused(
                f"node {ops[op]!r} ({op}) changes a variable, and this format turns variables into constants; "
                "use saved-model"
            )
    for op in _TABLES:
        if op in ops:
            raise Refused(f"node {ops[op]!r} ({op}) is a lookup table, which a frozen graph cannot hold")
    size = sum(v.dtype.size * int(np.prod(v.shape.as_list(), dtype=np.int64)) for v in concrete.graph.variables)
    if size > _FREEZE_LIMIT:
        raise Refused(
            f"the weights take {size / 2**30:.2f} GiB and a graph with constants must stay under 2 GiB; "
            "use saved-model, keras or tflite"
        )
    # keyword tensors and dict results are flattened in sorted order, captured variables come last
    names, results = sorted(concrete.structured_input_signature[1]), sorted(concrete.structured_outputs)
    inputs = dict(zip(names, (t.name for t in concrete.inputs), strict=False))
    outputs = dict(zip(results, (t.name for t in concrete.outputs), strict=True))
    inputs = {n: inputs[n] for n in concrete.structured_input_signature[1]}
    if lower_control_flow:
        kept = [*inputs.values(), *outputs.values()]
        return FrozenGraph(lower_ops(_with_constants(concrete, kept)), inputs, outputs)
    function = convert_to_constants.convert_variables_to_constants_v2(
        concrete, lower_control_flow=False, aggressive_inlining=True
    )
    return FrozenGraph(function.graph.as_graph_def(), inputs, outputs, function)


def _with_constants(concrete: Any, kept: Iterable[str]) -> Any:
    """The GraphDef behind some tensors, with calls and control flow inlined and variables as constants.

    The first two steps of `convert_variables_to_constants_v2`; its last one, a function around the graph, takes
    most of the time and nobody needs it here.
    """
    data = convert_to_constants._FunctionConverterDataInEager(
        func=concrete, lower_control_flow=True, aggressive_inlining=True
    )
    graph_def, _ = convert_to_constants._replace_variables_by_constants(data)
    return tf.compat.v1.graph_util.extract_sub_graph(graph_def, [name.partition(":")[0] for name in kept])


def lower_ops(graph_def: Any) -> Any:
    """Rewrite ops that a target lacks, keeping node names: Erfc -> 1 - Erf, Softsign -> x / (1 + |x|).

    TF.js has neither op, and tf2onnx lacks Erfc (Keras' exact gelu) and writes an invalid file over it. Both
    rewrites are exact identities; 1 - Erf loses relative precision only where Erfc is tiny.
    """
    out = tf.compat.v1.GraphDef()
    out.versions.CopyFrom(graph_def.versions)
    out.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        if node.op == "Erfc":
            erf = _like(out, node, "Erf", f"{node.name}/erf", node.input)
            one = _one(out, node)
            _like(out, node, "Sub", node.name, [one, erf])
        elif node.op == "Softsign":
            absolute = _like(out, node, "Abs", f"{node.name}/abs", node.input)
            one = _one(out, node)
            plus = _like(out, node, "AddV2", f"{node.name}/plus_one", [absolute, one])
            _like(out, node, "RealDiv", node.name, [node.input[0], plus])
        else:
            out.node.add().CopyFrom(node)
    return out


def _like(graph: Any, node: Any, op: str, name: str, inputs: Iterable[str]) -> str:
    new = graph.node.add()
    new.op, new.name, new.device = op, name, node.device
    new.input.extend(inputs)
    new.attr["T"].CopyFrom(node.attr["T"])
    return name


def _one(graph: Any, node: Any) -> str:
    new = graph.node.add()
    new.op, new.name = "Const", f"{node.name}/one"
    new.attr["dtype"].type = node.attr["T"].type
    dtype = tf.dtypes.as_dtype(node.attr["T"].type).as_numpy_dtype
    new.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.asarray(1, dtype)))
    return str(new.name)
