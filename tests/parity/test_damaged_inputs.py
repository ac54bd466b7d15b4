"""The teeth at the other end: an artifact whose inputs are not the signature's is red in every runtime.

Its outputs may be right to the last bit, because somebody casts or reshapes on the way: whoever calls it by its
signature is turned away, or gets other numbers.
"""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from exporter import api
from exporter.bundle import Bundle
from exporter.convert_options import ConvertOptions
from exporter.model import Artifact, Recipe
from exporter.outcome import CellResult, Failed, Mismatched, Passed
from exporter.parity.cases import CaseOptions
from exporter.parity.plan import executes
from exporter.parity.report import Report, summary_line
from exporter.parity.session import RunOptions
from exporter.protocol.crew import Crew
from exporter.reference import load_module
from exporter.verification import choose_runtimes

mutate: ModuleType = load_module(Path(__file__).with_name("mutate_inputs.py"))
KINDS: dict[str, tuple[str, ...]] = {
    "saved-model": mutate.KINDS,
    "tflite": mutate.KINDS,
    **{format: tuple(found) for format, found in mutate.MUTATIONS.items()},
}
PAIRS = [(format, kind) for format in sorted(KINDS) for kind in KINDS[format]]

MODEL = """
import keras

def build():
    keras.utils.set_random_seed(3)
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    left, right = keras.layers.Dense(4, "tanh", name="left")(a), keras.layers.Dense(4, "relu", name="right")(b)
    return keras.Model([a, b], keras.layers.Subtract(name="out")([left, right]))
"""


def recipe(format: str, kind: str) -> Recipe:
    return Recipe(format, (("damage", kind),))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, crew: Crew) -> Report:
    root = tmp_path_factory.mktemp("inputs")
    (root / "model.py").write_text(textwrap.dedent(MODEL))
    options = ConvertOptions(cases=CaseOptions(batch_sizes=(1, 3)))
    good = api.convert(f"{root}/model.py:build", root / "good", to=sorted(KINDS), verify=False, options=options)
    originals = {a.recipe.format: a for a in good.artifacts}
    artifacts: list[Artifact] = list(good.artifacts)
    directories: dict[tuple[str, str], Path] = {}
    for format, kind in PAIRS:
        damaged = replace(originals[format], recipe=recipe(format, kind))
        directories[format, kind] = good.root / "artifacts" / damaged.recipe.directory
        shutil.copytree(good.root / "artifacts" / originals[format].recipe.directory, directories[format, kind])
        artifacts.append(damaged)
        if format in mutate.MUTATIONS:
            mutate.MUTATIONS[format][kind](directories[format, kind])
    mutate.saved_models(
        {k: (directories["saved-model", k], directories["tflite", k] / "model.tflite") for k in mutate.KINDS}
    )
    Bundle.save(replace(good, artifacts=tuple(artifacts)))
    return api.verify(good.root, require=["all"], run_options=RunOptions(crew=crew))


def rows(report: Report, recipe_id: str) -> dict[str, list[CellResult]]:
    """Runtime -> the results of one recipe in it."""
    found: dict[str, list[CellResult]] = {}
    for cell, result in report.results.items():
        if cell.recipe == recipe_id:
            found.setdefault(cell.runtime, []).append(result)
    return found


@pytest.mark.parametrize("format", sorted(KINDS))
def test_the_undamaged_artifact_passes_in_every_runtime(report: Report, format: str) -> None:
    found = rows(report, format)
    assert set(found) == {n for n, r in choose_runtimes(()).items() if executes(r, Recipe(format), named=False)}
    for runtime, results in found.items():
        for result in results:
            assert isinstance(result.outcome, Passed), (runtime, result.cell.case, summary_line(result))


@pytest.mark.parametrize(("format", "kind"), PAIRS)
def test_damage_is_red_in_every_runtime(report: Report, format: str, kind: str) -> None:
    found = rows(report, recipe(format, kind).id)
    assert set(found) == set(rows(report, format))
    for runtime, results in found.items():
        said = (runtime, [summary_line(r) for r in results])
        if kind == "swap":
            # alike inputs (all zeros) cannot tell; where the file lists them by position, loading does
            assert any(
                isinstance(r.outcome, Mismatched) or (isinstance(r.outcome, Failed) and r.outcome.code == "order")
                for r in results
            ), said
        else:
            for result in results:
                assert isinstance(result.outcome, Failed), said
                assert (result.outcome.stage, result.outcome.code) == ("load", "contract"), said
