"""What TF.js layers must refuse: name -> (builder of a Keras model, what the refusal says besides layer and way out).

Each is also written all the same, and must then fail or go wrong in TF.js (test_tfjs_layer_cases.py), except for
UNWRITABLE, where there is nothing that could be written.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import Input, Model, Sequential, ops
from keras import layers as L

CF = "channels_first"


class Custom(L.Layer):
    def call(self, x):
        return x + 1


class Dense(L.Dense):
    """A custom class under a name that TF.js knows."""

    def call(self, x):
        return super().call(x) * 2


class Subclassed(keras.Model):
    def call(self, x):
        return x * 2


class MyCell(L.SimpleRNNCell):
    def call(self, x, states, training=False):
        output, states = super().call(x, states, training)
        return output * 2, states


def seq(shape, *layers, dtype="float32"):
    return Sequential([Input(shape, dtype=dtype), *layers])


def functional(build, *shapes, dtype="float32"):
    inputs = [Input(s, dtype=dtype) for s in shapes]
    return Model(inputs, build(*inputs))


def explicit_mask():
    x, m = Input((5, 3)), Input((5,), dtype="bool")
    return Model([x, m], L.LSTM(2)(x, mask=m))


def other_mask():
    a, b = Input((5,), dtype="int32"), Input((5,), dtype="int32")
    mask = L.Embedding(9, 3, mask_zero=True).compute_mask(b)
    return Model([a, b], L.LSTM(2)(L.Embedding(9, 3, mask_zero=True)(a), mask=mask))


def masked(*layers):
    return seq((5,), L.Embedding(9, 4, mask_zero=True), *layers, dtype="int32")


def masked_nested():
    inner = masked()
    x = Input((5,), dtype="int32")
    return Model(x, L.LSTM(2)(inner(x)))


def behind_mask(build):
    return functional(lambda x: build(L.Embedding(9, 4, mask_zero=True)(x)), (5,), dtype="int32")


def nested_reader(e):
    inner = Model(i := Input((5, 4)), L.LSTM(2)(L.Conv1D(3, 1)(i)))
    return [L.LSTM(2)(e), inner(e)]


def two_directions():
    return L.Bidirectional(L.LSTM(2), backward_layer=L.LSTM(3, go_backwards=True))


def states_now_and_then(x, h, c):
    layer = L.LSTM(2)
    return [layer(x), layer(x, initial_state=[h, c])]


def low_rank(dense):
    dense.build((None, 3))
    dense.enable_lora(2)
    return dense


def called(model):
    model(np.zeros((1, 3), np.float32))
    return model


def two_shapes(a, b):
    layer = L.GlobalAveragePooling1D(keepdims=True)
    return [layer(a), layer(b)]


IMAGE, SERIES, VIDEO = (6, 6, 4), (5, 3), (3, 6, 6, 2)
REFUSED = {
    # activations
    "exponential": (lambda: seq((3,), L.Activation("exponential")), "exponential"),
    "lambda activation": (lambda: seq((3,), L.Dense(2, lambda t: t * 2)), "activation="),
    "glu": (lambda: seq((4,), L.Activation("glu")), "glu"),
    "recurrent hard_sigmoid": (lambda: seq(SERIES, L.LSTM(2, recurrent_activation="hard_sigmoid")), "recurrent"),
    "recurrent leaky": (lambda: seq(SERIES, L.SimpleRNN(2, activation="leaky_relu")), "leaky_relu"),
    # layouts and shapes
    "channels first 1d": (lambda: seq(SERIES, L.Conv1D(2, 2, data_format=CF)), CF),
    "channels first 2d": (lambda: seq((6, 5, 4), L.Conv2D(3, 2, data_format=CF)), CF),
    "channels first separable": (lambda: seq(IMAGE, L.SeparableConv2D(2, 2, data_format=CF)), CF),
    "channels first transpose": (
        lambda: seq((4, 3, 5, 2), L.Conv3DTranspose(3, (2, 1, 2), strides=(1, 2, 1), padding="same", data_format=CF)),
        CF,
    ),
    "channels first sequence": (lambda: seq(VIDEO, L.ConvLSTM2D(2, 2, data_format=CF)), CF),
    "resizing of any size": (lambda: seq((None, None, 3), L.Resizing(3, 3)), "the exact matrices need static sizes"),
    "resizing to a ratio": (lambda: seq(IMAGE, L.Resizing(3, 2, crop_to_aspect_ratio=True)), "aspect ratio"),
    "crop to more": (lambda: seq(IMAGE, L.CenterCrop(8, 3)), "enlarges"),
    "crop of any size": (lambda: seq((None, None, 3), L.CenterCrop(2, 2)), "static"),
    "counting": (lambda: seq((3,), L.CategoryEncoding(8, "count"), dtype="int32"), "not counted"),
    "vector flatten": (lambda: functional(lambda x: L.Flatten()(x), ()), "rank"),
    "dynamic flatten": (lambda: functional(lambda x: L.Flatten()(x), (None, 3)), "dynamic"),
    "dynamic volume": (lambda: seq((None, 3, 4, 2), L.UpSampling3D()), "dynamic"),
    "dot of images": (lambda: functional(lambda a, b: L.Dot(axes=3)([a, b]), IMAGE, IMAGE), "rank"),
    "output padding same": (lambda: seq(IMAGE, L.Conv2DTranspose(2, 3, 2, "same", output_padding=0)), "output_padding"),
    "einsum in the middle": (lambda: seq(SERIES, L.EinsumDense("abc,bd->adc", (4, 3))), "equation"),
    # normalization
    "rms layer norm": (lambda: seq((3,), L.LayerNormalization(rms_scaling=True)), "rms_scaling"),
    "unit norm": (lambda: seq((3,), L.UnitNormalization()), "no such layer"),
    "rms norm": (lambda: seq((3,), L.RMSNormalization()), "no such layer"),
    "group norm axis": (lambda: seq(IMAGE, L.GroupNormalization(2, axis=1)), "channels last"),
    # recurrent
    "gru": (lambda: seq(SERIES, L.GRU(2)), "reset_after=True"),
    "gru cell": (lambda: seq(SERIES, L.RNN(L.GRUCell(2))), "reset_after=True"),
    "stateful": (lambda: Sequential([Input(batch_shape=(3, 5, 3)), L.LSTM(2, stateful=True)]), "stateful=True"),
    "custom cell": (lambda: seq(SERIES, L.RNN(MyCell(2))), "one of its cells"),
    "states of cells": (
        lambda: functional(lambda x: L.RNN([L.LSTMCell(2), L.LSTMCell(3)], return_state=True)(x)[0], SERIES),
        "stacked cells",
    ),
    "states now and then": (lambda: functional(states_now_and_then, SERIES, (2,), (2,)), "mixes up"),
    "bidirectional gru": (lambda: seq(SERIES, L.Bidirectional(L.GRU(2))), "reset_after"),
    "bidirectional states fed": (
        lambda: functional(lambda x, h: L.Bidirectional(L.SimpleRNN(2))(x, initial_state=[h, h]), SERIES, (2,)),
        "initial_state",
    ),
    "two directions": (lambda: seq(SERIES, two_directions()), "units"),
    "distributed twice": (lambda: seq(IMAGE, L.TimeDistributed(L.TimeDistributed(L.Dense(2)))), "to wrap"),
    "distributed both ways": (lambda: seq(IMAGE, L.TimeDistributed(L.Bidirectional(L.LSTM(2)))), "to wrap"),
    "distributed sum": (lambda: seq(IMAGE, L.TimeDistributed(L.Dense(2, "hard_silu"))), "takes one input"),
    # attention
    "causal attention": (
        lambda: functional(lambda x: L.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True), SERIES),
        "use_causal_mask",
    ),
    "attention scores": (
        lambda: functional(lambda x: L.MultiHeadAttention(2, 2)(x, x, return_attention_scores=True)[1], SERIES),
        "return_attention_scores",
    ),
    "attention of images": (lambda: functional(lambda x: L.MultiHeadAttention(2, 2)(x, x), IMAGE), "over one axis"),
    "additive scores": (
        lambda: functional(lambda x: L.Attention(score_mode="concat")([x, x]), SERIES),
        "scores of a dot product",
    ),
    "attention gate": (
        lambda: functional(lambda x: L.MultiHeadAttention(2, 2, use_gate=True)(x, x), SERIES),
        "a gate",
    ),
    "attention to two axes": (
        lambda: functional(lambda x: L.MultiHeadAttention(2, 2, output_shape=(2, 3))(x, x), SERIES),
        "more than one new axis",
    ),
    "einsum bias": (lambda: seq(SERIES, L.EinsumDense("abc,cd->abd", (5, 4), bias_axes="bd")), "its bias"),
    "einsum batch": (lambda: seq(SERIES, L.EinsumDense("ab...,bc->ac...", (4, 3))), "not understood"),
    "low rank": (lambda: seq((3,), low_rank(L.Dense(2))), "lora"),
    "renormalization": (lambda: seq((3,), L.BatchNormalization(renorm=True)), "renorm"),
    # operations and code
    "operation": (lambda: functional(lambda x: ops.exp(x), (3,)), "is not a Keras layer"),
    "operation with an array": (lambda: functional(lambda x: x[:, 1:2], (3,)), "is not a Keras layer"),
    "operation along the batch": (lambda: functional(lambda x: ops.mean(x, 0, keepdims=True), (3,)), "not a Keras"),
    "operation on integers": (lambda: functional(lambda x: x // 2, (3,), dtype="int32"), "is not a Keras layer"),
    "lambda": (lambda: seq((3,), L.Lambda(lambda x: x * 2)), "no such layer"),
    "custom": (lambda: seq((3,), Custom()), "custom layer"),
    "custom of a known name": (lambda: seq((3,), Dense(2)), "custom layer"),
    "subclass": (lambda: called(Subclassed()), "class of its own"),
    "nested subclass": (lambda: seq((3,), called(Subclassed())), "class of its own"),
    # dtypes
    "mixed precision": (lambda: seq((3,), L.Dense(2, dtype="mixed_float16")), "mixed_float16"),
    "float64": (lambda: seq((3,), L.Dense(2, dtype="float64"), dtype="float64"), "float"),
    "text": (lambda: seq((3,), L.StringLookup(vocabulary=["a", "b"]), dtype="string"), "no such layer"),
    "integers into tanh": (lambda: seq((3,), L.Activation("tanh"), dtype="int32"), "int32"),
    "integers into MaxPooling2D": (lambda: seq(IMAGE, L.MaxPooling2D(), dtype="int32"), "int32"),
    "integers into BatchNormalization": (lambda: seq((3,), L.BatchNormalization(), dtype="int32"), "int32"),
    "integers into LayerNormalization": (lambda: seq((3,), L.LayerNormalization(), dtype="int32"), "int32"),
    "integers into Average": (
        lambda: functional(lambda a, b: L.Average()([a, b]), (3,), (3,), dtype="int32"),
        "int32",
    ),
    "integers into UpSampling2D": (lambda: seq(IMAGE, L.UpSampling2D(), dtype="int32"), "int32"),
    "integers beside floats": (
        lambda: Model([a := Input((3,), dtype="int32"), b := Input((3,))], L.Concatenate()([a, b])),
        "float32, int32",
    ),
    # masks
    "explicit mask": (explicit_mask, "mask"),
    "computed mask": (
        lambda: functional(lambda x, m: L.LSTM(2)(x, mask=ops.greater(m, 0)), SERIES, (5,)),
        "not the one of its input",
    ),
    "mask of another": (other_mask, "mask"),
    "masked pooling": (lambda: masked(L.GlobalAveragePooling1D()), "masked"),
    "mask of a sum": (lambda: behind_mask(lambda e: L.LSTM(2)(L.Add()([e, e]))), "not the one of its input"),
    "mask lost on the way": (lambda: behind_mask(lambda e: [L.LSTM(2)(e), L.LSTM(2)(ops.relu(e))]), "ignores the mask"),
    "mask left behind": (
        lambda: behind_mask(lambda e: [L.LSTM(2)(e), L.LSTM(2)(L.Conv1D(2, 2)(e))]),
        "of another layer",
    ),
    "mask for a softmax": (lambda: behind_mask(lambda e: [L.LSTM(2)(e), L.Softmax()(L.Reshape((5, 4))(e))]), "another"),
    "mask beside states": (
        lambda: behind_mask(lambda e: L.LSTM(2)(e, initial_state=L.LSTM(2, return_state=True)(e)[1:])),
        "ignores the mask",
    ),
    "masked and not": (lambda: behind_mask(lambda e: L.Concatenate(axis=1)([e, L.Conv1D(4, 1)(e)])), "others not"),
    "masked and not, of three": (lambda: behind_mask(lambda e: L.Add()([e, L.Conv1D(4, 1)(e), e])), "others not"),
    "masked product": (lambda: behind_mask(lambda e: L.Multiply()([e, L.Conv1D(4, 1)(e)])), "reads no mask"),
    "masked maximum": (lambda: behind_mask(lambda e: L.Maximum()([L.Conv1D(4, 1)(e), e])), "reads no mask"),
    "masked minimum": (lambda: behind_mask(lambda e: L.Minimum()([L.Conv1D(4, 1)(e), e])), "reads no mask"),
    "mask into a nested model": (lambda: behind_mask(nested_reader), "every layer inside"),
    "masked sequences both ways": (lambda: masked(L.Bidirectional(L.LSTM(2, return_sequences=True))), "zeros"),
    "masked distributed": (lambda: masked(L.Reshape((5, 2, 2)), L.TimeDistributed(L.LSTM(2))), "another layer"),
    "mask out of a nested model": (masked_nested, "mask"),
    "masked attention": (lambda: behind_mask(lambda e: L.MultiHeadAttention(2, 2)(e, e)), "reads no mask"),
    "masked attention by name": (
        lambda: behind_mask(lambda e: L.MultiHeadAttention(2, 2)(query=L.Conv1D(4, 1)(e), value=e)),
        "reads no mask",
    ),
    "masked dot attention": (lambda: behind_mask(lambda e: L.Attention()([e, e])), "reads no mask"),
    "calls of two shapes": (lambda: functional(two_shapes, SERIES, (5, 4)), "differ in shape"),
}
# their code is the model: there is no topology
UNWRITABLE = {"subclass", "nested subclass"}
