"""Attention layers: heads, axes, masks, scores."""

from keras import layers as L

from gridrows import Feed, at, vary

QUERY, VALUE = (5, 6), (7, 6)
TOKENS = Feed((6,), "int32", "padded")


def _self(**arguments):
    return lambda x: L.MultiHeadAttention(**{"num_heads": 2, "key_dim": 3, **arguments})(x, x)


def _grouped(**arguments):
    return lambda x: L.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2, **arguments)(x, x)


def _block(x):
    y = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 3)(x, x)]))
    return L.Add()([y, L.Dense(6)(L.Dense(8, "gelu")(y))])


def _scores(x):
    return list(L.MultiHeadAttention(2, 3)(x, x, return_attention_scores=True))


def _masked(layer):
    def build(x):
        e = L.Embedding(8, 6, mask_zero=True)(x)
        return layer(e)

    return build


ROWS = [
    *vary(
        "MultiHeadAttention",
        QUERY,
        default=_self(),
        value_dim=_self(value_dim=2),
        output_shape=_self(output_shape=4),
        no_bias=_self(use_bias=False),
        axes=at((2, 3, 4), build=_self(attention_axes=(1,))),
        causal=lambda x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
        scores=_scores,
        cross=at(QUERY, VALUE, build=lambda q, v: L.MultiHeadAttention(2, 3)(q, v)),
        key=at(QUERY, VALUE, VALUE, build=lambda q, v, k: L.MultiHeadAttention(2, 3)(q, v, key=k)),
        mask=at(
            QUERY,
            Feed((5, 5), "bool", "boolean"),
            build=lambda x, m: L.MultiHeadAttention(2, 3)(x, x, attention_mask=m),
        ),
        masked=at(TOKENS, build=_masked(lambda e: L.MultiHeadAttention(2, 3)(e, e))),
        masked_causal=at(TOKENS, build=_masked(lambda e: L.MultiHeadAttention(2, 3)(e, e, use_causal_mask=True))),
        dynamic=at((None, 6), build=_self()),
        block=_block,
    ),
    *vary(
        "GroupQueryAttention",
        QUERY,
        default=_grouped(),
        no_bias=_grouped(use_bias=False),
        causal=lambda x: L.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True),
        cross=at(QUERY, VALUE, build=lambda q, v: L.GroupQueryAttention(3, 4, 2)(q, v)),
    ),
    *vary(
        "Attention",
        (QUERY, VALUE),
        {},
        default={},
        scale={"use_scale": True},
        concat={"score_mode": "concat"},
        causal=lambda q, v: L.Attention()([q, v], use_causal_mask=True),
        key=at(QUERY, VALUE, VALUE),
        scores=lambda q, v: list(L.Attention()([q, v], return_attention_scores=True)),
        masked=at(TOKENS, build=_masked(lambda e: L.Attention()([e, e]))),
    ),
    *vary(
        "AdditiveAttention",
        (QUERY, VALUE),
        {},
        default={},
        no_scale={"use_scale": False},
        causal=lambda q, v: L.AdditiveAttention()([q, v], use_causal_mask=True),
        masked=at(TOKENS, build=_masked(lambda e: L.AdditiveAttention()([e, e]))),
    ),
]
