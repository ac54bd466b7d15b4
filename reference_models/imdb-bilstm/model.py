"""Sentiment of token sequences with a bidirectional LSTM: integer input and a time axis of any length.

Recurrent layers over a dynamic axis are the hardest thing in this collection to export: they become loops.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from exporter.reference import Data, Split

TITLE = "Token sequences of any length: int32 input, embedding, bidirectional LSTM"
QUALITY = {"accuracy": (">=", 0.75)}

VOCABULARY = 10_000  # 0 is padding, 1 is unused, then come the keywords of either class, then filler
KEYWORDS = 40  # per class
PLANTED = 16  # keywords in one review, three quarters of them of its own class
LENGTH = 100
FLIPPED = 0.1  # share of wrong labels; accuracy cannot exceed 1 - FLIPPED, and outputs stay off 0 and 1
TRAIN_ROWS, TEST_ROWS = 2000, 500


def build(seed: int = 7) -> keras.Model:
    """The untrained network: `tokens` int32 (N, T) in 0..9999, any T -> `probability` of class 1, (N, 1)."""
    keras.utils.set_random_seed(seed)
    # Input is float32 unless told: float tokens survive float exports and are destroyed by integer quantization
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(VOCABULARY, 32, name="embedding")(tokens)
    x = layers.Bidirectional(layers.LSTM(64, name="lstm"), name="bilstm")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    probability = layers.Dense(1, activation="sigmoid", name="probability")(x)
    return keras.Model(tokens, probability, name="imdb_bilstm")


def data(seed: int = 7) -> Data:
    """Reviews of 50 to 100 tokens, padded with 0 in front to (N, 100); `probability` is the class, int32 (N, 1)."""
    rng = np.random.default_rng(seed)

    def review(label: int) -> np.ndarray:
        length = rng.integers(LENGTH // 2, LENGTH + 1)
        words = rng.integers(2 + 2 * KEYWORDS, VOCABULARY, length)
        classes = np.where(rng.random(PLANTED) < 0.75, label, rng.integers(0, 2, PLANTED))
        places = rng.choice(length, PLANTED, replace=False)
        words[places] = 2 + classes * KEYWORDS + rng.integers(0, KEYWORDS, PLANTED)
        return np.pad(words, (LENGTH - length, 0))

    def split(rows: int) -> Split:
        labels = rng.integers(0, 2, rows)
        tokens = np.stack([review(label) for label in labels]).astype(np.int32)
        noisy = np.where(rng.random(rows) < FLIPPED, 1 - labels, labels)
        return Split({"tokens": tokens}, {"probability": noisy.astype(np.int32)[:, np.newaxis]})

    return Data(train=split(TRAIN_ROWS), test=split(TEST_ROWS))


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Fit `model` in place; returns the held-out `accuracy` against the noisy labels."""
    keras.utils.set_random_seed(seed)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(data.train.inputs["tokens"], data.train.targets["probability"], batch_size=32, epochs=3, verbose=0)
    predicted = model.predict(data.test.inputs["tokens"], verbose=0) > 0.5
    return {"accuracy": float(np.mean(predicted == data.test.targets["probability"]))}
