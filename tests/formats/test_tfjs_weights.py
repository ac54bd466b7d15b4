"""Shards and model.json: the bytes TF.js' loaders expect."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import SourceError
from exporter.formats._tfjs_weights import Weight, read_weights, write_model_json, write_shards


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


@pytest.mark.parametrize(("size", "lengths"), [(40, [40]), (39, [39, 1]), (20, [20, 20]), (8, [8] * 5)])
def test_shards_are_those_of_the_published_converter(tmp_path, size, lengths):
    """ceil(bytes / size) files, called after their number and count, whatever the weights' borders."""
    weights = [Weight("a", np.ones(7, np.float32)), Weight("b", np.zeros(3, np.int32))]
    (group,) = write_shards(tmp_path, weights, size)
    assert group["paths"] == [f"group1-shard{k}of{len(lengths)}.bin" for k in range(1, len(lengths) + 1)]
    assert [(tmp_path / p).stat().st_size for p in group["paths"]] == lengths
    assert {p.name for p in tmp_path.iterdir()} == set(group["paths"])


def test_hashed_names_change_with_the_content_and_nothing_else(tmp_path):
    def names(value, directory):
        (tmp_path / directory).mkdir()
        weights = [Weight("a", np.array([1, 2, 3, value], np.float32))]
        (group,) = write_shards(tmp_path / directory, weights, 8, hashed=True)
        for path in group["paths"]:
            digest = hashlib.sha256((tmp_path / directory / path).read_bytes()).hexdigest()
            assert path.endswith(f"-{digest[:8]}.bin")
        assert read_weights(tmp_path / directory, [group])["a"][3] == value
        return group["paths"]

    first, again, other = names(4, "1"), names(4, "2"), names(5, "3")
    assert first == again
    assert first[0].startswith("group1-shard1of2-")
    assert first[0] == other[0]
    assert first[1] != other[1]


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


@pytest.mark.parametrize("shard", [1, 3, 7, 10_000])
def test_what_is_written_is_read(tmp_path, shard):
    weights = [
        Weight("kernel", np.arange(6, dtype=np.float32).reshape(2, 3).T),
        Weight("words", np.array([[b"a", b""], ["\u00fc".encode(), b"\0"]], dtype=object)),
        Weight("nothing", np.zeros((2, 0), np.float32)),
        Weight("steps", np.array(-3, np.int32)),
        Weight("on", np.array([True, False])),
        Weight("z", np.array([1 + 2j], np.complex64)),
    ]
    found = read_weights(tmp_path, write_shards(tmp_path, weights, shard))
    assert list(found) == [w.name for w in weights]
    for weight in weights:
        assert found[weight.name].dtype == weight.data.dtype
        assert found[weight.name].shape == weight.data.shape
        assert np.array_equal(found[weight.name], weight.data)


def test_quantized_weights_are_decoded_as_tfjs_does(tmp_path):
    """In double precision, rounded once; an int32 as Math.round rounds, halves up; the float16 decoder is exact."""
    third = 1 / 3
    halves = np.array([0x3C00, 0x0001, 0xFBFF, 0x8000], "<u2")  # 1, the smallest, the lowest, -0
    (tmp_path / "a.bin").write_bytes(bytes([0, 3]) + np.array([2, 65535], "<u2").tobytes() + bytes([1, 3]))
    (tmp_path / "b.bin").write_bytes(halves.tobytes())
    scaled = {"scale": third, "min": -1.0, "original_dtype": "float32"}
    manifest = [
        {
            "paths": ["a.bin"],
            "weights": [
                {"name": "u8", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint8", **scaled}},
                {"name": "u16", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint16", **scaled}},
                {
                    "name": "i",
                    "shape": [2],
                    "dtype": "int32",
                    "quantization": {"dtype": "uint8", "scale": 0.5, "min": -3.0},
                },
            ],
        },
        {
            "paths": ["b.bin"],
            "weights": [{"name": "h", "shape": [2, 2], "dtype": "float32", "quantization": {"dtype": "float16"}}],
        },
    ]
    found = read_weights(tmp_path, manifest)
    assert found["u8"].tolist() == [-1, np.float32(3 * third - 1)]
    assert found["u16"].tolist() == [np.float32(2 * third - 1), np.float32(65535 * third - 1)]
    assert found["i"].tolist() == [-2, -1]  # -2.5 and -1.5
    assert found["i"].dtype == np.int32
    assert found["h"].tolist() == [[1, 2**-24], [-65504, 0]]
    assert np.signbit(found["h"][1, 1])


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda d, m: (d / "group1-shard2of2.bin").unlink(), "missing-weights", "group1-shard2of2.bin"),
        (lambda d, m: (d / "group1-shard2of2.bin").write_bytes(b"\0" * 3), "weights-size", "'b' ends at byte 24"),
        (lambda d, m: (d / "group1-shard2of2.bin").write_bytes(b"\0" * 5), "weights-size", "take 24 bytes"),
        (lambda d, m: m[0]["paths"].append("../outside.bin"), "unsafe-path", "../outside.bin"),
        (lambda d, m: m[0]["paths"].append(str(d.parent / "outside.bin")), "unsafe-path", "outside.bin"),
        (lambda d, m: m[0]["paths"].append("link.bin"), "unsafe-path", "link.bin"),
        (lambda d, m: m[0]["paths"].append("."), "unsafe-path", "'.'"),
        (lambda d, m: m[0]["paths"].append(7), "bad-manifest", "a path is 7"),
        (lambda d, m: m[0].pop("weights"), "bad-manifest", "'weights' is missing"),
        (lambda d, m: m[0]["weights"][1].update(name="a"), "bad-manifest", "several weights are called 'a'"),
        (lambda d, m: m[0]["weights"][1].update(shape=[-1]), "bad-manifest", "the shape"),
        (lambda d, m: m[0]["weights"][1].update(dtype="uint8"), "bad-manifest", "'uint8'"),
        (lambda d, m: m[0]["weights"][1].update(quantization={"dtype": "uint4"}), "bad-manifest", "'uint4'"),
        (
            lambda d, m: m[0]["weights"][1].update(quantization={"dtype": "uint8", "min": 0}),
            "bad-manifest",
            "scale=None",
        ),
        (
            lambda d, m: m[0]["weights"][1].update(quantization={"dtype": "uint8", "min": 0, "scale": float("nan")}),
            "bad-manifest",
            "a finite number",
        ),
        (lambda d, m: m.append(None), "bad-manifest", "NoneType"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_an_error(tmp_path, change, code, words):
    directory = tmp_path / "model"
    directory.mkdir()
    (tmp_path / "outside.bin").write_bytes(b"\0" * 4)
    (directory / "link.bin").symlink_to(tmp_path / "outside.bin")
    weights = [Weight("a", np.ones(5, np.float32)), Weight("b", np.ones(1, np.float32))]
    manifest = write_shards(directory, weights, 20)
    change(directory, manifest)
    with pytest.raises(SourceError) as caught:
        read_weights(directory, manifest)
    assert caught.value.code == code
    assert words in caught.value.message
