"""The teeth: an artifact with one weight flipped, two outputs swapped or another dtype goes red, in every runtime.

One small model is converted once to every float format. Each damaged copy becomes an artifact of its own in one more
bundle, hashed anew so that its checksum is right, and one `exporter.verify` runs them all under the default gates.
The undamaged artifacts are in it too, and must pass. What no comparison can see is the checksums' job, at the end.
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
from exporter.errors import BundleError
from exporter.model import Artifact, Recipe
from exporter.outcome import CellResult, Failed, Mismatched, Passed
from exporter.parity.plan import executes
from exporter.parity.report import Report, summary_line
from exporter.parity.session import RunOptions
from exporter.parity.tolerance import row_for
from exporter.protocol.crew import Crew
from exporter.reference import load_module
from exporter.runtimes.registry import runtime_named
from exporter.verification import choose_runtimes

mutate: ModuleType = load_module(Path(__file__).with_name("mutate.py"))
KINDS: dict[str, tuple[str, ...]] = {
    **{format: tuple(found) for format, found in mutate.MUTATIONS.items()},
    "saved-model": mutate.SAVED_MODEL_KINDS,
}
PAIRS = [(format, kind) for format in sorted(KINDS) for kind in KINDS[format]]
CODES = {"flip": "values", "swap": "values", "dtype": "dtype"}
# Python's loader walks the object graph and does not read the names that session loaders go by
BLIND = {("saved-model", "swap-signature"): {"tensorflow"}}

MODEL = """
import keras
from keras import layers

def build():
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer="normal", name="conv")(image)
    x = layers.Dense(8, activation="tanh", name="hidden")(layers.Flatten()(x))
    left = layers.Dense(3, bias_initializer="normal", name="left")(x)
    right = layers.Dense(3, bias_initializer="normal", name="right")(x)
    return keras.Model(image, {"left": left, "right": right})
"""


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    root = tmp_path_factory.mktemp("mutations")
    (root / "model.py").write_text(textwrap.dedent(MODEL))
    bundle = api.convert(f"{root}/model.py:build", root / "good", to=sorted(KINDS), verify=False)
    assert [a.status for a in bundle.artifacts] == ["written"] * len(KINDS)
    return bundle


def recipe(format: str, kind: str) -> Recipe:
    return Recipe(format, (("damage", kind),))


@pytest.fixture(scope="session")
def report(good: Bundle, crew: Crew) -> Report:
    root = good.root.with_name("damaged")
    shutil.copytree(good.root, root)
    originals = {a.recipe.format: a for a in good.artifacts}
    artifacts: list[Artifact] = list(good.artifacts)
    saved_models: dict[str, Path] = {}
    for format, kind in PAIRS:
        damaged = replace(originals[format], recipe=recipe(format, kind))
        directory = root / "artifacts" / damaged.recipe.directory
        shutil.copytree(root / "artifacts" / originals[format].recipe.directory, directory)
        if format == "saved-model":
            saved_models[kind] = directory
        else:
            mutate.MUTATIONS[format][kind](directory)
        artifacts.append(damaged)
    mutate.saved_models(saved_models)
    replace(good, root=root, artifacts=tuple(artifacts)).save()
    return api.verify(root, require=["all"], run_options=RunOptions(crew=crew))


def rows(report: Report, recipe_id: str) -> dict[str, list[CellResult]]:
    """Runtime -> the results of one recipe in it."""
    found: dict[str, list[CellResult]] = {}
    for cell, result in report.results.items():
        if cell.recipe == recipe_id:
            found.setdefault(cell.runtime, []).append(result)
    return found


@pytest.mark.parametrize("format", sorted(KINDS))
def test_the_undamaged_artifact_passes_everywhere(report: Report, format: str) -> None:
    found = rows(report, format)
    assert found
    for runtime, results in found.items():
        for result in results:
            assert isinstance(result.outcome, Passed), (runtime, result.cell.case, summary_line(result))


@pytest.mark.parametrize(("format", "kind"), PAIRS)
def test_damage_is_a_mismatch_in_every_runtime(report: Report, format: str, kind: str) -> None:
    found = rows(report, recipe(format, kind).id)
    assert set(found) == set(rows(report, format))
    for runtime, results in found.items():
        assert not any(isinstance(r.outcome, Failed) for r in results), (runtime, [summary_line(r) for r in results])
        red = [r.outcome.comparison.code for r in results if isinstance(r.outcome, Mismatched)]
        if runtime in BLIND.get((format, kind), ()):
            assert red == [], "it sees after all: the exception is stale"
        else:
            assert CODES[kind.partition("-")[0]] in red, (runtime, [summary_line(r) for r in results])


def test_each_runtime_of_a_format_was_asked(report: Report) -> None:
    for format in KINDS:
        expected = {n for n, r in choose_runtimes(()).items() if executes(r, Recipe(format), named=False)}
        assert set(rows(report, format)) == expected


@pytest.mark.parametrize("format", sorted(KINDS))
def test_damaged_recipes_are_judged_no_more_strictly_than_their_originals(report: Report, format: str) -> None:
    """The name of a damaged recipe is not in the table; with a tighter gate the teeth would prove nothing."""
    for runtime in rows(report, format):
        kind = runtime_named(runtime).kind
        for same in (True, False):
            default = row_for(format, kind, same_environment=same).tolerance
            used = row_for(recipe(format, "flip-0").id, kind, same_environment=same).tolerance
            assert used.rtol >= default.rtol
            assert used.atol >= default.atol


def test_the_verdict_is_red(report: Report) -> None:
    assert report.exit_status == 1
    assert not report.missing


@pytest.mark.parametrize("format", sorted(KINDS))
def test_what_no_comparison_can_see_is_caught_by_its_checksum(good: Bundle, format: str, tmp_path: Path) -> None:
    root = tmp_path / "bundle"
    shutil.copytree(good.root, root)
    files = sorted(p for p in (root / "artifacts" / format).rglob("*") if p.is_file())
    assert files
    for path in files:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(BundleError) as caught:
            api.verify(root)
        assert caught.value.code == "changed-file"
        assert path.name in caught.value.message
        path.write_bytes(data)
    Bundle.load(root)
