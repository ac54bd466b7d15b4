"""Small Keras 2 models, made by tf_keras: every class and argument that the translation to Keras 3 lets through.

What TF.js makes of the same configurations is said here as well: NOT_LOADED are those it cannot load, DIFFERENT those
it computes otherwise than Keras 2. test_keras2.py runs all of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import Input, Model, Sequential
from tf_keras import layers as L

ZOO = {}
# model -> what the refusal of the translation to Keras 3 must say
NOT_EXACT = {
    "other_operations": "the operation tf.math.square",
    "function_of_its_own": "Lambda",
    "always_training": "training=True",
    "locally_connected": "LocallyConnected1D",
}
# recurrent layers with Keras 2's hard_sigmoid, which Keras 3 has only as a function of ours
NEEDS_FUNCTION = ("old_lstm", "convlstm_by_default", "distributed_hard_sigmoid")
# what TF.js 4.22 says instead of computing
NOT_RUN = {
    "adapted": "Unknown layer: Normalization",
    "attention": "Unknown layer: MultiHeadAttention",
    "augmented": "Unknown layer: RandomFlip",
    "causal": "CAUSAL padding mode in conv1dWithBias is not implemented",
    "cnn": "are invalid for SeparableConv2D",
    "convolutions": "are invalid for SeparableConv2D",
    "dense": "Unknown regularizer: L2",
    "dictionaries": "Object is not iterable",
    "einsum_dense": "Unknown layer: EinsumDense",
    "elu_alpha": "Non-default alpha value",
    "grouped": "Shape mismatch",
    "gru": "does not support reset_after",
    "more_of_one_dimension": "Unknown layer: Cropping1D",
    "more_of_three_dimensions": "Unknown layer: Cropping3D",
    "nested_and_shared": "Duplicate weight name",
    "operations": "Unknown layer: TFOpLambda",
    "other_convlstms": "Unknown layer: ConvLSTM1D",
    "other_activations": "Unknown activation: exponential",
    "other_norms": "Unknown layer: GroupNormalization",
    "resized": "resizeBilinear",
    "same_names": "Duplicate weight name",
    "softmax_axis": "Softmax along a non-last dimension",
    "subtract": "Unknown layer: Subtract",
}
# of those, the ones whose class or argument tells it: they are restored with a note
NOTED = {*NOT_RUN} - {"cnn", "convolutions", "dense", "dictionaries", "nested_and_shared"}
# what TF.js computes otherwise than Keras 2, and what the refusal must say
DIFFERENT = {
    "batch_norm_axis": "axis=1",
    "bilinear": "interpolation='bilinear'",
    "depthwise_dilated": "dilation_rate",
    "half_precision": "mixed_float16",
    "keepdims": "keepdims=True",
    "masked_both_ways": "zeros",
    "masked_pooling": "masked",
    "relu_slope": "negative_slope",
    "transpose_padded": "output_padding",
}
# what a file cannot tell, or nobody has compared
NOT_RESTORED = {
    "adapted": "weight 'normalization/count' is missing",
    "same_names": "two weights are called 'd/kernel'",
    "softmax_axis": "axis=1",
}


def zoo(build):
    ZOO[build.__name__] = build
    return build


def seq(shape, *layers, dtype="float32"):
    return Sequential([Input(shape, dtype=dtype), *layers])


def each(shape, *layers):
    x = Input(shape)
    return Model(x, [layer(x) for layer in layers])


@zoo
def dense():
    return seq((6,), L.Dense(8, "relu", kernel_regularizer="l2"), L.Dense(8, "tanh"), L.Dense(3, "softmax"))


@zoo
def activations():
    names = ["elu", "selu", "softplus", "softsign", "tanh", "sigmoid", "gelu", "mish", "swish", "linear", "relu"]
    return each((6,), *(L.Dense(4, activation=name) for name in names), L.Activation("softmax"))


@zoo
def other_activations():
    return each((6,), L.Dense(4, activation="exponential"), L.Dense(4, activation="leaky_relu"))


@zoo
def hard_sigmoid():
    x = Input((5, 6))
    y = L.Dense(4, activation="hard_sigmoid", name="d")(x)
    return Model(x, [y, L.Activation("hard_sigmoid", name="a")(y), L.Conv1D(3, 2, activation="hard_sigmoid")(x)])


@zoo
def pointwise():
    layers = [L.ReLU(max_value=0.5), L.LeakyReLU(), L.LeakyReLU(0.1), L.ELU(), L.PReLU(shared_axes=[1]), L.PReLU()]
    return each((4, 5), *layers, L.Softmax(), L.Rescaling(2.0, -0.5))


@zoo
def thresholded():
    return seq((5,), L.ThresholdedReLU(0.4))


@zoo
def elu_alpha():
    return seq((5,), L.ELU(0.5))


@zoo
def relu_slope():
    return seq((5,), L.ReLU(1.0, negative_slope=0.2, threshold=0.1))


@zoo
def softmax_axis():
    return seq((4, 5), L.Softmax(axis=1))


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
def convolutions():
    return each(
        (9, 9, 2),
        *(L.Conv2D(3, (2, 3), strides=(2, 1), padding="same"), L.Conv2D(3, 3, dilation_rate=(2, 1))),
        *(L.DepthwiseConv2D((3, 2), depth_multiplier=2), L.DepthwiseConv2D(3, strides=2, padding="same")),
        L.SeparableConv2D(4, 3, depth_multiplier=2, dilation_rate=2, use_bias=False),
        *(L.Conv2DTranspose(2, (3, 2), strides=(3, 2)), L.Conv2DTranspose(2, 3, strides=2, padding="same")),
        *(L.MaxPooling2D((3, 2), strides=(1, 2)), L.AveragePooling2D(3, strides=2, padding="same")),
        *(L.Cropping2D(((1, 2), (0, 3))), L.UpSampling2D((2, 3)), L.GlobalMaxPooling2D(), L.GlobalAveragePooling2D()),
    )


@zoo
def depthwise_dilated():
    return seq((9, 9, 2), L.DepthwiseConv2D(2, dilation_rate=2))


@zoo
def transpose_padded():
    return seq((4, 4, 2), L.Conv2DTranspose(3, 3, strides=2, output_padding=1))


@zoo
def grouped():
    return seq((6, 6, 4), L.Conv2D(4, 3, groups=2))


@zoo
def bilinear():
    return seq((5, 5, 2), L.UpSampling2D(interpolation="bilinear"))


@zoo
def keepdims():
    return seq((5, 5, 2), L.GlobalAveragePooling2D(keepdims=True))


@zoo
def one_dimension():
    return each(
        (11, 2),
        *(L.Conv1D(3, 2, strides=2, padding="same"), L.Conv1D(3, 3, dilation_rate=3), L.GlobalMaxPooling1D()),
        *(L.MaxPooling1D(3, strides=1, padding="same"), L.AveragePooling1D(2, strides=3), L.GlobalAveragePooling1D()),
    )


@zoo
def causal():
    return seq((11, 2), L.Conv1D(3, 3, padding="causal", dilation_rate=2))


@zoo
def more_of_one_dimension():
    layers = [L.Cropping1D(1), L.ZeroPadding1D(2), L.UpSampling1D(2), L.DepthwiseConv1D(3), L.SeparableConv1D(3, 2)]
    return each((11, 2), *layers, L.Conv1DTranspose(3, 2, strides=2))


@zoo
def three_dimensions():
    return each((5, 6, 7, 2), L.Conv3D(3, 2, (1, 2, 1), "same"), L.AveragePooling3D(2, padding="same"))


@zoo
def more_of_three_dimensions():
    layers = [L.MaxPooling3D(2), L.Conv3DTranspose(2, 2), L.Cropping3D(1), L.ZeroPadding3D(1), L.UpSampling3D(2)]
    return each((5, 6, 7, 2), *layers, L.GlobalAveragePooling3D(), L.GlobalMaxPooling3D())


@zoo
def inactive():
    noise = [L.Dropout(0.5), L.GaussianNoise(0.1), L.GaussianDropout(0.2), L.AlphaDropout(0.1), L.Reshape((8, 24))]
    return seq((8, 8, 3), *noise, L.SpatialDropout1D(0.2), L.Flatten(), L.Dense(2))


@zoo
def augmented():
    drawn = [L.RandomFlip(), L.RandomRotation(0.1), L.RandomZoom(0.1), L.RandomTranslation(0.1, 0.1)]
    last = [L.SpatialDropout2D(0.3), L.Reshape((2, 4, 8, 3)), L.SpatialDropout3D(0.1), L.Identity()]
    return seq((8, 8, 3), *drawn, L.RandomContrast(0.1), *last, L.ActivityRegularization(0.1), L.Flatten())


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
def batch_norm_axis():
    return seq((4, 5, 3), L.BatchNormalization(axis=1))


@zoo
def layer_norm_axes():
    return seq((4, 5, 3), L.LayerNormalization(axis=[2, 3]))


@zoo
def other_norms():
    return each((4, 5, 4), L.GroupNormalization(2), L.UnitNormalization(), L.Normalization(mean=0.3, variance=2.0))


@zoo
def adapted():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 5)))
    return seq((5,), layer, L.Dense(2))


@zoo
def merges():
    a, b = Input((4, 4, 3), name="z"), Input((1, 1, 3), name="y")
    return Model([a, b], [kind()([a, b]) for kind in (L.Multiply, L.Add, L.Average, L.Maximum, L.Minimum)])


@zoo
def subtract():
    a, b = Input((4,)), Input((4,))
    return Model([a, b], L.Subtract()([a, b]))


@zoo
def add_ranks():
    a, b = Input((3, 4)), Input((4,))
    return Model([a, b], L.Add()([a, b]))


@zoo
def dictionaries():
    b, a = Input((4,), name="b_in"), Input((3,), name="a_in")
    h = L.Dense(5, "relu")(L.Concatenate()([b, a]))
    return Model({"b_in": b, "a_in": a}, {"z": L.Dense(2, name="z")(h), "y": L.Dense(2, name="y")(h)})


@zoo
def repeated_outputs():
    x, d = Input((4,), name="a"), L.Dense(4, name="d")
    return Model(x, [d(x), d(d(x)), x])


def encoder(name, first="d", second="e"):
    i = Input((4,), name=f"{name}_i")
    return Model(i, [L.Dense(3, name=first)(i), L.Dense(3, name=second)(i)], name=name)


@zoo
def nested_and_shared():
    x, shared, first = Input((4,), name="i"), L.Dense(4), encoder("first")
    a, b = first(x)
    c, _ = first(shared(x))
    d, _ = encoder("second", "f", "g")(x)
    head = seq((3,), L.Dense(2), L.Dropout(0.5))
    return Model(x, [L.Concatenate()([a, b, c, d]), head(a), seq((4,), L.Dense(3), head)(shared(x))])


@zoo
def same_names():
    x = Input((4,))
    return Model(x, L.Concatenate()([*encoder("first")(x), *encoder("second")(x)]))


@zoo
def slashes():
    return seq((6, 6, 2), L.Conv2D(3, 2, name="block/1/conv"), L.BatchNormalization(name="block/1/bn"), L.Flatten())


@zoo
def late_sequential():
    model = Sequential([L.Dense(4, "relu"), L.Dense(2)])
    model(np.zeros((1, 3), np.float32))
    return model


@zoo
def pretrained_first():
    model = Sequential([seq((6, 6, 2), L.Conv2D(3, 2), L.GlobalAveragePooling2D()), L.Dense(2)])
    model.build((None, 6, 6, 2))
    return model


@zoo
def lstm():
    return seq((None, 4), L.LSTM(6, return_sequences=True), L.LSTM(5, go_backwards=True, use_bias=False), L.Dense(2))


@zoo
def old_lstm():
    cells = [L.GRU(4, recurrent_activation="hard_sigmoid", reset_after=False, return_sequences=True)]
    return seq((6, 4), *cells, L.Bidirectional(L.LSTM(3, recurrent_activation="hard_sigmoid")))


@zoo
def bilstm():
    bi = [L.Bidirectional(L.LSTM(5, return_sequences=True)), L.Bidirectional(L.GRU(4, reset_after=False))]
    return Sequential([L.Embedding(20, 6, input_length=7), *bi, L.Dense(2)])


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
def masked_pooling():
    return seq((7,), L.Embedding(20, 6, mask_zero=True), L.GlobalAveragePooling1D(), dtype="int32")


@zoo
def masked_both_ways():
    both = L.Bidirectional(L.LSTM(3, return_sequences=True))
    return seq((7,), L.Embedding(20, 6, mask_zero=True), both, dtype="int32")


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
    return seq((3, 6, 6, 2), L.ConvLSTM2D(3, 3, padding="same", recurrent_activation="sigmoid"))


@zoo
def convlstm_by_default():
    return seq((3, 6, 6, 2), L.ConvLSTM2D(3, 3))


@zoo
def other_convlstms():
    a, b = Input((3, 6, 2)), Input((2, 4, 4, 4, 2))
    layers = [L.ConvLSTM1D(3, 2, recurrent_activation="sigmoid"), L.ConvLSTM3D(2, 2, recurrent_activation="sigmoid")]
    return Model([a, b], [layers[0](a), layers[1](b)])


@zoo
def distributed_hard_sigmoid():
    return seq((4, 3), L.TimeDistributed(L.Dense(3, activation="hard_sigmoid")))


@zoo
def attention():
    x = Input((8, 16))
    y = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 8)(x, x)]))
    z = L.Attention(use_scale=True)([y, x])
    return Model(x, [L.Dense(3)(L.GlobalAveragePooling1D()(y)), z, L.AdditiveAttention()([y, x])])


@zoo
def einsum_dense():
    return seq((4, 5), L.EinsumDense("abc,cd->abd", output_shape=(None, 6), bias_axes="d", activation="relu"))


@zoo
def resized():
    return seq((7, 9, 3), L.Resizing(5, 4), L.CenterCrop(3, 3))


@zoo
def half_precision():
    return seq((6,), L.Dense(4, dtype="mixed_float16"), L.Dense(2, dtype="float32"))


@zoo
def operations():
    x = Input((4,))
    y, z = L.Dense(4, name="add")(x) * 2.0 + 1.0, L.Dense(4)(x)
    return Model(x, [y - z, y / (z * z + 1.0), y + z])


@zoo
def other_operations():
    x = Input((4,))
    return Model(x, tf.square(L.Dense(2)(x)))


@zoo
def function_of_its_own():
    return seq((4,), L.Lambda(lambda x: x * 2), L.Dense(2))


@zoo
def always_training():
    x = Input((4,))
    return Model(x, L.BatchNormalization()(x, training=True))


@zoo
def locally_connected():
    return seq((6, 2), L.LocallyConnected1D(3, 2))


def build(name):
    """One of the models; its weights are random, so that a swapped or forgotten one shows."""
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(1)
    model, rng = ZOO[name](), np.random.default_rng(5)
    for v in model.variables:
        leaf = v.name.split("/")[-1].partition(":")[0]
        if v.dtype != tf.float32 or leaf in ("mean", "variance"):  # Normalization computes with copies of these
            continue
        value = rng.normal(0, 1 / np.sqrt(max(1, np.prod(v.shape[:-1]))) if len(v.shape) > 1 else 0.3, v.shape)
        v.assign(rng.uniform(0.5, 1.5, v.shape) if "variance" in leaf else value + (leaf == "gamma"))
    return model


def feed(model, batch):
    """One array for each input of a model, in its order."""
    rng = np.random.default_rng(batch)
    words = any(type(layer).__name__ == "Embedding" for layer in model.layers)
    shapes = [[batch if i == 0 else (9 if d is None else d) for i, d in enumerate(t.shape)] for t in model.inputs]
    draw = (lambda shape: rng.integers(0, 8, shape)) if words else (lambda shape: rng.normal(0, 1, shape))
    return [draw(s).astype(t.dtype.as_numpy_dtype) for s, t in zip(shapes, model.inputs, strict=True)]


def input_names(model):
    """The names by which TF.js is fed."""
    inputs = getattr(model, "_nested_inputs", None)
    return [t._keras_history.layer.name for t in tf.nest.flatten(inputs)]


def call(model, arrays):
    """What tf_keras computes in inference: a list of arrays."""
    outputs = model(tf.nest.pack_sequence_as(model.input, arrays), training=False)
    return [t.numpy() for t in tf.nest.flatten(outputs)]


def publish(model, directory, shard=1000):
    """Write a layers model as the published converter does from an .h5 file: its JSON unchanged, weights by h5 name.

    The rules are those of tensorflowjs 4.22, converters/keras_h5_conversion.py and write_weights.py.
    """
    directory = Path(directory)
    model.save(directory / "source.h5")
    with h5py.File(directory / "source.h5") as file:
        config = json.loads(file.attrs["model_config"])
        weights = [weight for layer in file["model_weights"].values() for weight in _weights(layer)]
    (directory / "source.h5").unlink()
    weights = [(name, w.astype("int32") if w.dtype == "int64" else w) for name, w in weights]
    data = b"".join(w.tobytes() for _, w in weights)
    paths = []
    for start in range(0, len(data), shard):
        paths.append(f"group1-shard{len(paths) + 1}of{-(-len(data) // shard)}.bin")
        (directory / paths[-1]).write_bytes(data[start : start + shard])
    specs = [{"name": name, "shape": list(w.shape), "dtype": str(w.dtype)} for name, w in weights]
    document = {
        "format": "layers-model",
        "generatedBy": "keras v2.21.0",
        "convertedBy": "TensorFlow.js Converter v4.22.0",
        "modelTopology": {"keras_version": "2.21.0", "backend": "tensorflow", "model_config": config},
        "weightsManifest": [{"paths": paths, "weights": specs}],
    }
    (directory / "model.json").write_text(json.dumps(document))
    return directory / "model.json"


def _weights(group):
    if "weight_names" not in group.attrs:
        return [weight for inner in group.values() for weight in _weights(inner)]
    return [(name.removesuffix(":0"), np.array(group[name])) for name in group.attrs["weight_names"].tolist()]
