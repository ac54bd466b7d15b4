"""Quantized TF.js artifacts: right in both backends of Node, and red when a stored weight or an output is wrong.

The machinery is that of the other quantized formats (test_quantized.py); what an artifact should give is computed by
TensorFlow for graphs and by Keras for layers models, and must be float32 rounding away.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporter import api
from exporter.bundle import Bundle
from exporter.formats._tfjs_weights import read_weights_of
from exporter.formats.registry import quantized_recipes
from exporter.model import Artifact
from exporter.outcome import CellResult, Mismatched, Passed
from exporter.parity.quantized import prices
from exporter.parity.report import Report, summary_line
from exporter.runtimes._node import node, workers_directory
from exporter.source_worker import read_weights

pytestmark = pytest.mark.matrix  # every recipe and kind of damage: `make test-matrix`
RUNTIMES = ["tfjs-node-cpu", "tfjs-node-wasm"]
RECIPES = [
    *(recipe.id for recipe in quantized_recipes() if recipe.format.startswith("tfjs")),
    "tfjs-graph:quantize=uint8,quantize-only=hidden*+left*,shard-names=hashed,shard-size=1kB",
    "tfjs-layers:quantize=uint8:kernel+float16,shard-size=7kB",
]
METADATA = {"labels": ["left", "right"], "mean": [0.5, 1e-7], "nothing": None}


@pytest.fixture(scope="module")
def good(convert: Callable[..., Bundle]) -> Bundle:
    return convert("tfjs-good", RECIPES, None, runtime=RUNTIMES, options={"metadata": METADATA})


def report_of(bundle: Bundle) -> Report:
    assert bundle.report is not None
    return bundle.report


def results(report: Report, recipe: str) -> list[CellResult]:
    return [result for cell, result in report.results.items() if cell.recipe == recipe]


def model_json(bundle: Bundle, artifact: Artifact) -> Path:
    return bundle.artifact_path(artifact, next(iter(artifact.entries)))


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_passes_in_both_backends(good: Bundle, recipe: str) -> None:
    found = results(report_of(good), recipe)
    assert {r.cell.runtime for r in found} == set(RUNTIMES)
    for result in found:
        assert isinstance(result.outcome, Passed), summary_line(result)
    (check,) = [c for name, c in report_of(good).weights.items() if name == recipe]
    assert check.checked >= 8
    # no runtime is at half a step by chance: the codes are the nearest ones
    assert 0.4 < check.worst <= 0.5001


def test_the_gates_are_not_met_by_chance(good: Bundle) -> None:
    """Fewer bits cost more, and no artifact comes near the noise of the one with fewer bits."""
    found = {price.recipe: price for price in prices(report_of(good))}
    for kind in ("tfjs-graph", "tfjs-layers"):
        noise = [found[f"{kind}:quantize={dtype}"].noise_db for dtype in ("uint8", "float16", "uint16")]
        assert 35 < noise[0] < 60 < noise[1] < 85 < noise[2]
        share = [found[f"{kind}:quantize={dtype}"].share for dtype in ("uint8", "float16", "uint16")]
        assert 0.25 < share[0] < 0.35 < 0.5 < share[1] < 0.6
        assert "uint8" in found[f"{kind}:quantize=uint8"].stored
    mixed = found["tfjs-layers:quantize=uint8:kernel+float16,shard-size=7kB"].stored
    assert "uint8 5 tensors" in mixed
    assert "float16 5 tensors" in mixed


def test_both_formats_hold_the_same_float_model(good: Bundle) -> None:
    kernels = {}
    for artifact in good.artifacts:
        if artifact.recipe.option("quantize", "") == "uint8" and len(artifact.recipe.options) == 1:
            stored = read_weights_of(model_json(good, artifact))
            kernels[artifact.recipe.format] = sorted(w.tobytes() for w in stored.values() if w.ndim > 1)
    assert len(kernels["tfjs-graph"]) == 5
    assert kernels["tfjs-graph"] == kernels["tfjs-layers"]


LOAD = """
import { readModelJson, diskHandler } from 'SRC/tfjs-artifact.mjs';
import * as tf from '@tensorflow/tfjs';
await tf.setBackend('cpu');
const path = process.argv[1];
const json = readModelJson(path);
const graph = json.format === 'graph-model';
const model = await (graph ? tf.loadGraphModel : tf.loadLayersModel)(diskHandler(path, json));
console.log(JSON.stringify(graph ? model.metadata : model.getUserDefinedMetadata()));
"""


@pytest.mark.parametrize("kind", ["tfjs-graph", "tfjs-layers"])
def test_metadata_are_what_tfjs_reads(good: Bundle, kind: str) -> None:
    (artifact,) = [a for a in good.artifacts if a.recipe.id == f"{kind}:quantize=float16"]
    directory = workers_directory()
    program = LOAD.replace("SRC", str(directory / "src"))
    command = [node(), "--input-type=module", "-e", program, str(model_json(good, artifact).absolute())]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == METADATA


# -- damage


def _flip(path: Path) -> None:
    """The lowest bit of one stored value."""
    shard = path.with_name(json.loads(path.read_text())["weightsManifest"][0]["paths"][0])
    data = bytearray(shard.read_bytes())
    data[len(data) // 2 & ~1] ^= 1
    shard.write_bytes(bytes(data))


def _stretch(path: Path) -> None:
    """The scale of the largest quantized weight."""
    document = json.loads(path.read_text())
    weights = [w for w in document["weightsManifest"][0]["weights"] if "scale" in w.get("quantization", {})]
    largest = max(weights, key=lambda w: np.prod(w["shape"]))
    largest["quantization"]["scale"] *= 1.02
    path.write_text(json.dumps(document))


def _shift(path: Path) -> None:
    """The minimum of the largest quantized weight, by 0.7 steps: zero is no longer exact."""
    document = json.loads(path.read_text())
    weights = [w for w in document["weightsManifest"][0]["weights"] if "scale" in w.get("quantization", {})]
    largest = max(weights, key=lambda w: np.prod(w["shape"]))
    largest["quantization"]["min"] += 0.7 * largest["quantization"]["scale"]
    path.write_text(json.dumps(document))


def _swap(path: Path) -> None:
    """The two outputs, which have one shape."""
    document = json.loads(path.read_text())
    if document["format"] == "graph-model":
        outputs = document["signature"]["outputs"]
        outputs["left"], outputs["right"] = outputs["right"], outputs["left"]
    else:
        # what a converter would do that read Keras' outputs in another order: the dense layers trade places
        weights = document["weightsManifest"][0]["weights"]
        for weight in weights:
            layer, _, variable = weight["name"].partition("/")
            weight["name"] = f"{ {'left': 'right', 'right': 'left'}.get(layer, layer) }/{variable}"
    path.write_text(json.dumps(document))


DAMAGE = {"flip": _flip, "stretch": _stretch, "shift": _shift, "swap": _swap}


@pytest.fixture(scope="module")
def broken(good: Bundle) -> Report:
    root = good.root.with_name("tfjs-broken")
    shutil.copytree(good.root, root)
    artifacts = []
    for artifact in good.artifacts:
        for kind, change in DAMAGE.items():
            if kind in ("stretch", "shift") and "uint" not in artifact.recipe.id:
                continue
            options = tuple(sorted((*artifact.recipe.options, ("damage", kind))))
            copy = replace(artifact, recipe=replace(artifact.recipe, options=options))
            before, after = artifact.recipe.directory, copy.recipe.directory
            shutil.copytree(root / "artifacts" / before, root / "artifacts" / after)
            for directory in sorted((root / "references").glob(f"*/{before}")):
                shutil.copytree(directory, directory.with_name(after))
            change(root / "artifacts" / after / artifact.entries["serving_default"].path)
            artifacts.append(copy)
    replace(good, root=root, artifacts=tuple(artifacts)).save()
    return api.verify(root, runtime=["tfjs-node-wasm"])


@pytest.mark.parametrize("kind", sorted(DAMAGE))
@pytest.mark.parametrize("recipe", RECIPES)
def test_damage_goes_red(broken: Report, recipe: str, kind: str) -> None:
    name = next((c.recipe for c in broken.planned if _damaged(c.recipe) == (recipe, kind)), "")
    if not name:
        assert "uint" not in recipe
        return
    outcomes = [r.outcome for r in results(broken, name)]
    codes = {o.comparison.code for o in outcomes if isinstance(o, Mismatched)}
    assert codes & {"weights", "conversion"}, [summary_line(r) for r in results(broken, name)]
    # the weights of a layer under another's name are wrong weights, exchanged outputs of a graph are not
    assert bool(broken.weights[name].problem) == (kind != "swap" or "layers" in recipe)


def _damaged(name: str) -> tuple[str, str]:
    """The recipe and the kind of damage in the name of a damaged one."""
    kind, options = name.partition(":")[::2]
    items = options.split(",")
    (damage,) = [item for item in items if item.startswith("damage=")]
    items.remove(damage)
    return f"{kind}:{','.join(items)}", damage.removeprefix("damage=")


def test_a_last_bit_hides_behind_the_noise(broken: Report) -> None:
    """The outputs alone would have passed all gates of quality: this is why weights have a gate of their own."""
    name = next(c.recipe for c in broken.planned if _damaged(c.recipe) == ("tfjs-graph:quantize=uint8", "flip"))
    for result in results(broken, name):
        assert isinstance(result.outcome, Mismatched)
        assert all(o.noise_db is not None and o.noise_db > 35 for o in result.outcome.comparison.outputs)


def test_a_missing_shard_is_told(good: Bundle, tmp_path: Path) -> None:
    shutil.copytree(good.root, tmp_path / "bundle")
    (artifact,) = [a for a in good.artifacts if a.recipe.id == "tfjs-layers:quantize=uint8"]
    path = tmp_path / "bundle" / model_json(good, artifact).relative_to(good.root)
    path.with_name("group1-shard1of1.bin").unlink()
    asked = {"artifact": str(path), "format": "tfjs-layers", "outputs": str(tmp_path / "out")}
    with pytest.raises(Exception, match=r"'group1-shard1of1\.bin', and there is no such file"):
        read_weights([asked], 60)
