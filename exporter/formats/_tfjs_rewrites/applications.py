"""The layers that models of `keras.applications` define for themselves: ConvNeXt and InceptionResNetV2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exporter.formats._tfjs_parts import INPUT, SECOND, Part, Rewrite, Step, elementwise, rescale
from exporter.formats._tfjs_rewrites.normalizations import batch_normalization

# keras/src/applications/convnext.py and inception_resnet_v2.py of Keras 3.15


def _layer_scale(part: Part) -> Sequence[Step] | None:
    """x * gamma, one per channel"""
    gamma = np.asarray(part.layer.gamma)
    return [batch_normalization(np.zeros_like(gamma), np.ones_like(gamma), gamma)]


def _custom_scale(part: Part) -> Sequence[Step] | None:
    """x + scale * y"""
    return [rescale(float(part.config["scale"]), 0.0, SECOND), Step("Add", {}, part.output, takes=(INPUT, 0))]


def _stochastic_depth(part: Part) -> Sequence[Step] | None:
    return [elementwise("Activation", activation="linear")]


REWRITES = (
    Rewrite(("LayerScale",), _layer_scale, "it scales channels, as BatchNormalization can (frozen)"),
    Rewrite(("CustomScaleLayer",), _custom_scale, "the second input is scaled and added"),
    Rewrite(("StochasticDepth",), _stochastic_depth, "it drops in training only"),
)
