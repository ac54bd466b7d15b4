"""Normalization: axes, epsilon, which of offset and scale there are."""

import numpy as np
from keras import layers as L

from gridrows import at, vary

_STATISTICS = {"mean": [1.0, -2.0, 0.5], "variance": [4.0, 0.25, 1.0]}

ROWS = [
    *vary(
        "BatchNormalization",
        (3, 4, 2),
        {},
        default={},
        axis={"axis": 1},
        axis_middle={"axis": 2},
        no_scale={"scale": False},
        no_center={"center": False},
        neither={"scale": False, "center": False},
        epsilon={"epsilon": 0.1},
        rank_2=at((4,)),
        rank_3=at((5, 3)),
        rank_5=at((2, 3, 4, 2)),
        dynamic=at((None, None, 2)),
        after_dense=at((4,), build=lambda x: L.BatchNormalization()(L.Dense(5)(x))),
        after_conv=lambda x: L.BatchNormalization()(L.Conv2D(4, 2)(x)),
        after_depthwise=lambda x: L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(2)(x))),
        before_conv=lambda x: L.Conv2D(4, 2, padding="same")(L.BatchNormalization()(x)),
    ),
    *vary(
        "LayerNormalization",
        (3, 4),
        {},
        default={},
        axis={"axis": 1},
        axes={"axis": [1, 2]},
        no_scale={"scale": False},
        no_center={"center": False},
        neither={"scale": False, "center": False},
        epsilon={"epsilon": 0.1},
        rank_2=at((6,)),
        rank_4=at((2, 3, 4)),
    ),
    *vary(
        "GroupNormalization",
        (3, 4, 4),
        {"groups": 2},
        default={},
        axis={"axis": 1, "groups": 3},
        instance={"groups": -1},
        all={"groups": 1},
        no_scale={"scale": False, "center": False},
        epsilon={"epsilon": 0.1},
        rank_3=at((5, 4)),
        rank_2=at((6,)),
    ),
    *vary("RMSNormalization", (3, 4), {}, default={}, epsilon={"epsilon": 0.1}),
    *vary("UnitNormalization", (3, 4), {}, default={}, axis={"axis": 1}, axes={"axis": [1, 2]}),
    *vary(
        "Normalization",
        (4, 3),
        _STATISTICS,
        default={},
        invert={"invert": True},
        scalar={"axis": None, "mean": 2.0, "variance": 4.0},
        rank_2=at((3,)),
        axis={"axis": 1, "mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0, 4.0, 9.0, 16.0]},
        axes={"axis": (1, 2), "mean": np.arange(12.0).reshape(4, 3), "variance": np.ones((4, 3))},
    ),
]
