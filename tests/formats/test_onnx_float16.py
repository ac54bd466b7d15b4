"""Weights of ONNX models in float16: what is stored so, what stays float32, and what a runtime makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.formats import Refused
from exporter.formats._onnx_float16 import compute_half, store_half
from exporter.formats._onnx_weights import graphs, weights

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 3)).astype(np.float32)
INNER = RNG.normal(size=(3, 2)).astype(np.float32)
ROWS = RNG.normal(size=(5, 4)).astype(np.float32)


def model(*, offset: float = 0.25) -> Any:
    """relu(x · kernel + offset) · inner, the last product inside of an If, whose weights are its own; plus epsilon."""
    made = helper.make_graph(
        [
            helper.make_node("MatMul", ["hidden", "inner"], ["product"], name="last"),
            helper.make_node("Add", ["product", "epsilon"], ["branch"], name="lift"),
        ],
        "branch",
        [],
        [helper.make_tensor_value_info("branch", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(INNER, "inner")],
    )
    never = helper.make_graph(
        [helper.make_node("MatMul", ["hidden", "unused"], ["nothing"], name="never")],
        "never",
        [],
        [helper.make_tensor_value_info("nothing", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(-INNER, "unused")],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "kernel"], ["sums"], name="first"),
        helper.make_node("Add", ["sums", "offset"], ["moved"], name="move"),
        helper.make_node("Relu", ["moved"], ["hidden"], name="bend"),
        helper.make_node("If", ["yes"], ["y"], name="choice", then_branch=made, else_branch=never),
    ]
    constants = [
        numpy_helper.from_array(KERNEL, "kernel"),
        numpy_helper.from_array(np.full(3, offset, np.float32), "offset"),
        numpy_helper.from_array(np.array(1e-9, np.float32), "epsilon"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def outputs(made: Any) -> Any:
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": ROWS})[0]


def types(made: Any) -> dict[str, int]:
    return {tensor.name: tensor.data_type for graph in graphs(made.graph) for tensor in graph.initializer}


def computed(kernel: Any, offset: float, inner: Any) -> Any:
    return np.maximum(ROWS @ kernel + np.float32(offset), 0) @ inner


def half(values: Any) -> Any:
    return values.astype(np.float16).astype(np.float32)


def test_stored_weights_are_used_in_float32() -> None:
    made = model()
    assert store_half(made, []) == []
    assert {name for name, kind in types(made).items() if kind == TensorProto.FLOAT16} == {
        "kernel",
        "offset",
        "inner",
        "unused",
    }
    np.testing.assert_allclose(outputs(made), computed(half(KERNEL), 0.25, half(INNER)), rtol=1e-6, atol=1e-6)
    assert np.abs(outputs(made) - outputs(model())).max() > 1e-5
    np.testing.assert_array_equal(weights(made)["inner"].values, half(INNER))


def test_numbers_without_a_dimension_stay() -> None:
    """An epsilon of 1e-9 would be 0."""
    made = model()
    store_half(made, [])
    assert types(made)["epsilon"] == TensorProto.FLOAT


@pytest.mark.parametrize(("excluded", "exact"), [("first", "kernel"), ("last", "inner")])
def test_constants_of_excluded_nodes_stay(excluded: str, exact: str) -> None:
    made = model()
    store_half(made, [excluded])
    assert types(made)[exact] == TensorProto.FLOAT
    np.testing.assert_array_equal(weights(made)[exact].values, weights(model())[exact].values)
    kernel, inner = (KERNEL, half(INNER)) if exact == "kernel" else (half(KERNEL), INNER)
    np.testing.assert_allclose(outputs(made), computed(kernel, 0.25, inner), rtol=1e-6, atol=1e-6)


def test_what_float16_cannot_hold_stays_and_is_named() -> None:
    made = model(offset=-1e9)
    assert store_half(made, []) == ["offset stays float32: it holds 1e+09, and float16 ends at 65504"]
    assert types(made)["offset"] == TensorProto.FLOAT
    with pytest.raises(Refused, match="offset holds 1e\\+09, and float16 ends at 65504; use compute=float32"):
        compute_half(model(offset=-1e9), [])


def test_arithmetic_in_float16() -> None:
    """Runtimes may compute in float32 all the same, as ONNX Runtime 1.31 does; what counts is what the file says."""
    made = compute_half(model(), [])
    np.testing.assert_allclose(outputs(made), computed(half(KERNEL), 0.25, half(INNER)), atol=2e-2)
    inferred = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(made).graph.value_info}
    assert {inferred[name] for name in ("sums", "moved", "hidden")} == {TensorProto.FLOAT16}
    assert [v.type.tensor_type.elem_type for v in (*made.graph.input, *made.graph.output)] == [TensorProto.FLOAT] * 2
