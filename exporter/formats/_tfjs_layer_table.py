"""What TF.js layers 4.22 computes exactly as Keras 3 does: an allow-list of layers, arguments and values.

Anything absent here is refused: TF.js ignores configuration keys it does not know, so an unlisted layer or argument
would not fail but compute something else (measured: hard_sigmoid, bilinear UpSampling2D, sloped ReLU, keepdims,
grouped and dilated transposed convolution, BatchNormalization off the last axis …). The classes and keys were read in
tfjs-layers 4.22 (src/layers/*.ts, exported by src/exports_layers.ts) and every row is run against Keras by
tests/parity/test_tfjs_formats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _anything(value: Any, rank: int | None) -> bool:
    return True


@dataclass(frozen=True)
class Argument:
    """One configuration key of a layer.

    `accepts(value, rank)` says whether TF.js computes the same for it, given the rank of the layer's input; `why`
    completes "TF.js …" where it does not. `key` is the name TF.js reads, or None for what it must not be told;
    `value` is written instead of the source's, if it is not None.
    """

    accepts: Callable[[Any, int | None], bool] = _anything
    why: str = ""
    key: str | None = ""
    value: Any = None


@dataclass(frozen=True)
class Layer:
    """One layer class: its arguments, the variables it may own, and what it does with masks and integers.

    `masks`: TF.js and Keras both let a mask through (or use it alike). `integers`: the input need not be float32.
    `stands_for` is the class written where TF.js has none but an equivalent.
    """

    arguments: Mapping[str, Argument] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    masks: bool = False
    integers: bool = False
    ranks: tuple[int, ...] = ()
    stands_for: str = ""


KEEP = Argument()
DROP = Argument(key=None)  # training only: regularisers, constraints, seeds
# the weights follow anyway, and TF.js takes seconds to draw an orthogonal matrix first
_ZEROS = Argument(value={"class_name": "Zeros", "config": {}})


def only(*values: Any, why: str, write: bool = True) -> Argument:
    return Argument(lambda v, rank: any(v == x and type(v) is type(x) for x in values), why, "" if write else None)


def renamed(key: str) -> Argument:
    return Argument(key=key)


# Keras name -> TF.js name; all others are unknown to TF.js or, as hard_sigmoid, another function
ACTIVATIONS: Mapping[str, str] = {
    name: name
    for name in [
        "linear",
        "relu",
        "relu6",
        "elu",
        "selu",
        "softplus",
        "softsign",
        "tanh",
        "sigmoid",
        "softmax",
        "log_softmax",
        "gelu",
        "mish",
    ]
} | {"silu": "swish", "swish": "swish"}
# the function of a model that was read from a Keras 2 file: TF.js' own
KERAS_2_ACTIVATIONS: Mapping[str, str] = {"exporter>keras_2_hard_sigmoid": "hard_sigmoid"}


def _is_activation(value: Any, rank: int | None) -> bool:
    return isinstance(value, str) and (value in ACTIVATIONS or value in KERAS_2_ACTIVATIONS)


def _is_last_axis(value: Any, rank: int | None) -> bool:
    axes = value if isinstance(value, list) else [value]
    return len(axes) == 1 and (axes[0] == -1 or (rank is not None and axes[0] == rank - 1))


def _is_ones(value: Any, rank: int | None) -> bool:
    return all(i == 1 for i in (value if isinstance(value, list) else [value]))


def _is_number(value: Any, rank: int | None) -> bool:
    return isinstance(value, int | float)


_ACTIVATION = Argument(_is_activation, "has no such activation, or another function of that name")
_LAST_AXIS = Argument(_is_last_axis, "normalizes the last axis only", value=-1)
_LAST = only(None, "channels_last", why="is only right with the channels last here", write=False)
_CHANNELS = only(None, "channels_last", why="is only right with the channels last here")
_UNUSED = only(None, False, why="does not know it", write=False)
_PADDING = only("valid", "same", why="implements valid and same only")
_STRAIGHT = only(False, why="ignores it, and drops the dimension", write=False)
_GROUPS = only(1, why="ignores it and builds an ungrouped kernel", write=False)
_STATELESS = only(False, why="keeps state between calls in another way")
_NO_DILATION = Argument(_is_ones, "ignores it", key=None)

COMMON: Mapping[str, Argument] = {
    "trainable": KEEP,
    "activity_regularizer": DROP,
    "lora_rank": _UNUSED,
    "lora_alpha": _UNUSED,
    "quantization_config": _UNUSED,
    "seed": DROP,
}


def _trained(*names: str) -> dict[str, Argument]:
    dropped = {f"{n}_{k}": DROP for n in names for k in ("regularizer", "constraint")}
    return dropped | {f"{n}_initializer": _ZEROS for n in names}


_KERNEL = {"use_bias": KEEP, "activation": _ACTIVATION, **_trained("kernel", "bias")}
_CONV = {
    "filters": KEEP,
    "kernel_size": KEEP,
    "strides": KEEP,
    "padding": _PADDING,
    "data_format": _CHANNELS,
    "dilation_rate": KEEP,
    "groups": _GROUPS,
    **_KERNEL,
}
_TRANSPOSE = {
    **_CONV,
    "dilation_rate": _NO_DILATION,
    "output_padding": only(None, why="ignores it", write=False),
}
_SEPARABLE = {**_CONV, "depth_multiplier": KEEP, **_trained("depthwise", "pointwise"), "rank": DROP}
_POOL = {"pool_size": KEEP, "strides": KEEP, "padding": _PADDING, "data_format": _CHANNELS}
_GLOBAL = {"data_format": _CHANNELS, "keepdims": _STRAIGHT}
_RECURRENT = {
    "units": KEEP,
    "activation": _ACTIVATION,
    "use_bias": KEEP,
    "return_sequences": KEEP,
    "return_state": KEEP,
    "go_backwards": KEEP,
    "stateful": _STATELESS,
    "unroll": DROP,  # the same numbers; TF.js has no unrolled form
    "zero_output_for_mask": DROP,  # matters under a mask only: see _tfjs_masks
    "use_cudnn": DROP,
    "dropout": DROP,
    "recurrent_dropout": DROP,
    **_trained("kernel", "recurrent", "bias"),
}
_GATED = {**_RECURRENT, "recurrent_activation": _ACTIVATION}
_NORMALIZATION = {"axis": _LAST_AXIS, "epsilon": KEEP, "center": KEEP, "scale": KEEP}
_NUMBER = Argument(_is_number, "takes a single number")
_NO_SLOPE = only(0.0, 0, why="ignores it", write=False)
_KB = {"kernel": "kernel", "bias": "bias"}
_CELL = {"kernel": "kernel", "recurrent_kernel": "recurrent_kernel", "bias": "bias"}
_NOISE = {"noise_shape": DROP}
_NOTHING = Layer({}, stands_for="Activation")
_AUGMENTATION = Layer(
    dict.fromkeys(
        [
            "factor",
            "mode",
            "fill_mode",
            "fill_value",
            "interpolation",
            "data_format",
            "height_factor",
            "width_factor",
            "value_range",
        ],
        DROP,
    ),
    stands_for="Activation",
)

LAYERS: Mapping[str, Layer] = {
    "Dense": Layer({"units": KEEP, **_KERNEL}, _KB, masks=True),
    "Activation": Layer({"activation": _ACTIVATION}, masks=True),
    "Flatten": Layer({"data_format": _LAST}, ranks=(2, 3, 4, 5)),
    "Reshape": Layer({"target_shape": KEEP}, integers=True),
    "Permute": Layer({"dims": KEEP}, integers=True),
    "RepeatVector": Layer({"n": KEEP}, ranks=(2,)),
    "Masking": Layer({"mask_value": KEEP}, masks=True),
    "Embedding": Layer(
        {"input_dim": KEEP, "output_dim": KEEP, "mask_zero": KEEP, "input_length": DROP, **_trained("embeddings")},
        {"embeddings": "embeddings"},
        integers=True,
    ),
    # nothing happens in inference
    "Dropout": Layer({"rate": KEEP, **_NOISE}, masks=True),
    "SpatialDropout1D": Layer({"rate": KEEP, **_NOISE}, masks=True),
    "SpatialDropout2D": Layer({"rate": DROP, "data_format": DROP, **_NOISE}, stands_for="Activation"),
    "SpatialDropout3D": Layer({"rate": DROP, "data_format": DROP, **_NOISE}, stands_for="Activation"),
    "GaussianNoise": Layer({"stddev": KEEP}, masks=True),
    "GaussianDropout": Layer({"rate": KEEP}, masks=True),
    "AlphaDropout": Layer({"rate": KEEP, **_NOISE}, masks=True),
    "ActivityRegularization": Layer({"l1": DROP, "l2": DROP}, stands_for="Activation"),
    "Identity": _NOTHING,
    "RandomFlip": _AUGMENTATION,
    "RandomRotation": _AUGMENTATION,
    "RandomZoom": _AUGMENTATION,
    "RandomTranslation": _AUGMENTATION,
    "RandomContrast": _AUGMENTATION,
    # convolutions
    "Conv1D": Layer(_CONV, _KB, ranks=(3,)),
    "Conv2D": Layer(_CONV, _KB, ranks=(4,)),
    "Conv3D": Layer({**_CONV, "dilation_rate": _NO_DILATION}, _KB, ranks=(5,)),
    "Conv2DTranspose": Layer(_TRANSPOSE, _KB, ranks=(4,)),
    "Conv3DTranspose": Layer(_TRANSPOSE, _KB, ranks=(5,)),
    "SeparableConv2D": Layer(
        _SEPARABLE,
        {"depthwise_kernel": "depthwise_kernel", "pointwise_kernel": "pointwise_kernel", "bias": "bias"},
    ),
    "DepthwiseConv2D": Layer(
        {**_SEPARABLE, "dilation_rate": _NO_DILATION}, {"kernel": "depthwise_kernel", "bias": "bias"}
    ),
    "Cropping2D": Layer({"cropping": KEEP, "data_format": _CHANNELS}),
    "ZeroPadding2D": Layer({"padding": KEEP, "data_format": _CHANNELS}),
    "UpSampling2D": Layer(
        {
            "size": KEEP,
            "data_format": _CHANNELS,
            "interpolation": only("nearest", why="samples at other points than Keras"),
        }
    ),
    **{f"{kind}Pooling{n}D": Layer(_POOL) for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": Layer(_GLOBAL) for kind in ("Max", "Average") for n in (1, 2)},
    # recurrent
    "SimpleRNN": Layer(_RECURRENT, _CELL, masks=True),
    "LSTM": Layer({**_GATED, "unit_forget_bias": DROP}, _CELL, masks=True),
    "GRU": Layer(
        {**_GATED, "reset_after": only(False, why="implements reset_after=False only, not Keras' default")},
        _CELL,
        masks=True,
    ),
    "Bidirectional": Layer(
        {"merge_mode": KEEP, "layer": DROP, "backward_layer": DROP, "weights": DROP}, masks=True, ranks=(3,)
    ),
    "TimeDistributed": Layer({"layer": DROP}, masks=True),
    # normalization and pointwise
    "BatchNormalization": Layer(
        {
            **_NORMALIZATION,
            "momentum": KEEP,
            "synchronized": DROP,
            "renorm": _UNUSED,
            "renorm_clipping": DROP,
            "renorm_momentum": DROP,
            **_trained("beta", "gamma"),
            "moving_mean_initializer": _ZEROS,
            "moving_variance_initializer": _ZEROS,
        },
        {v: v for v in ("gamma", "beta", "moving_mean", "moving_variance")},
        masks=True,
    ),
    "LayerNormalization": Layer(
        {**_NORMALIZATION, "rms_scaling": _UNUSED, **_trained("beta", "gamma")},
        {"gamma": "gamma", "beta": "beta"},
        masks=True,
    ),
    "Rescaling": Layer({"scale": _NUMBER, "offset": _NUMBER}, integers=True),
    "ReLU": Layer({"max_value": KEEP, "negative_slope": _NO_SLOPE, "threshold": _NO_SLOPE}, masks=True),
    "LeakyReLU": Layer({"negative_slope": renamed("alpha")}),
    "ELU": Layer({"alpha": only(1.0, 1, why="implements alpha=1 only")}),
    "PReLU": Layer({"shared_axes": KEEP, **_trained("alpha")}, {"alpha": "alpha"}),
    "Softmax": Layer({"axis": _LAST_AXIS}),
    # several inputs
    **{name: Layer() for name in ("Add", "Multiply", "Average", "Maximum", "Minimum")},
    "Concatenate": Layer({"axis": KEEP}, integers=True),
    "Dot": Layer({"axes": KEEP, "normalize": KEEP}, ranks=(2, 3)),
}
