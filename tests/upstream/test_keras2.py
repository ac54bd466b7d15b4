"""Models of Keras 2 that the published converter wrote, as sources: restored, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import SourceError
from exporter.formats._tfjs_published import published
from exporter.reference import load_module
from exporter.source.tfjs_layers import load_tfjs
from exporter.source.tfjs_weights import read_weights

PARITY = Path(__file__).resolve().parents[1] / "parity"
KERAS_2 = load_module(PARITY / "test_keras2.py")
NODE = load_module(PARITY / "tfjs_node.py")
ZOO = KERAS_2.ZOO
NAMES = sorted(set(ZOO.ZOO) - set(ZOO.NOT_EXACT))
QUANTIZED = ("float16", "uint8", "uint16")
# TF.js' own `save` writes two weights of one name, its converter does not
NOT_WRITTEN = {"nested_and_shared", "same_names"}
Written = Mapping[str, tuple[Path, str]]
TOLERANCE = 1e-6  # of the RMS of the output
REORDERED = 2e-6  # where Keras 3 normalizes with the same sums in another order


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Name -> the directory of the layers model, and what the converter raised: all of it in one process."""
    top = tmp_path_factory.mktemp("keras2")
    jobs = {}
    for name in NAMES:
        file = top / f"{name}.h5"
        ZOO.build(name).save(file)
        shards = "--weight_shard_size_bytes=1000"
        jobs[name] = ["--input_format=keras", "--output_format=tfjs_layers_model", shards, str(file), str(top / name)]
    for dtype in QUANTIZED:
        jobs[dtype] = [*jobs["lstm"][:3], f"--quantize_{dtype}=*", jobs["lstm"][3], str(top / dtype)]
    answers = published().convert(list(jobs.values()))
    return {name: (top / name, answer) for name, answer in zip(jobs, answers, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_restored_or_refused(name: str, written: Written) -> None:
    directory, answer = written[name]
    assert ("duplicate weight name" in answer) == bool(answer) == (name in NOT_WRITTEN), answer
    if answer:
        return
    old = ZOO.build(name)
    refusal = {**ZOO.DIFFERENT, **ZOO.NOT_RESTORED}.get(name)
    if refusal is not None:
        with pytest.raises(SourceError) as error:
            load_tfjs(directory / "model.json")
        assert refusal in str(error.value)
        return
    translation, _ = load_tfjs(directory / "model.json")
    arrays = ZOO.feed(old, 3)
    for found, expected in zip(KERAS_2.outputs_of(translation.model, arrays), ZOO.call(old, arrays), strict=True):
        assert KERAS_2.distance(found, expected) < (REORDERED if "norm" in name else TOLERANCE)


@pytest.mark.parametrize("name", sorted(set(NAMES) - NOT_WRITTEN))
def test_our_own_tests_write_what_it_writes(name: str, written: Written, tmp_path: Path) -> None:
    """`publish` stands for the published converter where that is not installed."""
    ours, theirs = (
        json.loads(p.read_text()) for p in (ZOO.publish(ZOO.build(name), tmp_path), written[name][0] / "model.json")
    )
    assert ours["modelTopology"]["model_config"] == theirs["modelTopology"]["model_config"]
    (own, other) = (weights(tmp_path), weights(written[name][0]))
    assert own.keys() == other.keys()
    for key, value in own.items():
        np.testing.assert_array_equal(value, other[key])


def weights(directory: Path) -> Any:
    return read_weights(directory, json.loads((directory / "model.json").read_text())["weightsManifest"])


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_quantized_weights_are_what_tfjs_decodes(dtype: str, written: Written, tmp_path: Path) -> None:
    directory, answer = written[dtype]
    assert not answer
    old = ZOO.build("lstm")
    arrays = ZOO.feed(old, 3)
    translation, notes = load_tfjs(directory / "model.json")
    assert any(f"quantized ({dtype})" in note for note in notes)
    restored = KERAS_2.outputs_of(translation.model, arrays)
    with NODE.started("tfjs-node-cpu", tmp_path) as worker:
        found = KERAS_2.tfjs_outputs(worker, directory / "model.json", ZOO.input_names(old), arrays)
    for value, expected in zip(restored, found, strict=True):
        assert KERAS_2.distance(value, expected) < KERAS_2.TFJS_TOLERANCE
    # the teeth: weights that were not decoded would be these
    assert any(not np.array_equal(a, b) for a, b in zip(restored, ZOO.call(old, arrays), strict=True))
