"""Recurrent layers, their cells and wrappers: sequences, states, masks, direction, state between calls."""

from keras import layers as L

from gridrows import Feed, at, vary

STEPS = (5, 3)
MASKED = Feed((5, 3), values="steps")
TOKENS = Feed((6,), "int32", "padded")
ONE = Feed((5, 3), batch=1)


def _masked(layer):
    return lambda x: layer()(L.Masking()(x))


def _tokens(layer):
    return lambda x: layer()(L.Embedding(8, 4, mask_zero=True)(x))


def _family(name: str, **more) -> list:
    layer = getattr(L, name)
    return vary(
        name,
        STEPS,
        {"units": 4},
        default={},
        sequences={"return_sequences": True},
        states=lambda x: list(layer(4, return_state=True)(x)),
        sequences_and_states=lambda x: list(layer(4, return_sequences=True, return_state=True)(x)),
        backwards={"go_backwards": True, "return_sequences": True},
        no_bias={"use_bias": False},
        relu={"activation": "relu"},
        unroll={"unroll": True},
        dropout={"dropout": 0.5, "recurrent_dropout": 0.3},
        initial_state=at(
            STEPS, (4,), (4,), build=lambda x, h, c: layer(4)(x, initial_state=[h, c] if name == "LSTM" else [h])
        ),
        masked=at(MASKED, build=_masked(lambda: layer(4))),
        masked_sequences=at(MASKED, build=_masked(lambda: layer(4, return_sequences=True))),
        masked_zero_output=at(
            MASKED, build=_masked(lambda: layer(4, return_sequences=True, zero_output_for_mask=True))
        ),
        masked_backwards=at(MASKED, build=_masked(lambda: layer(4, go_backwards=True))),
        tokens=at(TOKENS, build=_tokens(lambda: layer(4))),
        stacked=lambda x: layer(3)(layer(4, return_sequences=True)(x)),
        stateful=at(ONE, stateful=True),
        dynamic=at((None, 3), return_sequences=True),
        **more,
    )


ROWS = [
    *_family("SimpleRNN"),
    *_family(
        "LSTM",
        sigmoid={"recurrent_activation": "hard_sigmoid"},
        no_forget_bias={"unit_forget_bias": False},
        encoder_decoder=lambda x: (lambda y, h, c: L.LSTM(4)(y, initial_state=[h, c]))(
            *L.LSTM(4, return_sequences=True, return_state=True)(x)
        ),
    ),
    *_family(
        "GRU",
        reset_before={"reset_after": False},
        reset_before_masked=at(MASKED, build=_masked(lambda: L.GRU(4, reset_after=False))),
        reset_before_sequences={"reset_after": False, "return_sequences": True},
        hard_sigmoid={"reset_after": False, "recurrent_activation": "hard_sigmoid"},
    ),
    *vary(
        "Bidirectional",
        STEPS,
        **{mode: (lambda m: lambda x: L.Bidirectional(L.LSTM(4), merge_mode=m)(x))(mode) for mode in ("concat", "sum")},
        mul=lambda x: L.Bidirectional(L.LSTM(4), merge_mode="mul")(x),
        ave=lambda x: L.Bidirectional(L.LSTM(4), merge_mode="ave")(x),
        separate=lambda x: list(L.Bidirectional(L.LSTM(4), merge_mode=None)(x)),
        sequences=lambda x: L.Bidirectional(L.LSTM(4, return_sequences=True))(x),
        states=lambda x: list(L.Bidirectional(L.LSTM(4, return_state=True))(x)),
        gru=lambda x: L.Bidirectional(L.GRU(4))(x),
        gru_reset_before=lambda x: L.Bidirectional(L.GRU(4, reset_after=False, return_sequences=True))(x),
        simple_rnn=lambda x: L.Bidirectional(L.SimpleRNN(4))(x),
        backward_layer=lambda x: L.Bidirectional(
            L.LSTM(4, return_sequences=True), backward_layer=L.LSTM(4, return_sequences=True, go_backwards=True)
        )(x),
        other_backward_layer=lambda x: L.Bidirectional(
            L.LSTM(4), backward_layer=L.LSTM(4, activation="relu", go_backwards=True)
        )(x),
        masked=at(MASKED, build=_masked(lambda: L.Bidirectional(L.LSTM(4)))),
        masked_sequences=at(MASKED, build=_masked(lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)))),
        tokens=at(TOKENS, build=_tokens(lambda: L.Bidirectional(L.LSTM(4)))),
        stacked=lambda x: L.Bidirectional(L.LSTM(3))(L.Bidirectional(L.LSTM(4, return_sequences=True))(x)),
        dynamic=at((None, 3), build=lambda x: L.Bidirectional(L.LSTM(4, return_sequences=True))(x)),
    ),
    *vary("SimpleRNNCell", (3,), step=at((3,), (4,), build=lambda x, h: L.SimpleRNNCell(4)(x, [h])[0])),
    *vary("LSTMCell", (3,), step=at((3,), (4,), (4,), build=lambda x, h, c: L.LSTMCell(4)(x, [h, c])[0])),
    *vary("GRUCell", (3,), step=at((3,), (4,), build=lambda x, h: L.GRUCell(4)(x, [h])[0])),
    *vary(
        "RNN",
        STEPS,
        simple=lambda x: L.RNN(L.SimpleRNNCell(4))(x),
        lstm=lambda x: L.RNN(L.LSTMCell(4), return_sequences=True)(x),
        gru=lambda x: L.RNN(L.GRUCell(4))(x),
        gru_reset_before=lambda x: L.RNN(L.GRUCell(4, reset_after=False))(x),
        states=lambda x: list(L.RNN(L.LSTMCell(4), return_state=True)(x)),
        masked=at(MASKED, build=_masked(lambda: L.RNN(L.LSTMCell(4), return_sequences=True))),
    ),
    *vary(
        "StackedRNNCells",
        STEPS,
        lstm=lambda x: L.RNN(L.StackedRNNCells([L.LSTMCell(4), L.LSTMCell(3)]))(x),
        mixed=lambda x: L.RNN([L.GRUCell(4, reset_after=False), L.SimpleRNNCell(3)], return_sequences=True)(x),
    ),
    *vary("ConvLSTM1D", (3, 6, 2), {"filters": 3, "kernel_size": 3}, default={}, same={"padding": "same"}),
    *vary(
        "ConvLSTM2D",
        (3, 5, 6, 2),
        {"filters": 3, "kernel_size": 3},
        default={},
        same={"padding": "same", "return_sequences": True},
        strides={"strides": 2},
        sigmoid={"recurrent_activation": "hard_sigmoid"},
    ),
    *vary("ConvLSTM3D", (2, 4, 4, 4, 1), {"filters": 2, "kernel_size": 2}, default={}),
]
