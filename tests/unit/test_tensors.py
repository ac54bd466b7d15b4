"""The safetensors codec: every dtype bit for bit, every memory layout, strings as bytes, and no malformed file read."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporter import tensors
from exporter.tensors import DTYPES, TensorFileError, as_strings, dtype_name, dumps, loads, zeros

VECTORS = Path(__file__).parents[1] / "vectors"
INDEX: dict[str, Any] = json.loads((VECTORS / "vectors.json").read_text())


def bits(array: np.ndarray) -> bytes:
    return np.asarray(array, order="C").tobytes()


def same(a: np.ndarray, b: np.ndarray) -> bool:
    if dtype_name(a) == "string":
        return a.shape == b.shape and as_strings(a).reshape(-1).tolist() == as_strings(b).reshape(-1).tolist()
    return a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)


def random_bits(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Uniformly random bits: NaN payloads, subnormals and infinities included."""
    rng = np.random.default_rng(seed)
    kind = DTYPES[dtype][1]
    count = int(np.prod(shape))
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    return np.frombuffer(rng.bytes(count * kind.itemsize), kind).reshape(shape).copy()


def strings(values: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 7), (2, 3, 4, 5)])
def test_every_dtype_round_trips_bit_for_bit(dtype: str, shape: tuple[int, ...]) -> None:
    array = random_bits(dtype, shape)
    back = loads(dumps({"x": array}))["x"]
    assert same(back, array)
    assert back.flags.writeable
    assert back.flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_are_written_in_c_order(dtype: str) -> None:
    base = random_bits(dtype, (4, 6), 1)
    layouts = {
        "transposed": base.T,
        "fortran": np.asfortranarray(base),
        "strided": base[::2, 1::3],
        "reversed": base[::-1, ::-1],
        "broadcast": np.broadcast_to(base[:1], (3, 6)),
        "moved": np.moveaxis(base.reshape(2, 2, 6), 0, 2),
    }
    back = loads(dumps(layouts))
    assert back.keys() == layouts.keys()
    for name, array in layouts.items():
        assert same(back[name], np.array(array, order="C")), name


def test_the_public_writer_corrupts_what_ours_does_not() -> None:
    """The reason this codec exists; when it fails, the public package was fixed and the docstring is stale."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert not np.array_equal(safetensors.numpy.load(safetensors.numpy.save({"x": array}))["x"], array)
    assert np.array_equal(loads(dumps({"x": array}))["x"], array)


def test_big_endian_arrays_keep_their_values() -> None:
    array = np.array([1.5, -2.0, 3e30], ">f4")
    back = loads(dumps({"x": array}))["x"]
    assert back.dtype == np.dtype("<f4")
    assert back.tolist() == array.tolist()


def test_nan_payloads_and_signed_zero_survive() -> None:
    array = np.array([0x7FC12345, 0xFF812345, 0x80000000, 1], "<u4").view("<f4")
    assert bits(loads(dumps({"x": array}))["x"]) == bits(array)


ODD = [b"", b"\x00", b"a\x00", b"\xff\xfe\x80", b"\xed\xa0\x80", "größe 😀".encode(), bytes(range(256))]


@pytest.mark.parametrize("shape", [(7,), (1, 7), (7, 1, 1)])
def test_strings_are_bytes(shape: tuple[int, ...]) -> None:
    array = strings(ODD, shape)
    back = loads(dumps({"s": array}))["s"]
    assert back.shape == shape
    assert back.dtype == object
    assert back.reshape(-1).tolist() == ODD


@pytest.mark.parametrize(("values", "shape"), [([], (0,)), ([], (2, 0)), ([b"only"], ()), ([b""], ())])
def test_strings_of_rank_zero_and_of_no_elements(values: list[bytes], shape: tuple[int, ...]) -> None:
    back = loads(dumps({"s": strings(values, shape)}))["s"]
    assert back.shape == shape
    assert back.reshape(-1).tolist() == values


def test_text_becomes_utf8_and_other_objects_are_refused() -> None:
    assert as_strings(np.array([["é", "b"]])).tolist() == [["é".encode(), b"b"]]
    assert as_strings(np.array("x")).item() == b"x"
    with pytest.raises(TensorFileError, match="holds a int"):
        as_strings(np.array([b"x", 3], object))
    with pytest.raises(TensorFileError, match="NoneType"):
        dumps({"s": np.array([None], object)})


@pytest.mark.parametrize("value", [np.array(["2020-01-01"], "M8[D]"), np.zeros(2, np.complex128), np.zeros(1, "V8")])
def test_a_dtype_we_do_not_know_is_refused_by_name(value: np.ndarray) -> None:
    with pytest.raises(TensorFileError, match=re.escape(value.dtype.name) + " is not supported.*float32"):
        dumps({"x": value})


@pytest.mark.parametrize("name", ["__metadata__", "a#b", "x#bytes"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(TensorFileError, match="reserved"):
        dumps({name: np.zeros(1, np.float32)})


def test_every_tensor_starts_at_a_multiple_of_its_item_size() -> None:
    """Readers map the file: a misaligned float64 is a fault in JavaScript's typed arrays and slow everywhere."""
    data = dumps({d: random_bits(d, (3,)) for d in DTYPES} | {"s": strings(ODD, (7,))})
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    sizes = {tag: kind.itemsize for tag, kind in DTYPES.values()}
    assert (8 + size) % 8 == 0
    assert all(e["data_offsets"][0] % sizes[e["dtype"]] == 0 for e in header.values())


def test_writing_is_deterministic() -> None:
    a, b = random_bits("float32", (3,)), strings(ODD, (7,))
    assert dumps({"a": a, "b": b}) == dumps({"a": a, "b": b})


numeric = st.sampled_from([d for d in DTYPES if d not in ("bfloat16",)]).flatmap(
    lambda d: hnp.arrays(DTYPES[d][1], hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
text = st.lists(st.binary(max_size=9), max_size=6).map(lambda v: strings(v, (len(v),)))
names = st.text(max_size=12).filter(lambda n: "#" not in n and n != "__metadata__")


@settings(max_examples=80)
@given(st.dictionaries(names, numeric | text, max_size=5))
def test_whatever_is_written_is_read_back(values: dict[str, np.ndarray]) -> None:
    back = loads(dumps(values))
    assert back.keys() == values.keys()
    assert all(same(back[n], values[n]) for n in values)


@settings(max_examples=200)
@given(st.data())
def test_damage_is_refused_or_leaves_whole_tensors(data: st.DataObject) -> None:
    """No byte of a file can be changed into an exception other than ours, or into a tensor of another size."""
    good = dumps({"x": np.arange(6, dtype="<i4").reshape(2, 3), "s": strings([b"ab", b""], (2,))})
    position = data.draw(st.integers(0, len(good) - 1))
    bad = good[:position] + bytes([data.draw(st.integers(0, 255))]) + good[position + 1 :]
    try:
        found = loads(bad)
    except TensorFileError:
        return
    assert sum(a.nbytes if a.dtype != object else sum(map(len, a.reshape(-1))) for a in found.values()) <= len(bad)


@settings(max_examples=60)
@given(st.integers(min_value=0, max_value=10_000))
def test_a_truncated_file_is_refused(cut: int) -> None:
    good = dumps({"x": np.arange(6, dtype="<i4"), "s": strings([b"ab", b"c"], (2,))})
    with pytest.raises(TensorFileError):
        loads(good[: cut % len(good)])


def test_load_and_save_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    tensors.save(path, {"x": np.zeros(2, np.float32)})
    assert tensors.load(path)["x"].tolist() == [0, 0]
    path.write_bytes(b"short")
    with pytest.raises(TensorFileError, match=r"t\.safetensors.*5 bytes"):
        tensors.load(path)
    with pytest.raises(FileNotFoundError):
        tensors.load(tmp_path / "absent")


@pytest.mark.parametrize("dtype", [*DTYPES, "string"])
@pytest.mark.parametrize("shape", [(), (2, 3), (0, 4)])
def test_zeros(dtype: str, shape: tuple[int, ...]) -> None:
    made = zeros(dtype, shape)
    assert made.shape == shape
    assert dtype_name(made) == dtype
    assert set(made.reshape(-1).tolist()) <= {b"" if dtype == "string" else 0}


# -- the public package, both ways

PUBLIC = [d for d in DTYPES if d not in ("bfloat16", "complex64")]


@pytest.mark.parametrize("dtype", PUBLIC)
def test_the_public_package_reads_what_we_write(dtype: str) -> None:
    values = {"a": random_bits(dtype, (3, 4)), "b": random_bits(dtype, ()), "c": random_bits(dtype, (0, 2))}
    back = safetensors.numpy.load(dumps(values))
    assert all(same(back[n], values[n]) for n in values)


@pytest.mark.parametrize("dtype", PUBLIC)
def test_we_read_what_the_public_package_writes(dtype: str) -> None:
    values = {"a": random_bits(dtype, (3, 4)), "b": random_bits(dtype, ()), "c": random_bits(dtype, (0, 2))}
    back = loads(safetensors.numpy.save(values, metadata={"format": "np"}))
    assert all(same(back[n], values[n]) for n in values)


def test_bfloat16_and_strings_are_valid_for_the_public_parser() -> None:
    data = dumps({"h": random_bits("bfloat16", (4,)), "c": random_bits("complex64", (2,)), "s": strings(ODD, (7,))})
    parsed = dict(safetensors.deserialize(data))
    assert {n: t["dtype"] for n, t in parsed.items()} == {
        "h": "BF16",
        "c": "C64",
        "s#bytes": "U8",
        "s#offsets": "I64",
    }
    assert bytes(parsed["s#bytes"]["data"]) == b"".join(ODD)


# -- the vectors that every language reads


@pytest.mark.parametrize("file", INDEX["good"])
def test_shared_vectors(file: str) -> None:
    data = (VECTORS / file).read_bytes()
    found = loads(data)
    listed = INDEX["good"][file]
    assert sorted(found) == [e["name"] for e in listed]
    for entry in listed:
        array = found[entry["name"]]
        assert dtype_name(array) == entry["dtype"], entry["name"]
        assert list(array.shape) == entry["shape"], entry["name"]
        raw = bits(array)
        if entry["dtype"] == "string":
            flat = array.reshape(-1).tolist()
            raw = np.cumsum([0, *map(len, flat)]).astype("<i8").tobytes() + b"".join(flat)
        assert hashlib.sha256(raw).hexdigest() == entry["sha256"], entry["name"]
    assert dumps({n: found[n] for n in sorted(found)}) == data


def test_every_vector_file_is_listed() -> None:
    on_disk = {p.relative_to(VECTORS).as_posix() for p in VECTORS.rglob("*.safetensors")}
    assert on_disk == set(INDEX["good"]) | set(INDEX["bad"])


@pytest.mark.parametrize("file", INDEX["bad"])
def test_malformed_vectors_are_refused(file: str) -> None:
    with pytest.raises(TensorFileError, match=Path(file).stem):
        tensors.load(VECTORS / file)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"x":{"dtype":["U8"],"shape":[8],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"U8","shape":[true,8],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"U8","shape":8,"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"x#bytes":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}',
        b'{"x":{"dtype":"U8","shape":[' + b",".join([b"1"] * 70) + b',8],"data_offsets":[0,8]}}',
        b"null",
    ],
)
def test_more_malformed_headers(header: bytes) -> None:
    with pytest.raises(TensorFileError):
        loads(struct.pack("<Q", len(header)) + header + bytes(8))


def test_bfloat16_is_the_ml_dtypes_type() -> None:
    array = np.array([1.0, -0.5], ml_dtypes.bfloat16)
    assert loads(dumps({"x": array}))["x"].dtype == ml_dtypes.bfloat16
