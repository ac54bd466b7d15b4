"""Keras -> TF.js layers -> Keras: the same function bit for bit, and quantized weights as TF.js decodes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from exporter.formats import Refused
from exporter.formats.tfjs_layers import write
from exporter.reference import load_module
from exporter.source.loaders import from_keras
from exporter.source.tfjs_layers import from_tfjs

FORMATS = load_module(Path(__file__).with_name("test_tfjs_formats.py"))
NODE = FORMATS.NODE


def published(name, tmp_path):
    """A model of the zoo, its artifact, and what the writer called its inputs and outputs."""
    directory = tmp_path / "artifact"
    for path in (directory, tmp_path / "staging", tmp_path / "again"):
        path.mkdir()
    source = from_keras(FORMATS.build(name), tmp_path / "staging")
    written = write(source, directory, {"shard-size": "1kB"})
    return source, directory / "model.json", written


@pytest.mark.parametrize("name", FORMATS.sampled(sorted(set(FORMATS.MODELS.ZOO))))
def test_a_round_trip_is_exact(name, tmp_path):
    try:
        source, path, written = published(name, tmp_path)
    except Refused:
        assert name in FORMATS.MODELS.NOT_IN_LAYERS
        return
    again = from_tfjs(path, tmp_path / "again")
    (old,), (new,) = source.signatures.values(), again.signatures.values()
    # TF.js has no int64 and converts a feed; names stay, but for those of layers that had to be renamed
    assert [s.name for s in new.inputs] == [s.name for s in old.inputs]
    for batch in (3, 1):
        rng = np.random.default_rng(batch)
        arrays = [NODE.feed(spec, batch, rng) for spec in old.inputs]
        results = [
            s.reference(sig.name, {i.name: a.astype(i.dtype) for i, a in zip(sig.inputs, arrays, strict=True)})
            for s, sig in ((source, old), (again, new))
        ]
        for before, after in zip(old.outputs, new.outputs, strict=True):
            found, expected = results[1][after.name], results[0][before.name]
            if written.rewrites:  # the same sums in another order
                assert NODE.distance(found, expected) < 2e-6
            else:
                np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float16", "uint8", "uint16"])
def test_quantized_weights_are_what_tfjs_decodes(dtype, tmp_path):
    source, path, written = published("cnn", tmp_path)
    names = next(iter(written.entries.values())).names
    document = json.loads(path.read_text())
    document["weightsManifest"] = [quantized(document["weightsManifest"][0], dtype, path.parent)]
    path.write_text(json.dumps(document))
    restored = from_tfjs(path, tmp_path / "again")
    assert f"the file's weights are quantized ({dtype}); they are taken as it decodes them" in restored.notes
    ((key, signature),) = restored.signatures.items()
    inputs = {s.name: NODE.feed(s, 3, np.random.default_rng(3)) for s in signature.inputs}
    with NODE.started("tfjs-node-cpu", tmp_path) as client, NODE.loaded(client, path, "tfjs-layers", key) as handle:
        found = NODE.run(client, handle, {names.inputs[n]: v for n, v in inputs.items()}, tmp_path)
    ours, float_result = restored.reference(key, inputs), source.reference(key, inputs)
    for name, expected in ours.items():
        assert NODE.distance(found[names.outputs[name]], expected) < NODE.TOLERANCE
    # the teeth: weights that were not decoded from the file would be these
    assert any(not np.array_equal(ours[n], float_result[n]) for n in ours)


def quantized(group, dtype, directory: Path) -> dict:
    """The group of a manifest with every weight in `dtype`, one step being 1/200 or 1/50000 of a weight's range."""
    data = np.frombuffer(b"".join((directory / p).read_bytes() for p in group["paths"]), np.float32)
    specs, blobs, start = [], [], 0
    for spec in group["weights"]:
        size = int(np.prod(spec["shape"]))
        values = data[start : start + size].astype(np.float64)
        start += size
        how: dict = {"dtype": dtype}
        if dtype != "float16":
            steps = 200 if dtype == "uint8" else 50_000
            how |= {"min": float(values.min()), "scale": float(np.ptp(values) or 1.0) / steps}
            values = np.round((values - how["min"]) / how["scale"])
        blobs.append(values.astype(dtype).tobytes())
        specs.append({**spec, "quantization": how})
    (directory / "quantized.bin").write_bytes(b"".join(blobs))
    return {"paths": ["quantized.bin"], "weights": specs}


def test_weights_of_one_file_may_lie_in_a_directory_below(tmp_path):
    _, path, _ = published("dense", tmp_path)
    below = path.parent / "weights"
    below.mkdir()
    document = json.loads(path.read_text())
    for group in document["weightsManifest"]:
        for file in group["paths"]:
            (path.parent / file).rename(below / file)
        group["paths"] = [f"weights/{file}" for file in group["paths"]]
    path.write_text(json.dumps(document))
    assert from_tfjs(path, tmp_path / "again").keras_model.count_params() > 0
