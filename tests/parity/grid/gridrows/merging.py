"""Layers over several tensors: element by element, with broadcasting, along axes."""

from keras import layers as L

from gridrows import Feed, Row, at, vary

PAIR = ((3, 4), (3, 4))
TIES = (Feed((3, 4), values="ties"), Feed((3, 4), values="ties"))
MASKED = (Feed((5, 3), values="steps"), Feed((5, 3), values="steps"))


def _merges(name: str) -> list[Row]:
    layer = getattr(L, name)
    several = {} if name == "Subtract" else {"three": at((4,), (4,), (4,))}
    return vary(
        name,
        PAIR,
        {},
        default={},
        broadcast=at((3, 4), (1, 4)),
        ranks=at((3, 4), (4,)),
        ties=at(*TIES),
        same=at((4,), build=lambda x: layer()([x, x])),
        masked=at(*MASKED, build=lambda a, b: L.LSTM(3)(layer()([L.Masking()(a), L.Masking()(b)]))),
        **several,
    )


ROWS = [
    *(row for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum") for row in _merges(name)),
    *vary(
        "Concatenate",
        PAIR,
        {},
        default={},
        axis=at((3, 4), (5, 4), axis=1),
        negative_axis=at((3, 4), (5, 4), axis=-2),
        three=at((4,), (2,), (3,)),
        rank_4=at((2, 3, 4), (2, 3, 1), axis=3),
        batch={"axis": 0},
        integers=at(Feed((3,), "int32", "signed"), Feed((2,), "int32", "signed")),
        masked=at(*MASKED, build=lambda a, b: L.LSTM(3)(L.Concatenate()([L.Masking()(a), L.Masking()(b)]))),
    ),
    *vary(
        "Dot",
        ((3, 4), (5, 4)),
        {"axes": 2},
        default={},
        unequal=at((3, 4), (4, 5), axes=(2, 1)),
        negative={"axes": -1},
        normalize={"normalize": True},
        rank_2=at((4,), (4,), axes=1),
        rank_2_normalize=at((4,), (4,), axes=1, normalize=True),
        ranks=at((3, 4), (4,), axes=(2, 1)),
    ),
]
