"""Stored weights of quantized ONNX files, those that a file holds more than once too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import quantize_dynamic

from exporter.formats._onnx_weights import own_weights, weights
from exporter.parity.weights import as_tensors, check_weights

TABLE = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def float_model() -> onnx.ModelProto:
    """A table that Gather reads and MatMul multiplies with."""
    nodes = [
        helper.make_node("Gather", ["table", "rows"], ["found"], name="look_up"),
        helper.make_node("Transpose", ["found"], ["turned"], perm=[1, 0], name="turn"),
        helper.make_node("MatMul", ["turned", "table"], ["y"], name="multiply"),
    ]
    inputs = [helper.make_tensor_value_info("rows", TensorProto.INT64, [6])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 4])]
    graph = helper.make_graph(nodes, "tied", inputs, outputs, [numpy_helper.from_array(TABLE, "table")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def tied(tmp_path: Path) -> onnx.ModelProto:
    """The quantizer stores the table as integers and as floats."""
    onnx.save(float_model(), tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "quantized.onnx", op_types_to_quantize=["MatMul"])
    return onnx.load(tmp_path / "quantized.onnx")


def test_a_table_in_floats_beside_its_integers_is_compared_as_well(tied: onnx.ModelProto) -> None:
    names = {tensor.name for tensor in tied.graph.initializer}
    assert {"table", "table_quantized"} <= names
    found = check_weights({"table": TABLE}, _stored(tied))
    assert (found.checked, found.problem) == (2, "")
    for damaged in ("table", "table_quantized"):
        copy = onnx.ModelProto.FromString(tied.SerializeToString())
        (tensor,) = [t for t in copy.graph.initializer if t.name == damaged]
        values = numpy_helper.to_array(tensor).copy()
        values[2, 1] += 3
        tensor.CopyFrom(numpy_helper.from_array(values, damaged))
        assert "[9] is" in check_weights({"table": TABLE}, _stored(copy)).problem


def test_each_operation_has_the_copy_that_it_reads(tied: onnx.ModelProto) -> None:
    """What the file should give: rows looked up among the floats, multiplied with the integers' values."""
    own = own_weights(float_model(), tied)
    rows = np.array([5, 4, 3, 2, 1, 0])
    (found,) = InferenceSession(own.SerializeToString()).run(None, {"rows": rows})
    values = weights(tied)["table"].values
    assert np.abs(values - TABLE).max() > 1e-3
    np.testing.assert_allclose(found, TABLE[rows].T @ values, rtol=1e-5, atol=1e-5)


def _stored(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return as_tensors({name: (weight.values, weight.step) for name, weight in weights(model).items()})
