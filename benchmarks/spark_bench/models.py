"""The models that are scored, and their rows: built with fixed seeds, exported by `exporter`, stored as Parquet.

Every model has one input and one float32 output. The rows are (id, features), where features is a flat array: a
picture is its 784 pixels, as tables have them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7
CHECKED = 1000  # rows that are compared before timing; no multiple of a batch size


@dataclass(frozen=True)
class Case:
    """A model and its rows, as files.

    Attributes:
        shape: of one row, without the batch.
        width: elements of the output of one row.
        text: the input holds strings.
        rows: by kind of arm how many rows it scores in a run. `all` is for what runs in batches in the JVM, `python`
            for what passes through Python, `single` for what runs row by row; `check` rows are compared.
        batches: sizes tried beside the common one.
        onnx: None when the model has no ONNX artifact.
    """

    name: str
    title: str
    input: str
    output: str
    shape: tuple[int, ...]
    width: int
    text: bool
    rows: Mapping[str, int]
    batches: tuple[int, ...]
    saved_model: str
    onnx: str | None
    directory: str

    def data(self, kind: str) -> str:
        return str(Path(self.directory) / f"{kind}.parquet")

    def expected(self) -> np.ndarray:
        """What Keras computes for the `check` rows: (rows, width)."""
        return np.load(Path(self.directory) / "expected.npy")


@dataclass(frozen=True)
class Plan:
    title: str
    build: Callable[[], Any]
    rows: tuple[int, int, int]  # all, python, single: about a second or two each on two cores
    batches: tuple[int, ...]


def _mlp() -> Any:
    import keras

    keras.utils.set_random_seed(SEED)
    inputs = keras.Input((784,), name="pixels")
    x = keras.layers.Dense(512, activation="relu", name="hidden_1")(inputs)
    x = keras.layers.Dense(256, activation="relu", name="hidden_2")(x)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="probabilities")(x), name="mlp")


def _reference(name: str) -> Callable[[], Any]:
    def build() -> Any:
        from exporter import reference

        return reference.load_module(reference.path_of(name)).build(SEED)

    return build


PLANS = {
    "linear": Plan("linear 2→1", _reference("linear-spark-fixed"), (1_500_000, 200_000, 20_000), (1024, 4096)),
    "mlp": Plan("MLP 784-512-256-10", _mlp, (60_000, 20_000, 4_000), (32, 1024)),
    "cnn": Plan("CNN, four convolutions on 28×28", _reference("digits-cnn"), (5_000, 5_000, 2_000), (32,)),
    "string-lookup": Plan(
        "string lookup, embedding, softmax", _reference("string-lookup"), (300_000, 60_000, 15_000), (1024, 4096)
    ),
}


def prepare(name: str, directory: Path, *, quick: bool) -> Case:
    """Build and export a model, and write what it is checked against."""
    import exporter
    from exporter.bundle import Bundle

    plan = PLANS[name]
    model = plan.build()
    bundle: Bundle = exporter.convert(model, directory / "bundle", to=["saved-model", "onnx"], verify=False)
    written = {artifact.recipe.format for artifact in bundle.artifacts if artifact.status == "written"}
    (tensor,) = model.inputs
    (result,) = model.outputs
    counts = tuple(max(2 * CHECKED, count // 10) for count in plan.rows) if quick else plan.rows
    case = Case(
        name=name,
        title=plan.title,
        input=tensor.name,
        output=model.output_names[0],
        shape=tuple(tensor.shape[1:]),
        width=int(result.shape[-1]),
        text=tensor.dtype == "string",
        rows={"all": counts[0], "python": counts[1], "single": counts[2], "check": CHECKED},
        batches=() if quick else plan.batches,
        saved_model=str(bundle.root / "artifacts" / "saved-model"),
        onnx=str(bundle.root / "artifacts" / "onnx" / "model.onnx") if "onnx" in written else None,
        directory=str(directory),
    )
    rows = _rows(case, max(case.rows.values()))
    np.save(directory / "rows.npy", rows)
    np.save(directory / "expected.npy", _predict(model, case, rows[:CHECKED]))
    (directory / "case.json").write_text(json.dumps(asdict(case), indent=1))
    return case


def load(directory: Path) -> Case:
    """The case that `prepare` left in a directory."""
    found = json.loads((directory / "case.json").read_text())
    return Case(**{**found, "shape": tuple(found["shape"]), "batches": tuple(found["batches"])})


def _rows(case: Case, count: int) -> np.ndarray:
    """(count, elements) float32 in [0, 1), or text."""
    rng = np.random.default_rng(SEED)
    if not case.text:
        return rng.random((count, int(np.prod(case.shape))), np.float32)
    from exporter import reference

    phrases = reference.load_module(reference.path_of("string-lookup")).data(SEED).train.inputs["words"]
    words = np.array([[word.decode() for word in phrase] for phrase in phrases])
    return words[rng.integers(0, len(words), count)]


def _predict(model: Any, case: Case, rows: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    batch = tf.constant(rows.reshape(-1, *case.shape))
    return np.asarray(model(batch, training=False)).reshape(len(rows), case.width)
