"""The names of keras.layers that have no row, each with the reason. A new layer of Keras is in neither list."""

_BASE = "a base class, no layer of its own"
_BACKEND = "wraps a model of another library, which TensorFlow does not run"

LEFT_OUT = {
    "Layer": _BASE,
    "Wrapper": _BASE,
    "InputSpec": "describes an input, and is no layer",
    "FlaxLayer": _BACKEND,
    "JaxLayer": _BACKEND,
    "TorchModuleWrapper": _BACKEND,
    "TFSMLayer": "holds a SavedModel, which is a source of its own",
    "MaxNumBoundingBoxes": "pads labels of a training set; its input is no tensor",
}

# layers that Keras itself cannot put into a functional model
BROKEN = {"Equalization": {"value_range": (0, 255)}}
