"""The small Keras models of test_tfjs_layer_cases.py: what TF.js layers holds after a rewrite, and what it cannot hold.

REWRITTEN: name -> builder. Without its rewrite each must fail or go wrong in TF.js.
REFUSED: name -> (builder, what the refusal says). Written all the same, each must fail or go wrong in TF.js.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import Input, Model, Sequential, ops
from keras import layers as L

IMAGE, SERIES, VOLUME = (6, 5, 4), (7, 4), (4, 3, 5, 2)


def seq(shape, *layers, dtype="float32"):
    return Sequential([Input(shape, dtype=dtype), *layers])


def functional(build, *shapes, dtype="float32"):
    inputs = [Input(s, dtype=dtype) for s in shapes]
    return Model(inputs, build(*inputs))


def one(layer, shape=IMAGE, dtype="float32"):
    """A builder of a model of one layer, made anew at each call."""
    return lambda: seq(shape, layer(), dtype=dtype)


def op(build, *shapes):
    return lambda: functional(build, *(shapes or [SERIES]))


def adapted(shape, **options):
    def build():
        layer = L.Normalization(**options)
        layer.adapt(np.random.default_rng(0).normal(3, 2, (50, *shape)).astype(np.float32))
        return seq(shape, layer)

    return build


def masked(*layers):
    return seq((5,), L.Embedding(9, 4, mask_zero=True), *layers, dtype="int32")


REWRITTEN = {
    # activations
    **{
        f"{name} behind Dense": one(lambda name=name: L.Dense(5, name), SERIES)
        for name in [
            *("hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink"),
            *("leaky_relu", "celu", "log_sigmoid", "sparse_sigmoid"),
        ]
    },
    "hard_silu activation": one(lambda: L.Activation("hard_silu"), SERIES),
    "hard_sigmoid behind Conv2D": one(lambda: L.Conv2D(3, 2, activation="hard_sigmoid")),
    "layer as activation": one(lambda: L.Dense(5, activation=L.LeakyReLU(0.1)), SERIES),
    "relu slope": one(lambda: L.ReLU(negative_slope=0.1), SERIES),
    "relu slope and limit": one(lambda: L.ReLU(negative_slope=0.1, max_value=0.5), SERIES),
    "relu threshold": one(lambda: L.ReLU(threshold=0.3), SERIES),
    "relu all": one(lambda: L.ReLU(max_value=1.2, threshold=0.3, negative_slope=0.2), SERIES),
    "elu alpha": one(lambda: L.ELU(alpha=0.5), SERIES),
    "softmax axis": one(lambda: L.Softmax(axis=1), SERIES),
    # axes and layouts
    "batch norm axis": one(lambda: L.BatchNormalization(axis=1)),
    "layer norm axes": one(lambda: L.LayerNormalization(axis=[1, 2])),
    "layer norm axis": one(lambda: L.LayerNormalization(axis=1, epsilon=0.1)),
    "channels first pooling": one(lambda: L.AveragePooling2D(2, data_format="channels_first")),
    "channels first global pooling": one(lambda: L.GlobalMaxPooling2D(data_format="channels_first", keepdims=True)),
    "channels first flatten": one(lambda: L.Flatten(data_format="channels_first")),
    "channels first padding": one(lambda: L.ZeroPadding2D((1, 2), data_format="channels_first")),
    # shapes
    **{
        f"keepdims {kind}{n}D": one(
            lambda kind=kind, n=n: getattr(L, f"Global{kind}Pooling{n}D")(keepdims=True), {1: SERIES, 2: IMAGE, 3: VOLUME}[n]
        )
        for kind in ("Max", "Average")
        for n in (1, 2, 3)
    },
    "global max 3d": one(L.GlobalMaxPooling3D, VOLUME),
    "global average 3d": one(L.GlobalAveragePooling3D, VOLUME),
    "global average 3d dynamic": one(L.GlobalAveragePooling3D, (None, 3, None, 2)),
    "zero padding 1d": one(lambda: L.ZeroPadding1D((2, 1)), SERIES),
    "cropping 1d": one(lambda: L.Cropping1D((2, 1)), SERIES),
    "up sampling 1d": one(lambda: L.UpSampling1D(3), SERIES),
    "zero padding 3d": one(lambda: L.ZeroPadding3D(((1, 0), (0, 2), (3, 1))), VOLUME),
    "cropping 3d": one(lambda: L.Cropping3D(((1, 0), (0, 2), (2, 1))), VOLUME),
    "up sampling 3d": one(lambda: L.UpSampling3D((2, 1, 3)), VOLUME),
    "flat flatten": one(L.Flatten, (4,)),
    "subtract": op(lambda a, b: L.Subtract()([a, b]), SERIES, SERIES),
    # convolutions
    "causal": one(lambda: L.Conv1D(3, 3, padding="causal", dilation_rate=2), SERIES),
    "causal strided": one(lambda: L.Conv1D(3, 3, padding="causal", strides=2), SERIES),
    "causal of any length": one(lambda: L.Conv1D(3, 3, padding="causal"), (None, 4)),
    "grouped 1d": one(lambda: L.Conv1D(6, 3, groups=2), SERIES),
    "grouped 2d": one(lambda: L.Conv2D(6, 3, groups=2, strides=2, padding="same")),
    "dilated depthwise": one(lambda: L.DepthwiseConv2D(2, dilation_rate=2, depth_multiplier=2)),
    "dilated depthwise same": one(lambda: L.DepthwiseConv2D((2, 3), dilation_rate=(2, 1), padding="same")),
    "dilated 3d": one(lambda: L.Conv3D(3, 2, dilation_rate=(2, 1, 3)), (5, 4, 6, 2)),
    "dilated transpose": one(lambda: L.Conv2DTranspose(2, 3, dilation_rate=2)),
    "output padding": one(lambda: L.Conv2DTranspose(2, 3, 2, output_padding=1)),
    "separable 1d": one(lambda: L.SeparableConv1D(3, 3, strides=2, padding="same"), SERIES),
    "separable 1d dilated": one(lambda: L.SeparableConv1D(3, 3, dilation_rate=2, depth_multiplier=2), SERIES),
    "depthwise 1d": one(lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same"), SERIES),
    "depthwise 1d dilated": one(lambda: L.DepthwiseConv1D(2, dilation_rate=3), SERIES),
    "transpose 1d": one(lambda: L.Conv1DTranspose(3, 3, strides=2, padding="same"), SERIES),
    "transpose 1d output padding": one(lambda: L.Conv1DTranspose(3, 3, strides=2, output_padding=1), SERIES),
    "all at once": one(lambda: L.Conv1D(6, 3, padding="causal", groups=2, activation="hard_silu"), SERIES),
    # normalization
    "normalization": adapted(SERIES),
    "normalization scalar": adapted(SERIES, axis=None),
    "normalization given": one(lambda: L.Normalization(mean=3.0, variance=0.0), SERIES),
    "normalization inverted": adapted(SERIES, invert=True),
    "normalization scalar inverted": adapted(SERIES, axis=None, invert=True),
    "normalization axis": adapted(IMAGE, axis=1),
    "normalization axes": adapted(IMAGE, axis=(1, 3)),
    "group norm": one(lambda: L.GroupNormalization(2, epsilon=0.1)),
    "instance norm": one(lambda: L.GroupNormalization(-1, scale=False)),
    "group norm plain": one(lambda: L.GroupNormalization(2, scale=False, center=False), SERIES),
    "rescaling by vector": one(lambda: L.Rescaling([1.0, 2.0, 3.0, 0.5], 0.5), SERIES),
    "rescaling with offsets": one(lambda: L.Rescaling(2.0, [1.0, 2.0, 3.0, 0.5]), SERIES),
    # preprocessing
    "resizing": one(lambda: L.Resizing(4, 7)),
    "resizing nearest": one(lambda: L.Resizing(4, 7, interpolation="nearest")),
    "resizing bicubic": one(lambda: L.Resizing(4, 7, interpolation="bicubic")),
    "resizing antialiased": one(lambda: L.Resizing(3, 2, antialias=True)),
    "bilinear": one(lambda: L.UpSampling2D((2, 3), interpolation="bilinear")),
    "center crop": one(lambda: L.CenterCrop(3, 2)),
    "one hot": one(lambda: L.CategoryEncoding(8, "one_hot"), (1,), "int32"),
    "one hot several": one(lambda: L.CategoryEncoding(8, "one_hot"), (3,), "int32"),
    "multi hot": one(lambda: L.CategoryEncoding(8, "multi_hot"), (3,), "int32"),
    "einsum": one(lambda: L.EinsumDense("abc,cd->abd", (7, 6), bias_axes="d"), SERIES),
    "einsum new axes": one(lambda: L.EinsumDense("abc,cde->abde", (7, 2, 3), bias_axes="e", activation="tanh"), SERIES),
    "einsum old axes": one(lambda: L.EinsumDense("abcd,cde->abe", (6, 3)), IMAGE),
    "einsum dots": one(lambda: L.EinsumDense("...c,dc->...d", (7, 6)), SERIES),
    # attention
    "attention": op(lambda q, v: L.Attention()([q, v]), (3, 4), SERIES),
    "attention scaled": op(lambda q, v, k: L.Attention(use_scale=True)([q, v, k]), (3, 4), (7, 5), SERIES),
    "multi head": op(lambda x: L.MultiHeadAttention(2, 3)(x, x)),
    "multi head of three": op(
        lambda q, v, k: L.MultiHeadAttention(3, 2, value_dim=4, use_bias=False, output_shape=5)(q, v, key=k),
        *((3, 4), (7, 5), SERIES),
    ),
    # operations
    "plus": op(lambda x, y: x + y, SERIES, SERIES),
    "minus": op(lambda x, y: x - y, SERIES, (1, 4)),
    "times": op(lambda x, y: x * y, SERIES, SERIES),
    "larger": op(lambda x, y: ops.minimum(ops.maximum(x, y), x), SERIES, SERIES),
    "numbers": op(lambda x: [x * 2, 2 * x, x + 1, 1 - x, x - 0.5, x / 3, -x]),
    "squares": op(lambda x: [x**2, ops.square(x), ops.abs(x)]),
    "joined": op(lambda x, y: ops.concatenate([x, y], 1), SERIES, (2, 4)),
    "reshaped": op(
        lambda x: [ops.reshape(x, (-1, 4, 7)), ops.transpose(x, (0, 2, 1)), ops.expand_dims(x, 1)]
    ),
    "pooled": op(lambda x: [ops.mean(x, (1, 2)), ops.max(x, (1, 2), keepdims=True)], IMAGE),
    "matmul": op(lambda x, y: ops.matmul(x, y), (3, 4), (4, 5)),
    "functions": op(
        lambda x: [
            *(ops.relu(x), ops.relu6(x), ops.leaky_relu(x, 0.3), ops.softmax(x, 1), ops.gelu(x), ops.silu(x)),
            *(ops.gelu(x, approximate=False), ops.sigmoid(x), ops.tanh(x), ops.hard_silu(x), ops.elu(x)),
            keras.activations.relu(x, max_value=1.0, negative_slope=0.2),
        ]
    ),
    # wrappers
    "distributed": one(lambda: L.TimeDistributed(L.Conv1D(6, 3, padding="causal", groups=2)), (3, *SERIES)),
    "distributed keepdims": one(lambda: L.TimeDistributed(L.GlobalAveragePooling1D(keepdims=True)), (3, *SERIES)),
}
# no layer reads the mask, so that none is written
UNREAD_MASKS = {
    "flatten": lambda: masked(L.Flatten(), L.Dense(3)),
    "convolution": lambda: masked(L.Dense(3, "hard_sigmoid"), L.Conv1D(2, 3)),
    "sum": lambda: functional(masked_sum, (5,), dtype="int32"),
}


def masked_sum(x):
    e = L.Embedding(9, 4, mask_zero=True)
    return L.Add()([e(x), e(x)])
