"""Which outputs are computed in float64 from end to end: those are judged by what float64 rounds, not float32.

A float64 output behind float32 arithmetic is no better than that, and a right artifact may differ by it.
"""

from __future__ import annotations

import tensorflow as tf

from exporter.formats import Refused
from exporter.source.source import Source

_SHORTER = (tf.float32, tf.float16, tf.bfloat16)
# they give what they were given: a float32 input that is cast is exact in float64
_GIVING = frozenset({"Placeholder", "Const", "Identity"})
# what is inside of them is another graph's
_CALLING = frozenset({"While", "StatelessWhile", "If", "StatelessIf", "Case", "PartitionedCall"})


def find_float64_outputs(source: Source) -> dict[str, list[str]]:
    """Signature -> its float64 outputs, where nothing in the graph computes in a shorter float.

    Signatures whose graph cannot be frozen are left out, and those with loops and conditions.
    """
    found = {}
    for name, signature in source.signatures.items():
        outputs = [spec.name for spec in signature.outputs if spec.dtype == "float64"]
        if outputs and _is_float64(source, name):
            found[name] = outputs
    return found


def _is_float64(source: Source, signature: str) -> bool:
    try:
        graph = source.frozen(signature, lower_control_flow=False).function.graph
    except Refused:
        return False
    operations = [operation for operation in graph.get_operations() if operation.type not in _GIVING]
    if any(operation.type in _CALLING for operation in operations):
        return False
    return not any(tensor.dtype in _SHORTER for operation in operations for tensor in operation.outputs)
