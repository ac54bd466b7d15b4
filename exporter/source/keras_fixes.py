"""Where Keras traces something else than what it computes in inference: replaced while a model is traced.

Each function says what Keras does and which version was seen to do it; the rows of tests/parity/grid need them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from keras import ops
from keras.layers import RNN, TimeDistributed


def _time_distributed(call: Any) -> Any:
    """TimeDistributed over a length that is not known (Keras 3.15): traced as if it were the batch size."""

    def over_time(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if inputs.shape[1] is not None:
            return call(self, inputs, training=training, mask=mask)

        masked = self.layer._call_has_mask_arg and mask is not None
        trained = {"training": training} if self.layer._call_has_training_arg else {}

        def step(given: Any) -> Any:
            return self.layer.call(given[0], **trained, **({"mask": given[1]} if masked else {}))

        outputs = ops.map(step, [ops.swapaxes(x, 0, 1) for x in ([inputs, mask] if masked else [inputs])])
        return ops.swapaxes(outputs, 0, 1)

    return over_time


def _no_masks(configure: Any) -> Any:
    """Recurrent dropout (Keras 3.15): draws masks that inference does not read, and so changes a random state."""
    return lambda self, cell, inputs, state: None


_FIXES = ((TimeDistributed, "call", _time_distributed), (RNN, "_maybe_config_dropout_masks", _no_masks))


@contextlib.contextmanager
def fixed_keras() -> Iterator[None]:
    """Keras' layers trace what they compute in inference while the context is open."""
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in _FIXES]
    for owner, name, fix in _FIXES:
        setattr(owner, name, fix(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)
