"""The small Keras models of test_tfjs_layer_cases.py: what TF.js layers holds after a rewrite, and what as it is.

REWRITTEN: without its rewrite each must fail or go wrong in TF.js. AS_IT_IS: each passes with no rewrite at all.
What is refused is in tfjs_refused.py.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import Input, Model, Sequential, ops
from keras import layers as L
from keras.src.applications import convnext
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

IMAGE, SERIES, VOLUME = (6, 5, 4), (7, 4), (4, 3, 5, 2)
CF = "channels_first"


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
    "channels first interpolation": one(lambda: L.UpSampling2D((2, 3), CF, "bilinear")),
    **{
        f"channels first {build().__class__.__name__}": one(build, shape)
        for build, shape in [
            *(
                (lambda: L.DepthwiseConv1D(2, data_format=CF), SERIES),
                (lambda: L.MaxPooling1D(2, data_format=CF), SERIES),
            ),
            *(
                (lambda: L.Conv1DTranspose(3, 2, data_format=CF), SERIES),
                (lambda: L.Resizing(2, 3, data_format=CF), IMAGE),
            ),
            *(
                (lambda: L.GlobalMaxPooling1D(CF), SERIES),
                (lambda: L.GlobalAveragePooling1D(CF, keepdims=True), SERIES),
            ),
            *((lambda: L.GlobalMaxPooling2D(CF, keepdims=True), IMAGE), (lambda: L.GlobalAveragePooling3D(CF), VOLUME)),
            *((lambda: L.CenterCrop(2, 3, CF), IMAGE), (lambda: L.ZeroPadding3D(((1, 2), (0, 1), (2, 0)), CF), VOLUME)),
            *((lambda: L.ZeroPadding1D((1, 2), CF), SERIES), (lambda: L.AveragePooling1D(2, data_format=CF), SERIES)),
        ]
    },
    "dot axes from the back": op(lambda a, b: L.Dot(axes=(-1, 1))([a, b]), SERIES, (4, 3)),
    # shapes
    **{
        f"keepdims {kind}{n}D": one(
            lambda kind=kind, n=n: getattr(L, f"Global{kind}Pooling{n}D")(keepdims=True),
            {1: SERIES, 2: IMAGE, 3: VOLUME}[n],
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
    "normalization of integers": one(lambda: L.Normalization(mean=3.0, variance=2.0), SERIES, "int32"),
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
    # of keras.applications
    "layer scale": one(lambda: convnext.LayerScale(0.3, 4)),
    "stochastic depth": one(lambda: convnext.StochasticDepth(0.3)),
    "custom scale": op(lambda x, y: CustomScaleLayer(0.3)([x, y]), IMAGE, IMAGE),
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
    "reshaped": op(lambda x: [ops.reshape(x, (-1, 4, 7)), ops.transpose(x, (0, 2, 1)), ops.expand_dims(x, 1)]),
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
    # recurrent
    "cell": one(lambda: L.RNN(L.LSTMCell(3), go_backwards=True, name="rnn"), SERIES),
    "cells": one(lambda: L.RNN([L.LSTMCell(3), L.SimpleRNNCell(2)]), SERIES),
    "cells backwards": one(lambda: L.RNN([L.LSTMCell(3), L.SimpleRNNCell(2)], True, go_backwards=True), SERIES),
    "cell with states": op(lambda x, h: L.RNN(L.SimpleRNNCell(2), return_state=True)(x, initial_state=h), SERIES, (2,)),
}
# needed for the table's sake only: TF.js takes the class under its own name, and its arguments are checked as a layer's
ALSO_AS_IT_IS = {"plus", "times", "larger", "cell", "cell with states", "masked cell"}
REWRITTEN["masked cell"] = lambda: masked(L.RNN(L.LSTMCell(3), return_sequences=True), L.LSTM(2))


def whole(build, count, shape=(4,)):
    """A model of `count` inputs of integers."""
    return lambda: functional(
        lambda *inputs: build(inputs[0] if count == 1 else list(inputs)), *[shape] * count, dtype="int32"
    )


def mixed(build):
    def model():
        a, b = Input((4,), dtype="int32"), Input((4,))
        return Model([a, b], build([a, b]))

    return model


def dictionaries():
    """A model with inputs and outputs by name, that calls another one by name."""
    a, b = Input((3,), name="z"), Input((3,), name="b")
    inner = Model({"q": a, "b": b}, {"o": L.Dense(2)(L.Subtract()([a, b])), "m": L.Multiply()([a, b])}, name="inner")
    x, y = Input((3,), name="x"), Input((3,), name="y")
    found = inner({"q": x, "b": y})
    return Model({"x": x, "yy": y}, {"u": found["o"], "a": found["m"], "x": L.Dense(2)(x)})


def nested_inputs():
    a, b, c = (Input((3,), name=n) for n in "cab")
    return Model([a, {"k": b, "j": [c]}], [L.Subtract()([a, b]), {"s": L.Subtract()([b, c])}])


def decoder():
    """Encoder and decoder with the states handed over, the decoder called once."""
    x, y = Input((5, 3), name="source"), Input((4, 2), name="target")
    _, h, c = L.LSTM(4, return_state=True)(x)
    return Model([x, y], L.Dense(2)(L.LSTM(4, return_sequences=True)(y, initial_state=[h, c])))


AS_IT_IS = {
    **{
        f"channels first {build().__class__.__name__}": one(build, shape)
        for build, shape in [
            (
                lambda: L.DepthwiseConv2D(
                    (2, 3), depth_multiplier=2, padding="same", data_format=CF, activation="tanh"
                ),
                IMAGE,
            ),
            (lambda: L.Conv2DTranspose(3, (2, 3), (2, 1), "same", data_format=CF), IMAGE),
            (lambda: L.Conv3D(3, (2, 1, 2), (1, 2, 1), "same", data_format=CF), VOLUME),
            (lambda: L.MaxPooling2D((2, 1), padding="same", data_format=CF), IMAGE),
            (lambda: L.AveragePooling2D((1, 2), strides=2, padding="same", data_format=CF), IMAGE),
            (lambda: L.AveragePooling3D((1, 2, 1), padding="same", data_format=CF), VOLUME),
            (lambda: L.GlobalMaxPooling2D(CF), IMAGE),
            (lambda: L.GlobalAveragePooling2D(CF), IMAGE),
            (lambda: L.Cropping2D(((1, 0), (2, 1)), CF), IMAGE),
            (lambda: L.ZeroPadding2D(((1, 0), (2, 1)), data_format=CF), IMAGE),
            (lambda: L.UpSampling2D((2, 3), data_format=CF), IMAGE),
            (lambda: L.Flatten(CF), IMAGE),
        ]
    },
    "channels first and on": lambda: seq(IMAGE, L.AveragePooling2D(2, data_format=CF), L.Flatten(), L.Dense(3)),
    "dilated 3d": one(lambda: L.Conv3D(3, 2, dilation_rate=(2, 1, 3)), (5, 4, 6, 2)),
    "dilated 3d same": one(lambda: L.Conv3D(3, 2, dilation_rate=2, padding="same"), (5, 4, 6, 2)),
    "rescaling by vector": one(lambda: L.Rescaling([1.0, 2.0, 3.0, 0.5], 0.5), SERIES),
    "rescaling by row": one(lambda: L.Rescaling([[1.0], [0.5], [2.0], [3.0], [0.1], [4.0], [7.0]]), SERIES),
    "rescaling with offsets": one(lambda: L.Rescaling(2.0, [1.0, 2.0, 3.0, 0.5]), SERIES),
    "layer norm axes": one(lambda: L.LayerNormalization(axis=[-3, -2])),
    "layer norm axis": one(lambda: L.LayerNormalization(axis=1, epsilon=0.1)),
    "layer norm axes apart": one(lambda: L.LayerNormalization(axis=[1, 3], epsilon=0.1)),
    "softmax axes": one(lambda: L.Softmax(axis=[1, 3])),
    "softmax axes from the back": one(lambda: L.Softmax(axis=[-1, -2])),
    **{
        f"{kind} of ranks": op(lambda a, b, kind=kind: getattr(L, kind)()([a, b]), (4,), IMAGE)
        for kind in ("Add", "Multiply", "Average", "Maximum", "Minimum")
    },
    "dot of ranks": op(lambda a, b: L.Dot(axes=(1, 2))([a, b]), (4,), SERIES),
    "dot of ranks, turned": op(lambda a, b: L.Dot(axes=(2, 1), normalize=True)([a, b]), SERIES, (4,)),
    "dot of length": op(lambda a, b: L.Dot(axes=(1, 1))([a, b]), (7,), SERIES),
    # recurrent
    "image sequence": one(lambda: L.ConvLSTM2D(3, (2, 3), (2, 1), activation="relu", use_bias=False), (3, 6, 6, 2)),
    "image sequence dilated": one(lambda: L.ConvLSTM2D(3, 2, dilation_rate=2), (3, 6, 6, 2)),
    "image sequence back": one(
        lambda: L.ConvLSTM2D(3, 2, padding="same", return_sequences=True, go_backwards=True), (3, 6, 6, 2)
    ),
    "image sequence states": op(lambda x: L.ConvLSTM2D(3, 2, return_state=True)(x), (3, 6, 6, 2)),
    "decoder": decoder,
    "gru with state": op(lambda x, h: L.GRU(2, reset_after=False)(x, initial_state=h), SERIES, (2,)),
    "image sequence both ways": one(lambda: L.Bidirectional(L.ConvLSTM2D(2, 2, return_sequences=True)), (3, 6, 6, 2)),
    "both ways apart": op(lambda x: L.Bidirectional(L.LSTM(2, return_sequences=True), merge_mode=None)(x), SERIES),
    "both ways with states": op(
        lambda x: L.Bidirectional(L.LSTM(2, return_state=True, return_sequences=True))(x), SERIES
    ),
    "both ways apart with states": op(
        lambda x: L.Bidirectional(L.GRU(2, return_state=True, reset_after=False), merge_mode=None)(x), SERIES
    ),
    # integers
    **{
        f"integers into {build().__class__.__name__}": whole(lambda x, build=build: build()(x), 1, shape)
        for build, shape in [
            *((lambda: L.Dense(2), (4,)), (L.Flatten, SERIES), (lambda: L.RepeatVector(2), (4,)), (L.Masking, SERIES)),
            *((L.GlobalAveragePooling2D, IMAGE), (L.GlobalMaxPooling2D, IMAGE), (L.GlobalAveragePooling1D, SERIES)),
            *((L.GlobalMaxPooling1D, SERIES), (lambda: L.LSTM(3), SERIES), (lambda: L.SimpleRNN(3), SERIES)),
            *((lambda: L.GRU(3, reset_after=False), SERIES), (lambda: L.Bidirectional(L.LSTM(3)), SERIES)),
            *((L.Cropping2D, IMAGE), (L.ZeroPadding2D, IMAGE), (L.LeakyReLU, (4,))),
            *((L.Identity, (4,)), (lambda: L.Dropout(0.1), (4,)), (lambda: L.SpatialDropout1D(0.1), SERIES)),
            *(
                (lambda: L.GaussianNoise(0.1), (4,)),
                (lambda: L.GaussianDropout(0.1), (4,)),
                (lambda: L.Rescaling(0.5), (4,)),
            ),
            *((lambda: L.AlphaDropout(0.1), (4,)), (lambda: L.SpatialDropout2D(0.1), IMAGE)),
            *((lambda: L.SpatialDropout3D(0.1), VOLUME), (lambda: L.ActivityRegularization(0.1), (4,))),
            *((lambda: L.Reshape((2, 2)), (4,)), (lambda: L.Permute((2, 1)), SERIES)),
            (lambda: L.TimeDistributed(L.Embedding(9, 3)), SERIES),
        ]
    },
    **{
        f"integers into {kind}": whole(lambda x, kind=kind: getattr(L, kind)()(x), 2)
        for kind in ("Add", "Multiply", "Maximum", "Minimum", "Concatenate")
    },
    "integers into Dot": whole(lambda x: L.Dot(1)(x), 2),
    **{
        f"integers and floats into {kind}": mixed(lambda x, kind=kind: getattr(L, kind)()(x))
        for kind in ("Add", "Multiply", "Maximum", "Minimum")
    },
    "bytes": lambda: seq(IMAGE, L.Rescaling(1 / 255), L.Conv2D(2, 3), dtype="uint8"),
    "bytes given back": lambda: seq(IMAGE, L.Reshape((30, 4)), dtype="uint8"),
    "long integers given back": lambda: seq(SERIES, L.Permute((2, 1)), dtype="int64"),
    # calls by name
    "dictionaries": dictionaries,
    "nested inputs": nested_inputs,
}


def behind_mask(build):
    return lambda: functional(lambda x: build(L.Embedding(9, 4, mask_zero=True)(x)), (5,), dtype="int32")


def nested(*layers):
    y = i = Input((5, 4))
    for layer in layers:
        y = layer(y)
    return Model(i, y)


# layers that do not care, beside one that reads the mask
AS_IT_IS |= {
    f"beside a mask, {name}": behind_mask(lambda e, build=build: [L.LSTM(2)(e), build(e)])
    for name, build in {
        "flatten": lambda e: L.Flatten()(e),
        "dense": lambda e: L.Dense(3)(L.Conv1D(2, 2)(L.LeakyReLU()(e))),
        "pooling": lambda e: L.GlobalMaxPooling1D()(e),
        "sum": lambda e: L.Add()([e, e]),
        "sum with unmasked": lambda e: L.Add()([e, L.Conv1D(4, 1)(e)]),
        "joined": lambda e: L.Concatenate()([e, L.Conv1D(3, 1)(e)]),
        "joined in time": lambda e: L.Concatenate(axis=1)([e, e]),
        "product": lambda e: L.Dot(axes=(2, 2))([e, e]),
        "nested": lambda e: nested(L.Dense(3), L.Flatten())(e),
        "distributed": lambda e: L.TimeDistributed(L.Dense(2))(e),
        "distributed reshape": lambda e: L.TimeDistributed(L.Reshape((2, 2)))(e),
        "masked sequence": lambda e: L.Dense(2)(L.LSTM(2, return_sequences=True, return_state=True)(e)[0]),
        "identity": lambda e: L.LSTM(2)(L.Identity()(L.PReLU()(e))),
        "both ways": lambda e: L.Bidirectional(L.LSTM(2), merge_mode=None)(e),
    }.items()
}
AS_IT_IS["unread mask"] = lambda: masked(L.Flatten(), L.Dense(3))
REWRITTEN["beside a mask, split"] = behind_mask(lambda e: [L.LSTM(2)(e), L.Dense(3, "hard_silu")(e)])
REWRITTEN["mask through a split"] = behind_mask(lambda e: L.LSTM(2)(L.Dense(3, "celu")(e)))
