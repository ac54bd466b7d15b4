"""Four words -> topic: text goes in as strings, and the vocabulary table travels inside the model.

Strings are bytes here (UTF-8): the vocabulary and the data hold Cyrillic, Japanese, an emoji and accents, words
outside the vocabulary, and empty strings where a phrase is shorter.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from exporter.reference import Data, Split

TITLE = "String input: a vocabulary table with unknown and non-ASCII words, embedding, softmax"
QUALITY = {"accuracy": (">=", 0.78)}

TOPICS = {
    "food": ["bread", "café", "crème", "noodles", "寿司", "борщ"],
    "weather": ["rain", "snow", "Föhn", "typhoon", "台風", "☀️"],
    "travel": ["train", "ticket", "señora", "harbour", "東京", "поезд"],
}
VOCABULARY = [word for words in TOPICS.values() for word in words]
UNKNOWN = ["zebra", "Straße", "ünknown", "未知", "🙂"]  # never in the vocabulary: looked up as index 0
WORDS = 4  # in one phrase
FLIPPED = 0.1  # share of wrong labels; keeps the probabilities off 0 and 1
TRAIN_ROWS, TEST_ROWS = 1500, 300


def build(seed: int = 7) -> keras.Model:
    """The untrained network: `words` string (N, 4) -> `probabilities` (N, 3)."""
    keras.utils.set_random_seed(seed)
    words = keras.Input((WORDS,), dtype="string", name="words")
    lookup = layers.StringLookup(vocabulary=VOCABULARY, num_oov_indices=1, name="lookup")
    x = layers.Embedding(1 + len(VOCABULARY), 8, name="embedding")(lookup(words))
    x = layers.Flatten(name="flatten")(x)  # not a mean: a mixed-up word order has to show
    probabilities = layers.Dense(len(TOPICS), activation="softmax", name="probabilities")(x)
    return keras.Model(words, probabilities, name="string_lookup")


def data(seed: int = 7) -> Data:
    """Phrases as UTF-8 bytes (N, 4), right-padded with b""; `probabilities` holds the topic as int32 (N,)."""
    rng = np.random.default_rng(seed)
    topics = list(TOPICS.values())

    def phrase(topic: int) -> list[bytes]:
        """Two to four words: 70 % from the topic, 15 % from any topic, 15 % unknown."""
        pools = [topics[topic], VOCABULARY, UNKNOWN]
        chosen = rng.choice(3, rng.integers(2, WORDS + 1), p=[0.7, 0.15, 0.15])
        words = [str(rng.choice(pools[pool])).encode() for pool in chosen]
        return words + [b""] * (WORDS - len(words))

    def split(rows: int) -> Split:
        labels = rng.integers(0, len(topics), rows)
        phrases = np.array([phrase(label) for label in labels], dtype=object)
        noisy = np.where(rng.random(rows) < FLIPPED, rng.integers(0, len(topics), rows), labels)
        return Split({"words": phrases}, {"probabilities": noisy.astype(np.int32)})

    return Data(train=split(TRAIN_ROWS), test=split(TEST_ROWS))


def train(model: keras.Model, data: Data, seed: int = 7) -> dict[str, float]:
    """Fit `model` in place; returns the held-out `accuracy` against the noisy labels."""
    keras.utils.set_random_seed(seed)
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy")
    # object arrays are no Keras input: strings enter as tensors
    words, labels = tf.constant(data.train.inputs["words"]), data.train.targets["probabilities"]
    model.fit(words, labels, batch_size=32, epochs=8, verbose=0)
    predicted = model.predict(tf.constant(data.test.inputs["words"]), verbose=0).argmax(axis=1)
    return {"accuracy": float(np.mean(predicted == data.test.targets["probabilities"]))}
