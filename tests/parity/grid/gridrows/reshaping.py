"""Layers that move, repeat, cut off or add values."""

from gridrows import Feed, at, vary

ONE, TWO, THREE = (6, 2), (4, 5, 2), (3, 4, 5, 2)
FIRST = {"data_format": "channels_first"}

ROWS = [
    *vary(
        "Reshape",
        (3, 4),
        {},
        default={"target_shape": (2, 6)},
        unknown={"target_shape": (-1, 2)},
        flat={"target_shape": (12,)},
        rank_4={"target_shape": (2, 1, 3, 2)},
        integers=at(Feed((3, 4), "int32", "signed"), target_shape=(4, 3)),
        dynamic=at((None, 4), target_shape=(-1, 2)),
    ),
    *vary(
        "Permute", (2, 3, 4), {}, default={"dims": (2, 1, 3)}, reverse={"dims": (3, 2, 1)}, rank_3=at(ONE, dims=(2, 1))
    ),
    *vary("Flatten", (2, 3, 4), {}, default={}, channels_first=FIRST, rank_2=at((4,)), scalars=at(())),
    *vary("RepeatVector", (4,), {"n": 3}, default={}),
    *vary("Cropping1D", ONE, {}, default={}, unequal={"cropping": (1, 3)}, none={"cropping": (0, 2)}),
    *vary(
        "Cropping2D",
        TWO,
        {},
        default={"cropping": 1},
        unequal={"cropping": ((1, 2), (0, 3))},
        channels_first=FIRST | {"cropping": ((1, 0), (1, 0))},
    ),
    *vary(
        "Cropping3D",
        THREE,
        {},
        default={"cropping": ((1, 0), (1, 2), (0, 3))},
        channels_first=FIRST | {"cropping": ((1, 0), (1, 0), (0, 1))},
    ),
    *vary("ZeroPadding1D", ONE, {}, default={}, unequal={"padding": (0, 3)}, channels_first=FIRST),
    *vary(
        "ZeroPadding2D",
        TWO,
        {},
        default={},
        unequal={"padding": ((1, 2), (0, 3))},
        channels_first=FIRST | {"padding": ((1, 2), (0, 3))},
    ),
    *vary(
        "ZeroPadding3D",
        THREE,
        {},
        default={},
        unequal={"padding": ((1, 2), (0, 3), (2, 0))},
        channels_first=FIRST,
    ),
    *vary("UpSampling1D", ONE, {}, default={}, three={"size": 3}),
    *vary(
        "UpSampling2D",
        TWO,
        {},
        default={},
        unequal={"size": (2, 3)},
        bilinear={"interpolation": "bilinear"},
        bilinear_unequal={"size": (2, 3), "interpolation": "bilinear"},
        bicubic={"interpolation": "bicubic"},
        lanczos3={"interpolation": "lanczos3"},
        channels_first=FIRST,
        dynamic=at((None, None, 2)),
    ),
    *vary("UpSampling3D", THREE, {}, default={}, unequal={"size": (1, 2, 3)}, channels_first=FIRST),
]
