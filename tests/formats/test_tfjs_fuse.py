"""Constants folded into kernels: each output channel keeps the factor and the offset that are its own."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from exporter.formats._tfjs_fuse import fold_constants, fuse

SCALE, SHIFT = np.array([2, 3, 5, 7, 11, 13], np.float32), np.array([1, -1, 2, -2, 3, -3], np.float32)
PRODUCTS = {
    "Conv2D": ((2, 2, 3, 6), lambda x, k: tf.nn.conv2d(x, k, 1, "SAME")),
    "DepthwiseConv2dNative": ((2, 2, 3, 2), lambda x, k: tf.nn.depthwise_conv2d(x, k, [1, 1, 1, 1], "SAME")),
    "MatMul": ((3, 6), tf.matmul),
}


@pytest.mark.parametrize("op", PRODUCTS)
def test_every_channel_keeps_its_own_factor_and_offset(op: str) -> None:
    """A depthwise kernel holds its channels by input and multiplier, and the channels of its output in that order."""
    shape, apply = PRODUCTS[op]
    kernel = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    # bias, batch normalization in inference, activation
    bias = np.arange(6, dtype=np.float32)
    spec = tf.TensorSpec((None, 3) if op == "MatMul" else (None, 4, 4, 3), name="x")
    layer = tf.function(
        lambda x: tf.nn.relu(tf.nn.bias_add(apply(x, kernel), bias) * SCALE + SHIFT), input_signature=[spec]
    )
    original = layer.get_concrete_function().graph.as_graph_def()
    folded = fold_constants(original)
    assert [n.op for n in folded.node if n.op in ("Mul", "AddV2")] == []
    x = np.random.default_rng(0).normal(size=[3, *spec.shape[1:]]).astype(np.float32)
    np.testing.assert_allclose(_run(folded, x), layer(x), rtol=1e-5, atol=1e-3)
    (product,) = [n for n in folded.node if n.op == op]
    (constant,) = [n for n in folded.node if n.name == product.input[1]]
    factors = SCALE.reshape(3, 2) if op == "DepthwiseConv2dNative" else SCALE
    np.testing.assert_array_equal(tf.make_ndarray(constant.attr["value"].tensor), kernel * factors)
    (fused,) = [n for n in fuse(folded).node if "Fused" in n.op]
    assert list(fused.attr["fused_ops"].list.s) == [b"BiasAdd", b"Relu"]


def test_a_transposed_operand_is_not_fused() -> None:
    """The wasm backend (4.22) then adds a wrong bias to every row but the first."""
    kernel = np.arange(18, dtype=np.float32).reshape(6, 3)
    spec = tf.TensorSpec((None, 3), name="x")
    layer = tf.function(lambda x: tf.nn.relu(tf.matmul(x, kernel, transpose_b=True) + SHIFT), input_signature=[spec])
    found = fuse(layer.get_concrete_function().graph.as_graph_def())
    assert {"MatMul", "AddV2", "Relu"} <= {n.op for n in found.node}
    straight = tf.function(lambda x: tf.nn.relu(tf.matmul(x, kernel.T.copy()) + SHIFT), input_signature=[spec])
    assert "_FusedMatMul" in {n.op for n in fuse(straight.get_concrete_function().graph.as_graph_def()).node}


def _run(graph_def: tf.compat.v1.GraphDef, x: np.ndarray) -> np.ndarray:
    (output,) = [n.name for n in graph_def.node if n.op == "Relu"]
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        return np.asarray(session.run(f"{output}:0", {"x:0": x}))
