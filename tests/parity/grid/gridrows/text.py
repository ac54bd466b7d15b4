"""Preprocessing of words, numbers and categories."""

from gridrows import Feed, at, vary

WORDS = Feed((3,), "string", "words")
SENTENCES = Feed((), "string", "sentences")
NUMBERS = Feed((3,), "int64", "tokens")
VOCABULARY = ["a", "b", "ü"]

ROWS = [
    *vary(
        "StringLookup",
        WORDS,
        {"vocabulary": VOCABULARY},
        default={},
        several_unknown={"num_oov_indices": 3},
        none_unknown={"num_oov_indices": 1, "mask_token": ""},
        one_hot=at(Feed((), "string", "words"), output_mode="one_hot"),
        multi_hot={"output_mode": "multi_hot"},
        count={"output_mode": "count"},
        tf_idf={"output_mode": "tf_idf", "idf_weights": [0.5, 1.5, 2.0]},
        invert=at(Feed((3,), "int64", "tokens", below=4), invert=True),
    ),
    *vary(
        "IntegerLookup",
        NUMBERS,
        {"vocabulary": [5, 7, 2]},
        default={},
        several_unknown={"num_oov_indices": 3},
        multi_hot={"output_mode": "multi_hot"},
        one_hot=at(Feed((), "int64", "tokens"), output_mode="one_hot"),
        invert=at(Feed((3,), "int64", "tokens", below=4), invert=True),
    ),
    *vary(
        "TextVectorization",
        SENTENCES,
        {"vocabulary": VOCABULARY},
        default={"output_sequence_length": 4},
        multi_hot={"output_mode": "multi_hot"},
        characters={"split": "character", "output_sequence_length": 6},
        ngrams={"ngrams": 2, "output_mode": "count"},
        plain={"standardize": None, "output_sequence_length": 4},
    ),
    *vary(
        "Hashing",
        WORDS,
        {"num_bins": 5},
        default={},
        salt={"salt": 133},
        mask={"mask_value": ""},
        integers=at(NUMBERS),
        one_hot=at(Feed((), "string", "words"), output_mode="one_hot"),
    ),
    *vary(
        "HashedCrossing",
        (Feed((), "string", "words"), Feed((), "int64", "tokens")),
        {"num_bins": 5},
        default={},
        one_hot={"output_mode": "one_hot"},
    ),
    *vary(
        "Discretization",
        Feed((4,), values="ties"),
        {"bin_boundaries": [-1.0, 0.0, 0.5]},
        default={},
        one_hot=at((), output_mode="one_hot"),
        multi_hot={"output_mode": "multi_hot"},
        count={"output_mode": "count"},
    ),
    *vary(
        "CategoryEncoding",
        Feed((3,), "int32", "tokens", below=4),
        {"num_tokens": 4},
        default={},
        count={"output_mode": "count"},
        one_hot=at(Feed((), "int32", "tokens", below=4), output_mode="one_hot"),
        one_hot_column=at(Feed((1,), "int32", "tokens", below=4), output_mode="one_hot"),
    ),
]
