"""What a layer's configuration by Keras 2 means in Keras 3: an allow-list of classes, arguments and functions.

TF.js layers models hold the same configurations, so the table serves them too. An argument that Keras 3's class has
under the same name means the same, except where a row says otherwise; one it has not is only let through with a value
that changes nothing. What is absent here is refused: Keras 3 itself reads `hard_sigmoid` from an old file as another
function and says nothing. Classes and defaults were read in tf_keras 2.21 and tfjs-layers 4.22; every row is run by
tests/formats/test_keras2.py against both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

PACKAGE = "exporter"
HARD_SIGMOID = "hard_sigmoid"


class NotExact(Exception):
    """A construct of Keras 2 that no Keras 3 model computes, or that nobody has compared; says which and why."""


@dataclass(frozen=True)
class Row:
    """One class of Keras 2.

    `renamed` maps an argument to Keras 3's name for it; `neutral` lists, for arguments Keras 3 lacks, the values that
    change nothing (none listed: any); `absent` is what a configuration means that leaves an argument out, where that
    is not Keras 3's default.
    """

    keras: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    absent: Mapping[str, Any] = field(default_factory=dict)


# nothing of a layer's function: how the file was made, shapes that the graph tells again, choices of kernels
_ANYWHERE: Mapping[str, tuple[Any, ...]] = {
    "batch_input_shape": (),
    "implementation": (),
    "input_dtype": (),
    "input_spec": (),
    "dynamic": (False, None),
    "ragged": (False, None),
    "time_major": (False,),
    "stateful": (False, None),
    "supports_masking": (),
    "weights": (None,),
}
_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_CONV: Mapping[str, tuple[Any, ...]] = {"groups": (1,), "data_format": (None, "channels_last")}
_SEPARABLE = {**_CONV, **dict.fromkeys(_KERNEL, ()), "rank": ()}
_DEPTHWISE = {**_SEPARABLE, "filters": (None,)}
_PLAIN = Row()
_DRAWN = Row(neutral={"rng_type": ()})
_POOL = Row(absent={"pool_size": 2})
_GATED = Row(absent={"recurrent_activation": HARD_SIGMOID})
_ATTENTION = Row(neutral={"query_shape": (), "key_shape": (), "value_shape": (), "softmax_robust_masking": (False,)})

ROWS: Mapping[str, Row] = {
    **dict.fromkeys(["Dense", "EinsumDense", "Activation", "Flatten", "Reshape", "Permute", "RepeatVector"], _PLAIN),
    **dict.fromkeys(["Masking", "Identity", "ActivityRegularization", "Rescaling", "Normalization"], _PLAIN),
    **dict.fromkeys(["Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout"], _PLAIN),
    **{f"SpatialDropout{n}D": Row(neutral={"noise_shape": ()}) for n in (1, 2, 3)},
    **dict.fromkeys(["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"], _PLAIN),
    **dict.fromkeys(["BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization"], _PLAIN),
    **dict.fromkeys(["ReLU", "ELU", "PReLU"], _PLAIN),
    "LeakyReLU": Row(renamed={"alpha": "negative_slope"}),
    "ThresholdedReLU": Row("ReLU", renamed={"theta": "threshold"}, absent={"theta": 1.0}),
    "Softmax": Row(neutral={"robust_masking": (False,)}),
    "Embedding": Row(neutral={"input_length": (), "sparse": (False,), "activity_regularizer": (None,)}),
    **{f"Conv{n}D": _PLAIN for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": Row(neutral={"groups": (1,)}) for n in (1, 2, 3)},
    **{f"SeparableConv{n}D": Row(neutral=_SEPARABLE) for n in (1, 2)},
    **{f"DepthwiseConv{n}D": Row(neutral=_DEPTHWISE) for n in (1, 2)},
    **{f"{layer}{n}D": _PLAIN for layer in ("Cropping", "ZeroPadding", "UpSampling") for n in (1, 2, 3)},
    **{f"{kind}Pooling{n}D": _POOL for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": _PLAIN for kind in ("Max", "Average") for n in (1, 2, 3)},
    "SimpleRNN": _PLAIN,
    "LSTM": _GATED,
    "GRU": Row(absent={**_GATED.absent, "reset_after": False}),
    **{f"ConvLSTM{n}D": Row(absent=_GATED.absent, neutral={"unroll": (False,)}) for n in (1, 2, 3)},
    "Bidirectional": _PLAIN,
    "TimeDistributed": _PLAIN,
    "MultiHeadAttention": _ATTENTION,
    "Attention": _PLAIN,
    "AdditiveAttention": _PLAIN,
    **{f"Random{what}": _DRAWN for what in ("Flip", "Rotation", "Zoom", "Translation", "Contrast")},
    **dict.fromkeys(["Resizing", "CenterCrop"], _PLAIN),
}
# names that versions 1.13 to 2.1 of TensorFlow wrote
ALIASES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
}
# name in a file -> name in Keras 3
ACTIVATIONS: Mapping[str, str] = {
    name: name
    for name in [
        *("linear", "relu", "relu6", "elu", "selu", "softplus", "softsign", "tanh", "sigmoid", "softmax"),
        *("log_softmax", "exponential", "gelu", "leaky_relu", "mish"),
    ]
} | {"swish": "silu", "silu": "silu"}
# a function of TensorFlow, as Keras 2 names it -> Keras 3's operation
OPERATIONS: Mapping[str, str] = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
}
SEPARATE = ("Activation", "Dense", "EinsumDense")  # layers, and all convolutions, that end with their activation


def hard_sigmoid(x: Any) -> Any:
    """Keras 2's and TF.js' function, clip(0.2 x + 0.5, 0, 1); Keras 3's of that name is relu6(x + 3) / 6."""
    return keras.ops.clip(x * 0.2 + 0.5, 0.0, 1.0)


# a restarted worker finds it in the staged file by this name
keras.saving.register_keras_serializable(package=PACKAGE, name="keras_2_hard_sigmoid")(hard_sigmoid)


def functions_of(model: Any) -> list[str]:
    """The layers of a Keras 3 model that call a function of this module, which no file of Keras' own holds."""
    return [
        f"layer {layer.name!r} ({type(layer).__name__}): its {key} is the {HARD_SIGMOID} of Keras 2"
        for layer in model._flatten_layers(include_self=False)
        for key in ("activation", "recurrent_activation")
        if getattr(layer, key, None) is hard_sigmoid and not type(layer).__name__.endswith("Cell")
    ]


def translate(kind: str, config: Mapping[str, Any], name: str, *, single: bool = False) -> list[keras.Layer]:
    """The Keras 3 layers, applied one after another, that compute what one layer of Keras 2 does.

    Args:
        kind: class of a layer without layers inside.
        config: its arguments, as JSON holds them.
        name: what to call it; of several layers the one with the weights, else the last.
        single: it has to be one layer, be it with a function that Keras 3 does not have.

    Raises:
        NotExact: the class, an argument or a value is none whose meaning is known to be the same.
    """
    kind = ALIASES.get(kind, kind)
    if kind not in ROWS:
        raise NotExact(f"{kind} has no counterpart in Keras 3 that is known to compute the same")
    row = ROWS[kind]
    given = {**row.absent, **config}
    separate = kind in SEPARATE or ("Conv" in kind and "LSTM" not in kind)
    after: list[keras.Layer] = []
    if separate and not single and _function_name(given.get("activation")) == HARD_SIGMOID:
        last = name if kind == "Activation" else f"{name}_{HARD_SIGMOID}"
        after = [keras.layers.Rescaling(0.2, 0.5, name=f"{name}_scaled"), keras.layers.ReLU(1.0, name=last)]
        if kind == "Activation":
            return after
        given["activation"] = "linear"
    cls = getattr(keras.layers, row.keras or kind)
    arguments = dict(_arguments(cls, row, given))
    trainable = bool(arguments.pop("trainable", True))
    try:
        made = cls(**arguments, name=name)
    except (TypeError, ValueError) as error:
        raise NotExact(f"Keras 3 does not take its configuration: {str(error).strip().splitlines()[0]}") from error
    made.trainable = trainable
    return [made, *after]


def _arguments(cls: type[Any], row: Row, given: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    known = _parameters(cls)
    for key, value in given.items():
        if key == "name":
            continue
        target = row.renamed.get(key, key)
        allowed = row.neutral.get(key, () if target in known else _ANYWHERE.get(key))
        if target in known and key not in row.neutral:
            yield from _argument(key, target, value)
        elif allowed is None or (allowed and not any(value is v or value == v for v in allowed)):
            raise NotExact(f"Keras 3's {cls.__name__} has nothing for {key}={value!r}")


def _parameters(cls: type[Any]) -> set[str]:
    """Names a class takes, with those that its base takes from all."""
    names = set(inspect.signature(cls).parameters) | {"trainable", "dtype", "activity_regularizer"}
    return names | {"zero_output_for_mask"} if issubclass(cls, keras.layers.RNN) else names


def _argument(key: str, target: str, value: Any) -> Iterable[tuple[str, Any]]:
    value = plain(value)
    if key.endswith("activation"):
        yield target, activation(value)
    elif key == "dtype":
        yield target, policy(value)
    elif key.endswith(("_initializer", "_regularizer", "_constraint")):
        found = training_object(key, value)
        if found is not None:
            yield target, found
    elif key == "axis" and isinstance(value, list) and len(value) == 1:
        yield target, value[0]
    else:
        yield target, value


def activation(value: Any) -> Any:
    """Keras 3's name, or function, for an activation of Keras 2. Raises NotExact."""
    name = _function_name(value)
    if name == HARD_SIGMOID:
        return hard_sigmoid
    if name is None or name not in ACTIVATIONS:
        raise NotExact(f"its activation {value!r} is a function of its own, or none that is known to be the same")
    return ACTIVATIONS[name]


def _function_name(value: Any) -> str | None:
    """The name of an activation; None for what has none."""
    if value is None:
        return "linear"
    return snake(value) if isinstance(value, str) else None


def snake(name: Any) -> str:
    """TF.js' camel case as Python writes it."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in str(name))


def policy(value: Any) -> str:
    """The name of a dtype policy: a string, or what versions 2.4 and later write for one."""
    if isinstance(value, Mapping):
        value = (value.get("config") or {}).get("name", "float32")
    if value is None:
        return "float32"
    if value not in ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "int32", "int64"):
        raise NotExact(f"its dtype {value!r} is none of Keras 3's policies")
    return str(value)


def operation(config: Mapping[str, Any], name: str) -> Callable[..., Any]:
    """The operation of x and y that Keras 2 keeps as a layer `TFOpLambda`, as `a + b` of tensors. Raises NotExact."""
    said = str(config.get("function"))
    if said not in OPERATIONS:
        raise NotExact(f"the operation tf.{said} has no counterpart in Keras 3 that is known to compute the same")
    made = getattr(keras.src.ops.numpy, OPERATIONS[said])(name=name)

    def apply(x: Any, y: Any = None) -> Any:
        if y is None or isinstance(y, list | Mapping):
            raise NotExact(f"layer {name!r} (TFOpLambda): it is called with something else than a tensor or a number")
        return made(x, y)

    return apply


def training_object(key: str, value: Any) -> Any:
    """An initializer, regularizer or constraint; None where Keras 3 has no such, which inference does not notice."""
    makers: Mapping[str, Callable[[Any], Any]] = {
        "initializer": keras.initializers.get,
        "regularizer": keras.regularizers.get,
        "constraint": keras.constraints.get,
    }
    if value is None:
        return None
    if isinstance(value, Mapping):
        settings = {k: v for k, v in (value.get("config") or {}).items() if k != "dtype"}
        value = {"class_name": value.get("class_name"), "config": settings}
    try:
        return makers[key.rpartition("_")[2]](value)
    except Exception:  # whatever Keras says of a class or an argument it does not know
        return None


def plain(value: Any) -> Any:
    """Tuples as lists, and the arrays and scalars of NumPy that old files hold as {"type": "ndarray", …}."""
    if isinstance(value, Mapping):
        if value.get("type") == "ndarray" and "value" in value:
            return plain(value["value"])
        if value.get("class_name") in ("__tuple__", "__ellipsis__"):
            return [plain(v) for v in value.get("items", ())]
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
