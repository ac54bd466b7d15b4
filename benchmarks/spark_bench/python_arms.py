"""The two ways of Spark for Python models, with TensorFlow in the Python workers. Imported by those.

Both load the model once per worker and call its signature, the fastest of TensorFlow's own interfaces, on one thread.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

Predict = Callable[[np.ndarray], np.ndarray]


@functools.cache
def load(path: str, feed: str, fetch: str, loads: str) -> Predict:
    """(rows, …) to (rows, width), or (rows,) where the width is 1. Notes in the file `loads` who has loaded it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(path)
    signature = model.signatures["serving_default"]
    with open(loads, "a") as file:
        file.write(f"{os.getpid()}\n")

    def predict(rows: np.ndarray) -> np.ndarray:
        found: np.ndarray = signature(**{feed: tf.constant(rows)})[fetch].numpy()
        return found[:, 0] if found.shape[1] == 1 else found

    predict.model = model  # type: ignore[attr-defined]  # the signature alone does not keep the variables
    return predict


def batch_function(*model: str) -> Callable[[], Predict]:
    """For `predict_batch_udf`."""
    return lambda: load(*model)


def frame_function(
    batch: int, shape: tuple[int, ...], *model: str
) -> Callable[[Iterable[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """For `mapInPandas`: (id, features) to (id, score)."""

    def score(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        predict = load(*model)
        for frame in frames:
            rows = np.stack(frame["features"].to_numpy()).reshape(-1, *shape)
            scores: list[Any] = []
            for start in range(0, len(rows), batch):
                scores.extend(predict(rows[start : start + batch]))
            yield pd.DataFrame({"id": frame["id"], "score": scores})

    return score
