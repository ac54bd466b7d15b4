"""Inputs and outputs by position: right for who knows no names, and red in every runtime where they are not.

Every cell feeds and reads by name, so nothing but these tests and the check at `load` sees an order. The model has two
inputs of one shape in another order than the alphabet's, and more outputs than ten.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from exporter import api, reference
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.formats.registry import family_of
from exporter.model import Recipe
from exporter.outcome import Failed, Passed
from exporter.parity.report import Report, summary_line
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew
from exporter.reference import load_module
from exporter.runtimes._node import node

mutate: ModuleType = load_module(Path(__file__).with_name("mutate_order.py"))
by_position: ModuleType = load_module(Path(__file__).with_name("by_position.py"))
FLOAT = (*mutate.MUTATIONS, "saved-model")
OTHERS = (
    "tfjs-graph:quantize=float16",
    "tfjs-layers:quantize=uint8",
    "onnx-float16",
    "onnx-dynamic",
    "onnx-int8",
    "onnx-int4",
    "tflite-float16",
    "tflite-dynamic",
    "tflite-int8",
    "tflite-int8:io=int8",
    "tflite-int8:io=uint8",
    "tflite-int8:io=int8,maker=tensorflow",
    "tflite-int16x8",
    "tflite-int4",
)
SIDES = ("inputs", "outputs")
MODEL = """
import keras
import numpy as np
from keras import layers

def build():
    keras.utils.set_random_seed(8)
    query, candidate = keras.Input((6,), name="query"), keras.Input((6,), name="candidate")
    x = layers.Dense(40, activation="tanh", name="left")(query)
    y = layers.Dense(40, activation="tanh", name="right")(candidate)
    x = layers.Concatenate()([x, y])
    # numbers that tell one output from all others, whatever a quantizer makes of them
    heads = [layers.Dense(30, bias_initializer=keras.initializers.Constant(4 * i), name=f"head_{i}") for i in range(11)]
    return keras.Model([query, candidate], [head(x) for head in heads] + [layers.Dense(30, name="best")(x)])

def rows():
    rng = np.random.default_rng(2)
    return {name: rng.normal(0, 1, (64, 6)).astype("float32") for name in ("query", "candidate")}
"""


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    root = tmp_path_factory.mktemp("order")
    (root / "model.py").write_text(textwrap.dedent(MODEL))
    options = ConvertOptions(inputs=f"{root}/model.py:rows", calibration=f"{root}/model.py:rows")
    source = f"{root}/model.py:build"
    bundle = api.convert(source, root / "good", to=[*FLOAT, *OTHERS], options=options, verify=False)
    assert {a.recipe.id: a.reason for a in bundle.artifacts if a.status != "written"} == {}
    return bundle


def one_row(bundle: Bundle, signature: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The inputs and the source's outputs of a row, of data where there are, in the order of the signature."""
    case = max((c for c in bundle.cases if c.signature == signature), key=lambda c: c.real)
    contract = bundle.signature(signature)
    inputs, outputs = bundle.inputs(case), bundle.expected(case)
    rows = slice(0, 1) if contract.batched else slice(None)
    return [inputs[s.name][rows] for s in contract.inputs], [outputs[s.name][rows] for s in contract.outputs]


def near(found: list[Any], wanted: list[Any], share: float) -> None:
    assert len(found) == len(wanted)
    for position, (got, want) in enumerate(zip(found, wanted, strict=True)):
        assert got.shape == want.shape, position
        if want.dtype.kind in "OSU":
            assert [_text(v) for v in got.reshape(-1)] == [_text(v) for v in want.reshape(-1)], position
        else:
            # around its mean: outputs differ in that, and it must not make the bound wide
            scale = float(np.std(want)) or rms(want) or 1.0
            assert rms(got.astype(np.float64) - want) <= share * scale, position


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def consumed(bundle: Bundle, scratch: Path, share: Callable[[str], float]) -> set[str]:
    """Ask every artifact by position; returns the recipes that were asked."""
    asked, jobs, answers = set(), [], []
    for artifact in bundle.artifacts:
        family = family_of(artifact.recipe)
        for name, entry in artifact.entries.items():
            inputs, wanted = one_row(bundle, name)
            path = bundle.artifact_path(artifact, name)
            if family in ("tfjs-graph", "tfjs-layers"):
                jobs.append((path, inputs))
                answers.append((wanted, share(artifact.recipe.id)))
            elif family == "onnx":
                near(by_position.onnx(path, inputs), wanted, share(artifact.recipe.id))
            elif family == "tflite" and first_in_file(path, entry.key):
                near(by_position.tflite(path, inputs), wanted, share(artifact.recipe.id))
            else:
                continue
            asked.add(artifact.recipe.id)
    for found, (wanted, bound) in zip(by_position.pages(node(), jobs, scratch), answers, strict=True):
        near(found, wanted, bound)
    return asked


def first_in_file(path: Path, key: str) -> bool:
    """Whether a signature is of the subgraph that the interpreter's index calls reach."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    definitions = [model.SignatureDefs(i) for i in range(model.SignatureDefsLength())]
    return any(d.SignatureKey().decode() == key and d.SubgraphIndex() == 0 for d in definitions)


def test_callers_by_position_get_the_sources_numbers_from_every_recipe(ranker: Bundle, tmp_path: Path) -> None:
    signature = ranker.signatures[0]
    assert [s.name for s in signature.inputs] == ["query", "candidate"]
    assert [s.name for s in signature.outputs] == [*(f"head_{i}" for i in range(11)), "best"]
    asked = consumed(ranker, tmp_path, lambda recipe: 0.3 if recipe in OTHERS else 1e-4)
    assert asked == {*FLOAT, *OTHERS} - {"keras", "h5", "saved-model"}


def test_a_saved_model_says_that_it_has_no_order(ranker: Bundle) -> None:
    (artifact,) = (a for a in ranker.artifacts if a.recipe.format == "saved-model")
    fed, read = artifact.needs
    assert fed.startswith("feed by name: a SavedModel has no order")
    assert "query, candidate" in fed
    assert read.startswith("read by name: a SavedModel has no order")
    assert "head_9, head_10, best" in read


@pytest.mark.parametrize("model", reference.names())
def test_the_reference_models_by_position(model: str, converted: Callable[[str], Any], tmp_path: Path) -> None:
    bundle = Bundle.load(converted(model).root)
    assert "tfjs-graph" in consumed(bundle, tmp_path, lambda recipe: 1e-3)


@pytest.fixture(scope="module")
def report(ranker: Bundle, crew: Crew) -> Report:
    root = ranker.root.with_name("turned")
    shutil.copytree(ranker.root, root)
    originals = {a.recipe.id: a for a in ranker.artifacts if a.recipe.id in mutate.MUTATIONS}
    artifacts = list(originals.values())
    for format, change in mutate.MUTATIONS.items():
        for side in SIDES:
            turned = replace(originals[format], recipe=turned_recipe(format, side))
            directory = root / "artifacts" / turned.recipe.directory
            shutil.copytree(root / "artifacts" / originals[format].recipe.directory, directory)
            change(directory, side)
            artifacts.append(turned)
    replace(ranker, root=root, artifacts=tuple(artifacts), cases=ranker.cases[:1]).save()
    return api.verify(root, require=["all"], run_options=RunOptions(crew=crew))


def turned_recipe(format: str, side: str) -> Recipe:
    return Recipe(format, (("damage", side),))


@pytest.mark.parametrize("format", mutate.MUTATIONS)
def test_another_order_is_red_in_every_runtime(report: Report, format: str) -> None:
    fine = {c.runtime: r.outcome for c, r in report.results.items() if c.recipe == format}
    assert fine
    assert all(isinstance(outcome, Passed) for outcome in fine.values()), fine
    for side in SIDES:
        found = {c.runtime: r for c, r in report.results.items() if c.recipe == turned_recipe(format, side).id}
        assert set(found) == set(fine)
        for runtime, result in found.items():
            assert isinstance(result.outcome, Failed), (runtime, side, summary_line(result))
            assert (result.outcome.stage, result.outcome.code) == ("load", "order"), (runtime, side, result.outcome)
            assert "by position" in result.outcome.message


SEVERAL = """
import tensorflow as tf

SPECS = [tf.TensorSpec([None, 2], name="query"), tf.TensorSpec([None, 2], name="candidate")]

class Several(tf.Module):
    @tf.function(input_signature=SPECS)
    def first(self, query, candidate):
        return {"z": query - candidate, "a": candidate * 2.0}

    @tf.function(input_signature=SPECS)
    def second(self, query, candidate):
        return tuple(query * float(i) + candidate for i in range(12))
"""


def test_every_signature_of_a_file_has_its_own_order_in_every_runtime(tmp_path: Path, crew: Crew) -> None:
    (tmp_path / "several.py").write_text(textwrap.dedent(SEVERAL))
    source, formats = f"{tmp_path}/several.py:Several", ("tflite", "tfjs-graph", "onnx")
    bundle = api.convert(source, tmp_path / "out", to=formats, require=["all"], run_options=RunOptions(crew=crew))
    assert bundle.report is not None
    red = [summary_line(r) for r in bundle.report.results.values() if not isinstance(r.outcome, Passed)]
    assert red == []
    assert consumed(bundle, tmp_path, lambda recipe: 1e-4) == set(formats)
