"""Whether TF.js computes for a layers model what Keras computes for the same configuration.

A converted file means what TF.js makes of it. Where TF.js reads a configuration as another function than Keras (its
UpSampling2D samples bilinearly at other points, it ignores the slope of ReLU …), a Keras model would be a silent wrong
answer. The writer of layers models knows what TF.js computes alike: the model that was rebuilt must be one it would
write, and it must tell TF.js the same as the file does. A file that TF.js cannot run means what Keras 2 computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from exporter.errors import SourceError
from exporter.formats import Refused
from exporter.formats._tfjs_keras_config import WAY_OUT
from exporter.formats._tfjs_parts import INPUT, Part, Rewrite, Step, elementwise
from exporter.formats._tfjs_topology import Topology
from exporter.source.keras2_layers import ACTIVATIONS, SEPARATE, plain, snake

# classes that TF.js 4.22 loads; Resizing, CenterCrop and CategoryEncoding load too, and end in an error at every run
TFJS_CLASSES = (
    *("Activation", "Add", "AlphaDropout", "Average", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D"),
    *("BatchNormalization", "Bidirectional", "Concatenate", "Conv1D", "Conv2D", "Conv2DTranspose", "Conv3D"),
    *("Conv3DTranspose", "ConvLSTM2D", "ConvLSTM2DCell", "Cropping2D", "Dense", "DepthwiseConv2D", "Dot"),
    *("Dropout", "ELU", "Embedding", "Flatten", "Functional", "GRU", "GRUCell", "GaussianDropout"),
    *("GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D"),
    *("GlobalMaxPooling2D", "InputLayer", "LSTM", "LSTMCell", "LayerNormalization", "LeakyReLU", "Masking"),
    *("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum", "Model", "Multiply", "PReLU"),
    *("Permute", "RNN", "RandomWidth", "ReLU", "RepeatVector", "Rescaling", "Reshape", "SeparableConv2D"),
    *("Sequential", "SimpleRNN", "SimpleRNNCell", "Softmax", "SpatialDropout1D", "StackedRNNCells"),
    *("ThresholdedReLU", "TimeDistributed", "UpSampling2D", "ZeroPadding2D"),
)
# activations that TF.js 4.22 knows (tfjs-layers/src/activations.ts)
_ACTIVATIONS = (
    *("elu", "gelu", "gelu_new", "hard_sigmoid", "linear", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid"),
    *("softmax", "softplus", "softsign", "swish", "tanh"),
)
# class, argument -> the values with which loading or running ends in an error
_ERRORS: Mapping[tuple[str, str], Callable[[Any], bool]] = {
    ("GRU", "reset_after"): bool,
    ("ELU", "alpha"): lambda value: value != 1,
    ("Conv1D", "padding"): lambda value: value == "causal",
    **{(f"Conv{n}D", "groups"): lambda value: value != 1 for n in (1, 2, 3)},
    **{(kind, "activation"): lambda value: snake(value) not in _ACTIVATIONS for kind in SEPARATE},
}


def _thresholded(part: Part) -> list[Step] | None:
    found = {name: part.config.get(name) for name in ("threshold", "negative_slope", "max_value")}
    if not found["threshold"] or found["negative_slope"] or found["max_value"] is not None:
        return None
    return [elementwise("ThresholdedReLU", INPUT, theta=found["threshold"])]


_THRESHOLDED = Rewrite(("ReLU",), _thresholded, "Keras 3 has it as a ReLU")
_TRAINING = ("_initializer", "_regularizer", "_constraint")
_NOT_COMPUTED = ("name", "dtype", "trainable", "layer", "layers", "input_layers", "output_layers")


def cannot_load(config: Mapping[str, Any]) -> str:
    """Why TF.js 4.22 itself cannot load or run a model; empty where nothing is known against it."""
    for kind, layer in _flat(config):
        if kind not in TFJS_CLASSES:
            return f"it has no {kind}"
        for (refusing, key), wrong in _ERRORS.items():
            if kind == refusing and key in layer and wrong(layer[key]):
                return f"it has no {kind} with {key}={layer[key]!r}"
    return ""


def check(config: Mapping[str, Any], model: Any) -> str:
    """Compare a file's topology with what the writer would tell TF.js about the model that was made of it.

    Returns:
        what a user should know: that TF.js cannot run the file; else empty.

    Raises:
        SourceError: TF.js computes something else for the file than Keras for the model, or may do so.
    """
    reason = cannot_load(config)
    if reason:
        return f"TF.js 4.22 cannot run this model itself ({reason}); it was read as Keras 2 means it"
    try:
        # as it is: what a rewrite would make right is wrong in the file
        topology = Topology(rewrites=[_THRESHOLDED]).convert(model)["model_config"]
    except Refused as refusal:
        why = str(refusal).removesuffix(f"; {WAY_OUT}")
        raise _differs(why) from refusal
    told = list(_flat(topology))
    for kind, layer in _flat(config):
        if "hard_sigmoid" in str(layer.get("activation")):
            continue
        if not any(other == kind and _agree(layer, said) for other, said in told):
            raise _differs(f"layer {layer.get('name')!r} ({kind}): it has no exact counterpart in Keras")
    return ""


def _differs(why: str) -> SourceError:
    return SourceError(
        "tfjs-differs",
        f"TF.js computes something else for this model than Keras does, or nobody has compared it: {why}",
        "convert the model that the file was made of",
    )


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Class and configuration of every layer, at any depth and in wrappers; models themselves are left out."""
    inner = config["config"]
    if config["class_name"] in ("Sequential", "Functional", "Model"):
        for entry in inner if isinstance(inner, list) else inner["layers"]:
            yield from _flat(entry)
        return
    yield config["class_name"], inner
    if isinstance(inner.get("layer"), Mapping):
        yield from _flat(inner["layer"])


def _agree(layer: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    return all(
        _equal(key, layer[key], value)
        for key, value in said.items()
        if key in layer and key not in _NOT_COMPUTED and not key.endswith(_TRAINING)
    )


def _equal(key: str, found: Any, said: Any) -> bool:
    found, said = plain(found), plain(said)
    if key.endswith("activation"):
        return bool(ACTIVATIONS.get(str(found), found) == ACTIVATIONS.get(str(said), said))
    if key == "axis" and said == -1:
        return True  # the writer tells the last axis so, once it has seen that it is the last
    if key in ("data_format", "batch_input_shape"):
        return found in (None, said) or (key == "batch_input_shape" and found[1:] == said[1:])
    if isinstance(said, list) and not isinstance(found, list):
        found = [found] * len(said)
    if isinstance(found, list) and not isinstance(said, list):
        said = [said] * len(found)
    return bool(found == said)
