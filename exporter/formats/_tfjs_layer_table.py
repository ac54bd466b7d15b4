"""What TF.js layers 4.22 computes exactly as Keras 3 does: an allow-list of layers, arguments and values.

Anything absent here is refused: TF.js ignores configuration keys it does not know, so an unlisted layer or argument
would not fail but compute something else (measured: hard_sigmoid, bilinear UpSampling2D, sloped ReLU, keepdims,
grouped and dilated transposed convolution, BatchNormalization off the last axis …). The classes and keys were read in
tfjs-layers 4.22 (src/layers/*.ts, exported by src/exports_layers.ts) and every row is run against Keras by
tests/parity/test_tfjs_formats.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.formats._tfjs_arguments import (
    ACTIVATION,
    CELL_INITIALIZER,
    CHANNELS,
    CONSTRAINT,
    DROP,
    FROM_FRONT,
    GROUPS,
    INITIALIZER,
    KEEP,
    LAST_AXIS,
    LOST,
    NO_DILATION,
    NO_SLOPE,
    PADDING,
    REGULARIZER,
    SOFTMAX_AXIS,
    STATELESS,
    STRAIGHT,
    UNUSED,
    VECTOR_INITIALIZER,
    Argument,
    Layer,
    only,
    renamed,
)

COMMON: Mapping[str, Argument] = {
    "trainable": KEEP,
    "activity_regularizer": LOST,  # TF.js takes it and never applies it
    "lora_rank": UNUSED,
    "lora_alpha": UNUSED,
    "quantization_config": UNUSED,
    "seed": DROP,
}


_VECTORS = ("bias", "gamma", "beta", "alpha")


def _trained(*names: str, initializer: Argument = INITIALIZER) -> dict[str, Argument]:
    kinds = {"regularizer": REGULARIZER, "constraint": CONSTRAINT}
    initializers = {f"{n}_initializer": VECTOR_INITIALIZER if n in _VECTORS else initializer for n in names}
    return initializers | {f"{name}_{kind}": argument for name in names for kind, argument in kinds.items()}


_KERNEL = {"use_bias": KEEP, "activation": ACTIVATION, **_trained("kernel", "bias")}
_CONV = {
    "filters": KEEP,
    "kernel_size": KEEP,
    "strides": KEEP,
    "padding": PADDING,
    "data_format": CHANNELS,
    "dilation_rate": KEEP,
    "groups": GROUPS,
    **_KERNEL,
}
_TRANSPOSE = {
    **_CONV,
    "dilation_rate": NO_DILATION,
    "output_padding": only(None, why="ignores it", write=False),
}
_SEPARABLE = {**_CONV, "depth_multiplier": KEEP, **_trained("depthwise", "pointwise"), "rank": DROP}
_POOL = {"pool_size": KEEP, "strides": KEEP, "padding": PADDING}
_GLOBAL = {"keepdims": STRAIGHT}
_LAYOUT = {1: {"data_format": CHANNELS}, 2: {"data_format": KEEP}, 3: {"data_format": KEEP}}
_RECURRENT = {
    "units": KEEP,
    "activation": ACTIVATION,
    "use_bias": KEEP,
    "return_sequences": KEEP,
    "return_state": KEEP,
    "go_backwards": KEEP,
    "stateful": STATELESS,
    "unroll": DROP,  # the same numbers; TF.js has no unrolled form
    "zero_output_for_mask": DROP,  # matters under a mask only: see _tfjs_masks
    "use_cudnn": DROP,
    "dropout": DROP,
    "recurrent_dropout": DROP,
    **_trained("kernel", "recurrent", "bias", initializer=CELL_INITIALIZER),
}
_GATED = {**_RECURRENT, "recurrent_activation": ACTIVATION}
_NORMALIZATION = {"axis": LAST_AXIS, "epsilon": KEEP, "center": KEEP, "scale": KEEP}
_KB = {"kernel": "kernel", "bias": "bias"}
_CELL = {"kernel": "kernel", "recurrent_kernel": "recurrent_kernel", "bias": "bias"}
_NOISE = {"noise_shape": DROP}
_NOTHING = Layer({}, integers=True, stands_for="Activation")
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
    "Dense": Layer({"units": KEEP, **_KERNEL}, _KB, masks=True, integers=True),
    "Activation": Layer({"activation": ACTIVATION}, masks=True),
    "Flatten": Layer({"data_format": KEEP}, ranks=(2, 3, 4, 5), integers=True),
    "Reshape": Layer({"target_shape": KEEP}, integers=True),
    "Permute": Layer({"dims": KEEP}, integers=True),
    "RepeatVector": Layer({"n": KEEP}, ranks=(2,), integers=True),
    "Masking": Layer({"mask_value": KEEP}, masks=True, integers=True),
    "Embedding": Layer(
        {"input_dim": KEEP, "output_dim": KEEP, "mask_zero": KEEP, "input_length": DROP, **_trained("embeddings")},
        {"embeddings": "embeddings"},
        integers=True,
    ),
    # nothing happens in inference
    "Dropout": Layer({"rate": KEEP, **_NOISE}, masks=True, integers=True),
    "SpatialDropout1D": Layer({"rate": KEEP, **_NOISE}, masks=True, integers=True),
    "SpatialDropout2D": Layer({"rate": DROP, "data_format": DROP, **_NOISE}, integers=True, stands_for="Activation"),
    "SpatialDropout3D": Layer({"rate": DROP, "data_format": DROP, **_NOISE}, integers=True, stands_for="Activation"),
    "GaussianNoise": Layer({"stddev": KEEP}, masks=True, integers=True),
    "GaussianDropout": Layer({"rate": KEEP}, masks=True, integers=True),
    "AlphaDropout": Layer({"rate": KEEP, **_NOISE}, masks=True, integers=True),
    "ActivityRegularization": Layer({"l1": DROP, "l2": DROP}, integers=True, stands_for="Activation"),
    "Identity": _NOTHING,
    "RandomFlip": _AUGMENTATION,
    "RandomRotation": _AUGMENTATION,
    "RandomZoom": _AUGMENTATION,
    "RandomTranslation": _AUGMENTATION,
    "RandomContrast": _AUGMENTATION,
    # convolutions
    "Conv1D": Layer(_CONV, _KB, ranks=(3,)),
    "Conv2D": Layer(_CONV, _KB, ranks=(4,)),
    "Conv3D": Layer({**_CONV, "data_format": KEEP}, _KB, ranks=(5,)),
    "Conv2DTranspose": Layer({**_TRANSPOSE, "data_format": KEEP}, _KB, ranks=(4,)),
    "Conv3DTranspose": Layer(_TRANSPOSE, _KB, ranks=(5,)),
    "SeparableConv2D": Layer(
        _SEPARABLE,
        {"depthwise_kernel": "depthwise_kernel", "pointwise_kernel": "pointwise_kernel", "bias": "bias"},
    ),
    "DepthwiseConv2D": Layer(
        {**_SEPARABLE, "data_format": KEEP, "dilation_rate": NO_DILATION},
        {"kernel": "depthwise_kernel", "bias": "bias"},
    ),
    "Cropping2D": Layer({"cropping": KEEP, "data_format": KEEP}, integers=True),
    "ZeroPadding2D": Layer({"padding": KEEP, "data_format": KEEP}, integers=True),
    "UpSampling2D": Layer(
        {
            "size": KEEP,
            "data_format": KEEP,
            "interpolation": only("nearest", why="samples at other points than Keras"),
        }
    ),
    **{f"{kind}Pooling{n}D": Layer(_POOL | _LAYOUT[n]) for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{
        f"Global{kind}Pooling{n}D": Layer(_GLOBAL | _LAYOUT[n], integers=True)
        for kind in ("Max", "Average")
        for n in (1, 2)
    },
    # recurrent
    "SimpleRNN": Layer(_RECURRENT, _CELL, masks=True, integers=True),
    "LSTM": Layer({**_GATED, "unit_forget_bias": DROP}, _CELL, masks=True, integers=True),
    "GRU": Layer(
        {**_GATED, "reset_after": only(False, why="implements reset_after=False only, not Keras' default")},
        _CELL,
        masks=True,
        integers=True,
    ),
    "ConvLSTM2D": Layer(
        {k: v for k, v in (_CONV | _GATED).items() if k not in ("units", "groups", "kernel_initializer")}
        | {"kernel_initializer": CELL_INITIALIZER, "bias_initializer": CELL_INITIALIZER, "unit_forget_bias": DROP},
        _CELL,
    ),
    "Bidirectional": Layer(
        {"merge_mode": KEEP, "layer": DROP, "backward_layer": DROP, "weights": DROP},
        masks=True,
        integers=True,
        ranks=(3, 5),
    ),
    "TimeDistributed": Layer({"layer": DROP}, masks=True, integers=True),
    # normalization and pointwise
    "BatchNormalization": Layer(
        {
            **_NORMALIZATION,
            "momentum": KEEP,
            "synchronized": DROP,
            "renorm": UNUSED,
            "renorm_clipping": DROP,
            "renorm_momentum": DROP,
            **_trained("beta", "gamma"),
            "moving_mean_initializer": VECTOR_INITIALIZER,
            "moving_variance_initializer": VECTOR_INITIALIZER,
        },
        {v: v for v in ("gamma", "beta", "moving_mean", "moving_variance")},
        masks=True,
    ),
    "LayerNormalization": Layer(
        {**_NORMALIZATION, "axis": KEEP, "rms_scaling": UNUSED, **_trained("beta", "gamma")},
        {"gamma": "gamma", "beta": "beta"},
        masks=True,
    ),
    "Rescaling": Layer({"scale": KEEP, "offset": KEEP}, integers=True),
    "ThresholdedReLU": Layer({"theta": KEEP}),  # not a layer of Keras 3: rewrites use it
    "ReLU": Layer({"max_value": KEEP, "negative_slope": NO_SLOPE, "threshold": NO_SLOPE}, masks=True),
    "LeakyReLU": Layer({"negative_slope": renamed("alpha")}, integers=True),
    "ELU": Layer({"alpha": only(1.0, 1, why="implements alpha=1 only")}),
    "PReLU": Layer({"shared_axes": KEEP, **_trained("alpha")}, {"alpha": "alpha"}, masks=True),
    "Softmax": Layer({"axis": SOFTMAX_AXIS}),
    # several inputs
    **{name: Layer(integers=True, mixed=True) for name in ("Add", "Multiply", "Maximum", "Minimum")},
    "Average": Layer(),
    "Concatenate": Layer({"axis": FROM_FRONT}, integers=True),
    "Dot": Layer({"axes": KEEP, "normalize": KEEP}, integers=True, ranks=(2, 3)),
}
