"""The small Keras models that test_tfjs_formats.py and tests/upstream run, and which of them a format must refuse.

Every activation that TF.js layers has is run by some model here; see tfjs_layer_cases.py for its other rows.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import Input, Model, Sequential
from keras import layers as L

from exporter.formats._tfjs_arguments import ACTIVATIONS

ZOO = {}
# model -> what the refusal must say
NOT_IN_LAYERS = {
    "gru": "reset_after=True",
    "masked_attention": "use_causal_mask",
    "operations": "is not a Keras layer",
    "lookups": "StringLookup",
    "triangles": "is not a Keras layer",
    "argmax": "is not a Keras layer",
    "booleans": "is not a Keras layer",
    "group_norm": "UnitNormalization",
}
NOT_IN_GRAPH = {"conv3d_transpose": "Conv3DBackpropInputV2"}


def zoo(build):
    ZOO[build.__name__] = build
    return build


def seq(shape, *layers, dtype="float32"):
    return Sequential([Input(shape, dtype=dtype), *layers])


@zoo
def dense():
    return seq((6,), L.Dense(8, "relu"), L.Dense(8, "tanh"), L.Dense(8, "sigmoid"), L.Dense(3, "softmax"))


@zoo
def activations():
    x = Input((6,))
    return Model(x, [L.Dense(4, activation=name)(x) for name in sorted(set(ACTIVATIONS) - {"silu"})])


@zoo
def pointwise():
    x = Input((4, 5))
    outputs = [L.ReLU(max_value=0.5), L.LeakyReLU(0.1), L.ELU(), L.PReLU(shared_axes=[1]), L.Softmax(), L.PReLU()]
    return Model(x, [*(f(x) for f in outputs), L.Activation("silu")(x), L.Rescaling(2.0, -0.5)(x)])


@zoo
def cnn():
    return seq(
        (12, 12, 3),
        *(L.Conv2D(4, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(6.0), L.MaxPooling2D()),
        *(L.DepthwiseConv2D(3, padding="same"), L.BatchNormalization(scale=False), L.LeakyReLU()),
        *(L.SeparableConv2D(6, 3, strides=2, padding="same", activation="elu"), L.AveragePooling2D(2, padding="same")),
        *(L.ZeroPadding2D(((1, 0), (0, 2))), L.Conv2D(4, 2, dilation_rate=2), L.Flatten(), L.Dense(3)),
    )


@zoo
def folded():
    x = Input((8, 8, 3))
    y = L.ReLU()(L.BatchNormalization(axis=3)(L.Conv2D(4, 3)(x)))
    y = L.LeakyReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3)(y)))
    y = L.LeakyReLU(0.1)(L.BatchNormalization(center=False)(L.Conv2D(4, 1)(y)))
    z = L.Conv2D(4, 1)(y)  # read twice, so nothing may be folded into it
    return Model(x, [L.BatchNormalization()(z), z, L.Dense(3, "relu")(L.BatchNormalization()(L.Flatten()(z)))])


@zoo
def convolutions():
    x = Input((9, 9, 2))
    layers = [
        *(L.Conv2D(3, (2, 3), strides=(2, 1), padding="same"), L.Conv2D(3, 3, dilation_rate=(2, 1))),
        *(L.DepthwiseConv2D((3, 2), depth_multiplier=2), L.DepthwiseConv2D(3, strides=2, padding="same")),
        L.SeparableConv2D(4, 3, depth_multiplier=2, dilation_rate=2, use_bias=False),
        *(L.Conv2DTranspose(2, (3, 2), strides=(3, 2)), L.Conv2DTranspose(2, 3, strides=2, padding="same")),
        *(L.MaxPooling2D((3, 2), strides=(1, 2)), L.AveragePooling2D(3, strides=2, padding="same")),
        *(L.Cropping2D(((1, 2), (0, 3))), L.UpSampling2D((2, 3)), L.GlobalMaxPooling2D()),
    ]
    return Model(x, [f(x) for f in layers])


@zoo
def one_dimension():
    x = Input((11, 2))
    layers = [
        *(L.Conv1D(3, 2, strides=2, padding="same"), L.Conv1D(3, 3, dilation_rate=3), L.GlobalMaxPooling1D()),
        *(L.MaxPooling1D(3, strides=1, padding="same"), L.AveragePooling1D(2, strides=3), L.GlobalAveragePooling1D()),
    ]
    return Model(x, [f(x) for f in layers])


@zoo
def causal():
    return seq((11, 2), L.Conv1D(3, 3, padding="causal", dilation_rate=2))


@zoo
def three_dimensions():
    x = Input((5, 6, 7, 2))
    return Model(x, [L.Conv3D(3, 2, (1, 2, 1), "same")(x), L.AveragePooling3D(2, padding="same")(x)])


@zoo
def max_pool_3d():
    return seq((5, 6, 7, 2), L.MaxPooling3D((2, 1, 2), strides=1))


@zoo
def conv3d_transpose():
    return seq((3, 3, 3, 2), L.Conv3DTranspose(3, 2, strides=2))


@zoo
def segmentation():
    x = Input((8, 8, 3))
    a = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    b = L.UpSampling2D()(L.Conv2D(6, 3, padding="same")(L.MaxPooling2D()(a)))
    return Model(x, L.Conv2D(2, 1, activation="softmax")(L.Concatenate(axis=3)([a, b])))


@zoo
def dynamic_size():
    return seq((None, None, 3), L.Conv2D(4, 3, padding="same"), L.MaxPooling2D(2, 1, "same"), L.Conv2D(2, 1))


@zoo
def residual():
    x = Input((8, 8, 3))
    y = L.Conv2D(4, 3, padding="same")(x)
    z = L.Conv2D(4, 3, padding="same")(L.ReLU()(L.BatchNormalization()(y)))
    return Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(L.ReLU()(L.Add()([y, z])))))


@zoo
def squeeze_excite():
    x = Input((8, 8, 4))
    s = L.Conv2D(2, 1, activation="swish")(L.GlobalAveragePooling2D(keepdims=True)(x))
    return Model(x, L.Multiply()([x, L.Conv2D(4, 1, activation="sigmoid")(s)]))


@zoo
def inactive():
    noise = [L.Dropout(0.5), L.GaussianNoise(0.1), L.GaussianDropout(0.2), L.AlphaDropout(0.1), L.Identity()]
    drawn = [L.RandomFlip(), L.RandomRotation(0.1), L.RandomZoom(0.1), L.RandomTranslation(0.1, 0.1)]
    after = [L.RandomContrast(0.1), L.ActivityRegularization(0.1), L.SpatialDropout2D(0.3), L.Reshape((8, 24))]
    last = [L.SpatialDropout1D(0.2), L.Reshape((2, 4, 8, 3)), L.SpatialDropout3D(0.1), L.Flatten(), L.Flatten()]
    return seq((8, 8, 3), *noise, *drawn, *after, *last, L.Dense(2))


@zoo
def shapes():
    x = Input((2, 3, 4))
    y = [L.Dense(5, use_bias=False)(x), L.Reshape((-1, 2))(x), L.Permute((3, 1, 2))(x)]
    return Model(x, [*y, L.RepeatVector(3)(L.Dense(2)(L.Flatten()(x)))])


@zoo
def axes():
    a, b = Input((3, 4), name="a"), Input((5, 4), name="b")
    outputs = [L.Concatenate(axis=1)([a, b]), L.Dot(axes=(2, 2))([a, b]), L.Dot(axes=-1, normalize=True)([a, b])]
    norms = [L.BatchNormalization(axis=2), L.LayerNormalization(axis=2), L.LayerNormalization(center=False)]
    return Model([a, b], [*outputs, *(n(a) for n in norms)])


@zoo
def merges():
    a, b = Input((4, 4, 3), name="z"), Input((1, 1, 3), name="y")
    kinds = (L.Multiply, L.Add, L.Average, L.Maximum, L.Minimum)
    return Model([a, b], [kind()([a, b]) for kind in kinds])


@zoo
def two_in_two_out():
    b, a = Input((4,), name="b_in"), Input((3,), name="a_in")
    h = L.Dense(5, "relu")(L.Concatenate()([b, a]))
    return Model([b, a], [L.Dense(2, name="z")(h), L.Dense(2, name="y")(h)])


@zoo
def repeated_outputs():
    x, unused = Input((4,), name="a"), Input((3,), name="unused")
    d = L.Dense(4, name="d")
    return Model([x, unused], [d(x), d(d(x)), x])


@zoo
def same_output_twice():
    x = Input((4,))
    y = L.Dense(4, name="d")(x)
    return Model(x, [y, y])


@zoo
def nested_and_shared():
    def encoder(name):
        i = Input((4,), name="i")
        return Model(i, [L.Dense(3, name="d")(i), L.Dense(3, name="e")(i)], name=name)

    x, shared, first = Input((4,), name="i"), L.Dense(4, name="d"), encoder("first")
    a, b = first(x)
    c, _ = first(shared(x))
    d, _ = encoder("second")(x)
    head = seq((3,), L.Dense(2), L.Dropout(0.5))
    return Model(x, [L.Concatenate()([a, b, c, d]), head(a), seq((4,), L.Dense(3), head)(shared(x))])


@zoo
def lstm():
    return seq((None, 4), L.LSTM(6, return_sequences=True), L.LSTM(5, go_backwards=True, use_bias=False), L.Dense(2))


@zoo
def bilstm():
    bi = [L.Bidirectional(L.LSTM(5, return_sequences=True)), L.Bidirectional(L.GRU(4, reset_after=False))]
    return seq((7,), L.Embedding(20, 6), *bi, L.Dense(2), dtype="int32")


@zoo
def bilstm_modes():
    x = Input((6, 3))
    return Model(x, [L.Bidirectional(L.LSTM(4), merge_mode=m)(x) for m in ("sum", "mul", "ave", "concat")])


@zoo
def masked():
    layers = [L.Dropout(0.2), L.Dense(5), L.LSTM(5, return_sequences=True), L.TimeDistributed(L.Dense(4))]
    end = [L.Activation("tanh"), L.LayerNormalization(), L.BatchNormalization(), L.ReLU(), L.Bidirectional(L.LSTM(3))]
    return seq((7,), L.Embedding(20, 6, mask_zero=True), *layers, *end, dtype="int32")


@zoo
def masking():
    rnn = [L.SimpleRNN(5, return_sequences=True), L.GRU(4, reset_after=False, return_sequences=True), L.LSTM(3)]
    return seq((7, 3), L.Masking(0.0), *rnn)


@zoo
def gru():
    return seq((7, 4), L.GRU(6), L.Dense(2))


@zoo
def lstm_states():
    x = Input((5, 3))
    return Model(x, list(L.LSTM(4, return_sequences=True, return_state=True)(x)))


@zoo
def lstm_states_fed():
    x = Input((5, 3))
    y, h, c = L.LSTM(4, return_sequences=True, return_state=True)(x)
    return Model(x, L.LSTM(4)(y, initial_state=[h, c]))


@zoo
def time_distributed():
    inner = [L.Conv1D(4, 2), L.BatchNormalization(), L.LSTM(3), seq((3,), L.Dense(4, "relu"), L.Dense(2))]
    return seq((3, 5, 2), *(L.TimeDistributed(layer) for layer in inner))


@zoo
def convlstm():
    return seq((3, 6, 6, 2), L.ConvLSTM2D(3, 3, padding="same"))


@zoo
def attention():
    x = Input((8, 16))
    y = L.LayerNormalization()(x + L.MultiHeadAttention(2, 8)(x, x))
    return Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(L.Dense(16, activation="gelu")(y))))


@zoo
def masked_attention():
    x = Input((8,), dtype="int32")
    e = L.Embedding(20, 16, mask_zero=True)(x)
    return Model(x, L.MultiHeadAttention(2, 8)(e, e, use_causal_mask=True))


@zoo
def normalization():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 5)))
    return seq((5,), layer, L.Dense(2))


@zoo
def group_norm():
    return seq((6, 6, 4), L.GroupNormalization(2), L.UnitNormalization())


@zoo
def operations():
    x, o = Input((4, 6)), keras.ops
    running = [o.cumsum(x, -1), o.cumprod(x, -2), o.floor_divide(x, 0.7), o.sort(x, -1)]
    return Model(x, [*running, o.sum(x * x * 2 + 1, axis=1) / (o.max(o.abs(x), axis=1) + 1)])


@zoo
def triangles():
    x = Input((4, 5))
    return Model(x, [keras.ops.tril(x), keras.ops.triu(x), keras.ops.tril(x, 1), keras.ops.triu(x, -1)])


@zoo
def booleans():
    x, o = Input((4, 5)), keras.ops
    y = [o.cast(x * 3, "bool"), (x > 0)[:, ::-1, 1:4:2], o.flip(x > 0, 1), o.where(x > 0, x > 1, x < -1)]
    index = o.cast(o.abs(x), "int32")
    return Model(x, [*(o.where(v, 1.5, x[:, :1, :1]) for v in y), o.one_hot(index, 7), o.one_hot(index, 7, axis=1)])


@zoo
def argmax():
    x = Input((4, 5))
    y = keras.ops.round(x * 0.4)  # ties, and zeros of both signs
    return Model(x, [keras.ops.argmax(x, -1), keras.ops.argmax(y, 1), keras.ops.argmin(y, -1)])


@zoo
def resizing():
    return seq((7, 9, 3), L.Resizing(5, 4), L.CenterCrop(3, 3))


@zoo
def byte_images():
    return seq((6, 6, 3), L.Rescaling(1 / 255), L.Conv2D(2, 3), dtype="uint8")


@zoo
def long_tokens():
    return seq((5,), L.Embedding(20, 3), L.Flatten(), L.Dense(2), dtype="int64")


@zoo
def lookups():
    w, n = Input((3,), dtype="string", name="w"), Input((2,), dtype="int64", name="n")
    words = L.Embedding(6, 2)(L.StringLookup(vocabulary=["a", "b", "ü"])(w))
    hashed = L.StringLookup(vocabulary=["a"], num_oov_indices=3)(w)
    return Model([w, n], [words, hashed, L.IntegerLookup(vocabulary=[5, 7, 2])(n)])
