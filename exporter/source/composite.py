"""Ragged and sparse tensors, which are several tensors in one: no signature carries them, and dense they are others.

A ragged row has a length of its own. Made dense it is padded, and a model that was built for the one reads the padding
as values: the numbers differ wherever a row is shorter than the longest.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from exporter.errors import SourceError

_KINDS = (
    ("ragged", "values and row splits", (tf.RaggedTensor, tf.RaggedTensorSpec)),
    ("sparse", "indices, values and shape", (tf.SparseTensor, tf.SparseTensorSpec)),
)


def check_dense(side: str, name: str, value: Any) -> None:
    """Refuse an input or output (`side`) that is no dense tensor.

    `value` is a tensor, what stands for one in Keras or tf_keras, or its specification.

    Raises:
        SourceError: it is ragged or sparse.
    """
    for kind, parts, types in _KINDS:
        if isinstance(value, types) or isinstance(getattr(value, "type_spec", None), types) or _says(value, kind):
            raise SourceError(
                f"{kind}-{side}",
                f"{side} {name!r} is {kind}, and no format but SavedModel carries that; made dense, its padding would "
                "be read as values",
                f"save the model with tf.saved_model.save and convert that: there it is {parts}, each a tensor; or "
                "build it with a dense input, for example with padding and Masking",
            )


def _says(value: Any, kind: str) -> bool:
    """Whether a tensor of Keras 3 calls itself so; other objects have methods of that name."""
    return getattr(value, kind, False) is True
