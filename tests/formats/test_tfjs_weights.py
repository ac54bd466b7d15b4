"""Shards and model.json: the bytes TF.js' loaders expect."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.formats._tfjs_weights import Weight, write_model_json, write_shards


def test_bytes_are_concatenated_in_manifest_order(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    weights = [
        Weight("d/kernel", kernel.T),
        Weight("d/steps", np.array(-3, np.int32)),
        Weight("on", np.array([True, False])),
    ]
    (group,) = write_shards(tmp_path, weights, 10_000)
    assert group["paths"] == ["group1-shard1of1.bin"]
    assert group["weights"] == [
        {"name": "d/kernel", "shape": [3, 2], "dtype": "float32"},
        {"name": "d/steps", "shape": [], "dtype": "int32"},
        {"name": "on", "shape": [2], "dtype": "bool"},
    ]
    expected = np.ascontiguousarray(kernel.T).tobytes() + np.array([-3], "<i4").tobytes() + b"\x01\x00"
    assert (tmp_path / "group1-shard1of1.bin").read_bytes() == expected


def test_strings_carry_their_length(tmp_path):
    words = np.array([b"a", b"", "ü".encode()], dtype=object)
    (group,) = write_shards(tmp_path, [Weight("words", words)], 5)
    assert group["weights"][0]["dtype"] == "string"
    found = b"".join((tmp_path / p).read_bytes() for p in group["paths"])
    assert found == b"\x01\0\0\0a\0\0\0\0\x02\0\0\0\xc3\xbc"


@given(sizes=st.lists(st.integers(0, 40), max_size=6), shard=st.integers(1, 50))
def test_every_shard_but_the_last_is_full(tmp_path_factory, sizes, shard):
    directory = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    weights = [Weight(f"w{i}", rng.normal(size=n).astype(np.float32)) for i, n in enumerate(sizes)]
    (group,) = write_shards(directory, weights, shard)
    blobs = [(directory / p).read_bytes() for p in group["paths"]]
    assert b"".join(blobs) == b"".join(w.data.tobytes() for w in weights)
    assert all(len(b) == shard for b in blobs[:-1])
    assert all(0 < len(b) <= shard for b in blobs[-1:])
    assert group["paths"] == [f"group1-shard{k + 1}of{len(blobs)}.bin" for k in range(len(blobs))]


def test_two_weights_of_one_name_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="d/kernel"):
        write_shards(tmp_path, [Weight("d/kernel", np.zeros(1, np.float32))] * 2, 100)


def test_a_dtype_tfjs_cannot_read_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="float64"):
        write_shards(tmp_path, [Weight("w", np.zeros(1))], 100)


def test_model_json_is_sorted_and_strict(tmp_path):
    write_model_json(tmp_path, {"b": 1, "a": {"d": "ü", "c": [None, 0.1]}})
    text = (tmp_path / "model.json").read_text()
    assert text == '{"a":{"c":[null,0.1],"d":"\\u00fc"},"b":1}'
    assert json.loads(text)["a"]["d"] == "ü"
    with pytest.raises(ValueError, match="JSON"):
        write_model_json(tmp_path, {"a": float("nan")})
