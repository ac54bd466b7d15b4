"""Pooling: windows, padding, data format; global and adaptive ones."""

from gridrows import At, Feed, at, vary

SHAPES = {1: (9, 2), 2: (7, 8, 2), 3: (5, 6, 7, 2)}
FIRST = {"data_format": "channels_first"}


def _windows(kind: str, n: int) -> list:
    more = {
        "unequal": {"pool_size": (3, 2), "strides": (1, 2)},
        "dynamic": at((None, None, 2)),
        "strides_beyond": {"pool_size": 2, "strides": 3, "padding": "same"},
    }
    return vary(
        f"{kind}Pooling{n}D",
        SHAPES[n],
        {"pool_size": 2},
        default={},
        same={"padding": "same"},
        overlapping={"pool_size": 3, "strides": 1, "padding": "same"},
        strides={"pool_size": 3, "strides": 2, "padding": "same"},
        channels_first=FIRST,
        ties=At((Feed(SHAPES[n], values="ties"),), {}),
        **(more if n == 2 else {}),
    )


def _global(kind: str, n: int) -> list:
    return vary(
        f"Global{kind}Pooling{n}D",
        SHAPES[n],
        {},
        default={},
        keepdims={"keepdims": True},
        channels_first=FIRST,
        **({"dynamic": at((None, None, 2))} if n == 2 else {}),
    )


ROWS = [
    *(row for kind in ("Max", "Average") for n in (1, 2, 3) for row in _windows(kind, n)),
    *(row for kind in ("Max", "Average") for n in (1, 2, 3) for row in _global(kind, n)),
    *(
        row
        for kind in ("Max", "Average")
        for n in (1, 2, 3)
        for row in vary(f"Adaptive{kind}Pooling{n}D", SHAPES[n], {"output_size": 3})
    ),
    *vary(
        "AdaptiveAveragePooling2D",
        SHAPES[2],
        {},
        unequal={"output_size": (2, 5)},
        channels_first=FIRST | {"output_size": 3},
    ),
]
