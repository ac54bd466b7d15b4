"""Dense layers, embeddings, masking, wrappers and what does nothing in inference."""

import keras
from keras import Sequential, ops
from keras import layers as L

from gridrows import Feed, at, vary

TOKENS = Feed((7,), "int32", "tokens")

ROWS = [
    *vary(
        "Dense",
        (6,),
        {"units": 4},
        default={},
        relu={"activation": "relu"},
        no_bias={"use_bias": False},
        rank_3=at((3, 6)),
        rank_4=at((2, 3, 6), activation="tanh"),
        dynamic=at((None, 6), activation="softmax"),
        integers=at(Feed((6,), "int32", "tokens")),
        float64=at(Feed((6,), "float64"), dtype="float64"),
        float16=at(Feed((6,), "float16"), dtype="float16"),
        mixed=at((6,), dtype="mixed_float16"),
        shared=lambda x: (lambda d: [d(x), d(ops.flip(x, 1))])(L.Dense(4)),
        twice=lambda x: (lambda d: d(d(x)))(L.Dense(6, "tanh")),
    ),
    *vary(
        "EinsumDense",
        (3, 6),
        {"equation": "abc,cd->abd", "output_shape": (None, 4)},
        default={},
        bias={"bias_axes": "d"},
        heads={"equation": "abc,cde->abde", "output_shape": (None, 2, 4), "bias_axes": "de"},
        activation={"bias_axes": "d", "activation": "relu"},
        two_axes={"equation": "abc,bcd->ad", "output_shape": 4},
    ),
    *vary(
        "Embedding",
        TOKENS,
        {"input_dim": 8, "output_dim": 3},
        default={},
        mask_zero={"mask_zero": True},
        masked_mean=lambda x: L.GlobalAveragePooling1D()(L.Embedding(8, 3, mask_zero=True)(x)),
        int64=at(Feed((7,), "int64", "tokens")),
        floats=at(Feed((7,), "float32", "tokens")),
        rank_3=at(Feed((2, 5), "int32", "tokens")),
        scalar=at(Feed((), "int32", "tokens")),
        dynamic=at(Feed((None,), "int32", "tokens")),
    ),
    *vary(
        "ReversibleEmbedding",
        TOKENS,
        {"input_dim": 8, "output_dim": 3},
        default={},
        tied=lambda x: (lambda e: e(ops.tanh(e(x)), reverse=True))(L.ReversibleEmbedding(8, 3)),
        untied=lambda x: (lambda e: e(ops.tanh(e(x)), reverse=True))(
            L.ReversibleEmbedding(8, 3, tie_weights=False, logit_soft_cap=2.0)
        ),
    ),
    *vary(
        "Masking",
        Feed((5, 3), values="steps"),
        {},
        default={},
        lstm=lambda x: L.LSTM(3)(L.Masking()(x)),
        other_value=lambda x: L.LSTM(3)(L.Masking(1.5)(x)),
    ),
    *vary(
        "Lambda",
        (4,),
        default=lambda x: L.Lambda(lambda v: v * 2)(x),
    ),
    *vary("Identity", (4,), {}, default={}, integers=at(TOKENS)),
    *vary("Dropout", (4,), {"rate": 0.5}, default={}, noise_shape=at((3, 4), noise_shape=(None, 1, 4))),
    *vary("SpatialDropout1D", (5, 3), {"rate": 0.5}),
    *vary("SpatialDropout2D", (4, 5, 3), {"rate": 0.5}, default={}, channels_first={"data_format": "channels_first"}),
    *vary("SpatialDropout3D", (2, 4, 5, 3), {"rate": 0.5}),
    *vary("GaussianNoise", (4,), {"stddev": 0.3}),
    *vary("GaussianDropout", (4,), {"rate": 0.5}),
    *vary("AlphaDropout", (4,), {"rate": 0.5}),
    *vary("ActivityRegularization", (4,), {"l2": 0.1}),
    *vary(
        "TimeDistributed",
        (3, 5, 2),
        dense=lambda x: L.TimeDistributed(L.Dense(4, "relu"))(x),
        conv1d=lambda x: L.TimeDistributed(L.Conv1D(4, 2))(x),
        batch_norm=lambda x: L.TimeDistributed(L.BatchNormalization())(x),
        flatten=lambda x: L.TimeDistributed(L.Flatten())(x),
        lstm=lambda x: L.TimeDistributed(L.LSTM(3))(x),
        model=lambda x: L.TimeDistributed(Sequential([keras.Input((5, 2)), L.Dense(3), L.Flatten(), L.Dense(2)]))(x),
        masked=at(
            Feed((5, 3), values="steps"), build=lambda x: L.LSTM(3)(L.TimeDistributed(L.Dense(4))(L.Masking()(x)))
        ),
        conv2d=at((3, 5, 6, 2), build=lambda x: L.TimeDistributed(L.Conv2D(4, 3, padding="same"))(x)),
        dynamic=at((None, 5), build=lambda x: L.TimeDistributed(L.Dense(4))(x)),
    ),
    *vary(
        "SpectralNormalization",
        (5,),
        dense=lambda x: L.SpectralNormalization(L.Dense(4))(x),
        conv2d=at((5, 5, 2), build=lambda x: L.SpectralNormalization(L.Conv2D(3, 2))(x)),
    ),
    *vary(
        "InputLayer",
        (4,),
        unused=at((4,), Feed((3,)), build=lambda x, unused: L.Dense(2)(x)),
        as_output=lambda x: [x, L.Dense(2)(x)],
        same_output_twice=lambda x: (lambda y: [y, y])(L.Dense(2)(x)),
        two=at(Feed((4,)), Feed((3,)), build=lambda a, b: [L.Dense(2)(a), L.Dense(2)(b)]),
        scalars=at((), build=lambda x: L.Rescaling(2.0)(x)),
        dynamic_image=at((None, None, 3), build=lambda x: L.Conv2D(2, 3, padding="same")(x)),
        uint8=at(Feed((4,), "uint8", "image"), build=lambda x: L.Rescaling(1 / 255)(x)),
        int8=at(Feed((4,), "int8", "signed"), build=lambda x: ops.cast(x, "float32") * 2),
        int64=at(Feed((4,), "int64", "signed"), build=lambda x: ops.cast(x, "float32") * 2),
        boolean=at(Feed((4,), "bool", "boolean"), build=lambda x: ops.cast(x, "float32") * 2),
        nested=lambda x: _nested("inner")(x),
        nested_twice=lambda x: (lambda m: [m(x), m(ops.negative(x))])(_nested("inner")),
        nested_deep=lambda x: Sequential([keras.Input((4,)), L.Dense(4), _nested("inner"), L.Dense(3)])(x),
    ),
]


def _nested(name):
    i = keras.Input((4,), name="i")
    return keras.Model(i, L.Dense(4, "tanh", name="d")(i), name=name)
