"""In which order a SavedModel's signature takes its inputs and gives its outputs.

A SignatureDef is a map and has none; Python's loader shows the names in whatever order the map is read. Two things tell
what was meant: the signature calls the function that it was made of with its arguments in that function's order, and
TensorFlow and Keras number what has no name (`output_0` … `output_10`).
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from exporter.source.source import NamedCall
from exporter.text import natural

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def signature_call(function: Any) -> NamedCall:
    """A signature that `tf.saved_model.load` gave, its inputs and outputs in the order that the file tells."""
    specs = function.structured_input_signature[1]
    return NamedCall(
        {n: tf.TensorSpec(specs[n].shape, specs[n].dtype, name=n) for n in input_order(function)},
        tuple(sorted(function.structured_outputs, key=natural)),
        function,
    )


def input_order(function: Any) -> list[str]:
    """The arguments of the function behind a signature; in natural order where none is called with all of them."""
    names = sorted(function.structured_input_signature[1], key=natural)
    # keyword tensors are flattened in sorted order
    held = dict(zip(sorted(names), (t.name for t in function.inputs), strict=False))
    for operation in function.graph.get_operations():
        if operation.type in _CALLS:
            given = [tensor.name for tensor in operation.inputs]
            if set(held.values()) <= set(given):
                return sorted(names, key=lambda name: given.index(held[name]))
    return names
