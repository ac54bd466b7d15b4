"""Stored weights of TFLite files, those whose tensors have one name too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.tools import flatbuffer_utils

from exporter.formats._tflite_weights import label, parse, weights
from exporter.parity.weights import as_tensors, check_weights

FILE = Path(__file__).parents[1] / "vectors" / "models" / "running-sum.tflite"
NAMES = (b"weight", b"recurrent")


def rewritten(values: dict[bytes, float]) -> bytes:
    """The file with both of its matrices called `weight`, and other values."""
    parsed = parse(FILE.read_bytes())
    for tensor in parsed.subgraphs[0].tensors:
        if tensor.name in NAMES:
            parsed.buffers[tensor.buffer].data = np.array([values[tensor.name]], np.float32).view(np.uint8)
            tensor.name = b"weight"
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


@pytest.mark.parametrize("damaged", NAMES)
def test_a_tensor_is_not_hidden_by_another_of_its_name(damaged: bytes) -> None:
    values = {b"weight": 0.25, b"recurrent": 0.5}
    source = {label(name): weight.values for name, weight in weights(rewritten(values)).items()}
    assert sorted(float(source[name][0, 0]) for name in source if "weight" in name) == [0.25, 0.5]
    for file, found in ((values, ""), ({**values, damaged: 0.75}, "[0] is 0.75")):
        stored = {label(name): (w.values, w.step) for name, w in weights(rewritten(file)).items()}
        problem = check_weights(source, as_tensors(stored)).problem
        assert found in problem if found else problem == ""
