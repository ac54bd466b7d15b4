"""Every activation function, and the activation layers with their parameters."""

from keras import activations
from keras import layers as L

from gridrows import Feed, Row, at, vary

# what is no function of one tensor; threshold needs two numbers
_HELPERS = {"deserialize", "get", "serialize", "threshold"}
NAMES = sorted(n for n in dir(activations) if not n.startswith("_") and n not in _HELPERS)
WIDE = Feed((3, 8), values="wide")


def _activation(name: str):
    return lambda x: [L.Activation(name)(x), L.Dense(4, activation=name)(x)]


ROWS = [
    *(Row(f"Activation-{name.replace('_', '-')}", "Activation", (WIDE,), _activation(name)) for name in NAMES),
    *vary(
        "ReLU",
        WIDE,
        {},
        default={},
        max_value={"max_value": 1.0},
        slope={"negative_slope": 0.1},
        threshold={"threshold": 0.5},
        all={"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5},
        ties=at(Feed((8,), values="ties"), threshold=0.5),
    ),
    *vary("LeakyReLU", WIDE, {}, default={}, slope={"negative_slope": 0.1}, zero={"negative_slope": 0.0}),
    *vary("ELU", WIDE, {}, default={}, alpha={"alpha": 0.5}),
    *vary("PReLU", (3, 4, 2), {}, default={}, shared={"shared_axes": [1, 2]}, shared_one={"shared_axes": [1]}),
    *vary("Softmax", WIDE, {}, default={}, axis={"axis": 1}, axes={"axis": (1, 2)}, rank_2=at((5,))),
    *vary(
        "Softmax",
        WIDE,
        masked=at(WIDE, Feed((3, 8), "bool", "boolean"), build=lambda x, m: L.Softmax()(x, mask=m)),
    ),
]
