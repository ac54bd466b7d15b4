"""Write the tensor files that every codec (Python, JavaScript, JVM) must read, and write back, to the last bit.

Deterministic: running it again must leave the directory unchanged. Run from the repository's root:
`python tests/vectors/make.py`. What the files hold and how to use them: README.md beside this file.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from exporter import tensors as codec  # noqa: E402  (the checkout's own, not an installed one)

SPECIAL_FLOATS = {
    # sign/exponent/fraction corners per format, as integers: ±0, subnormals, ±1, largest, ±inf,
    # quiet NaN, quiet NaN with payload, signalling NaN (positive and negative)
    "float16": ("<u2", [0, 0x8000, 1, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0x7C00, 0xFC00,
                        0x7E00, 0x7E5A, 0x7D01, 0xFD01]),
    "bfloat16": ("<u2", [0, 0x8000, 1, 0x007F, 0x0080, 0x3F80, 0xBF80, 0x7F7F, 0x7F80, 0xFF80,
                         0x7FC0, 0x7FDA, 0x7F81, 0xFF81]),
    "float32": ("<u4", [0, 0x80000000, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0xBF800000, 0x7F7FFFFF,
                        0x7F800000, 0xFF800000, 0x7FC00000, 0x7FC12345, 0x7F800001, 0xFF812345]),
    "float64": ("<u8", [0, 1 << 63, 1, (1 << 52) - 1, 1 << 52, 0x3FF << 52, 0xBFF << 52, (0x7FF << 52) - 1,
                        0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, 0x7FF8000012345678, 0x7FF0000000000001,
                        0xFFF0000000012345]),
}  # fmt: skip


def random_bits(dtype: str, shape: tuple[int, ...], seed: int) -> codec.Array:
    """A tensor of uniformly random bits (bool: random truth values, its only valid patterns)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    kind = codec.DTYPES[dtype][1]
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == "bool":
        return rng.integers(0, 2, count).astype(bool).reshape(shape)
    return np.frombuffer(rng.bytes(count * kind.itemsize), kind).reshape(shape).copy()


def strings(values: list[bytes], shape: tuple[int, ...]) -> codec.Array:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out.reshape(shape)


def good_files() -> dict[str, codec.Tensors]:
    specials: codec.Tensors = {
        name: np.array(bits, kind).view(codec.DTYPES[name][1]) for name, (kind, bits) in SPECIAL_FLOATS.items()
    }
    specials["complex64"] = np.concatenate([specials["float32"], specials["float32"][::-1]]).view("<c8")
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        limits = np.iinfo(name)
        specials[name] = np.array([limits.min, limits.max, 0, 1, limits.max - 1], codec.DTYPES[name][1])
    texts = [b"", b"plain", "größe €😀".encode(), b"\x00", b"a\x00b\x00", b"\xff\xfe\x80", b"\xed\xa0\x80",
             b"\xef\xbb\xbfBOM", b"line\nbreak\r", b'"quoted\\"', bytes(range(256)), b""]  # fmt: skip
    return {
        "nothing": {},
        "dtypes": {d: random_bits(d, (3, 7), 1000 + i) for i, d in enumerate(codec.DTYPES)},
        "specials": specials,
        "scalars": {d: random_bits(d, (), 2000 + i) for i, d in enumerate(codec.DTYPES)},
        "empties": {
            f"{d}/{'x'.join(map(str, s))}": np.zeros(s, codec.DTYPES[d][1])
            for d in codec.DTYPES
            for s in ((0,), (2, 0, 3))
        },
        "ranks": {
            "rank8": random_bits("int16", (1, 2, 1, 2, 1, 2, 1, 2), 3000),
            "transposed": random_bits("float32", (4, 3), 3001).T,
            "sliced": random_bits("int64", (6, 4), 3002)[::2, 1:],
        },
        "strings": {
            "empty": strings([], (0,)),
            "empty2": strings([], (2, 0)),
            "matrix": strings(texts, (3, 4)),
            "scalar": strings([b"\xc3("], ()),
            "scalar-empty": strings([b""], ()),
            "vector": strings(texts[::-1], (12,)),
        },
        # integer-like names move to the front of JavaScript objects; U+FF21 and U+1F600 sort differently by
        # UTF-16 unit and by code point; the rest needs JSON escapes
        "names": {
            n: np.array([i], "<i4")
            for i, n in enumerate(
                [
                    "",
                    "1",
                    "0",
                    "10",
                    "a/b:0",
                    'q"uote',
                    "back\\slash",
                    "tab\t\x01\x7f",
                    "\u2028",
                    "\uff21",
                    "😀",
                    "é",
                    "__proto__",
                    "constructor",
                    "data_offsets",
                ]
            )
        },
        "mixed": {
            "flags": random_bits("bool", (5,), 4000),
            "weights": random_bits("float64", (3,), 4001),
            "words": strings([b"x", b"", b"yz"], (3,)),
        },
    }


def raw_bytes(array: codec.Array) -> bytes:
    """What a vector's checksum is over: the C-order data, or for strings the int64 offsets and then the bytes."""
    if codec.dtype_name(array) != "string":
        return np.asarray(array, codec.DTYPES[codec.dtype_name(array)][1], order="C").tobytes()
    flat = array.reshape(-1).tolist()
    ends = np.cumsum([0, *map(len, flat)]).astype("<i8")
    return ends.tobytes() + b"".join(flat)


def file_of(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: object, shape: object, offsets: object) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def bad_files() -> dict[str, tuple[str, bytes]]:
    """name -> (what is wrong, content). Every codec must refuse each with its own tensor-file error."""
    u8, eight = entry("U8", [8], [0, 8]), bytes(range(8))
    offsets = struct.pack("<3q", 0, 1, 2)

    def pair(
        shape: object = "[2]", ends: bytes = offsets, ends_tag: str = "I64", data_tag: str = "U8", data: bytes = b"ab"
    ) -> bytes:
        size = 8 if ends_tag == "I64" else 4
        header: dict[str, object] = {} if shape is None else {"__metadata__": {"s#shape": shape}}
        header["s#offsets"] = entry(ends_tag, [len(ends) // size], [0, len(ends)])
        header["s#bytes"] = entry(data_tag, [len(data)], [len(ends), len(ends) + len(data)])
        return file_of(header, ends + data)

    return {
        "empty-file": ("no bytes at all", b""),
        "seven-bytes": ("shorter than the length field", b"\x00" * 7),
        "length-beyond-file": ("header length larger than the file", file_of({"x": u8}, eight, 10_000)),
        "length-huge": ("header length of 2**64 - 1", file_of({"x": u8}, eight, 2**64 - 1)),
        "length-zero": ("empty header", struct.pack("<Q", 0)),
        "not-json": ("header is not JSON", file_of(b"{x: 1}")),
        "not-utf8": ("header is not UTF-8", file_of(b'{"\xff":' + json.dumps(u8).encode() + b"}", eight)),
        "not-object": ("header is a list", file_of([u8], eight)),
        "metadata-list": ("__metadata__ is a list", file_of({"__metadata__": [1], "s#bytes": u8}, eight)),
        "entry-list": ("an entry is a list", file_of({"x": ["U8", [8], [0, 8]]}, eight)),
        "no-dtype": ("dtype missing", file_of({"x": {"shape": [8], "data_offsets": [0, 8]}}, eight)),
        "no-shape": ("shape missing", file_of({"x": {"dtype": "U8", "data_offsets": [0, 8]}}, eight)),
        "no-offsets": ("data_offsets missing", file_of({"x": {"dtype": "U8", "shape": [8]}}, eight)),
        "one-offset": ("data_offsets has one entry", file_of({"x": entry("U8", [8], [0])}, eight)),
        "unknown-dtype": ("dtype F8_E4M3 is not ours", file_of({"x": entry("F8_E4M3", [8], [0, 8])}, eight)),
        "lowercase-dtype": ("tags are upper case", file_of({"x": entry("u8", [8], [0, 8])}, eight)),
        "shape-negative": ("two negative dimensions", file_of({"x": entry("U8", [-2, -4], [0, 8])}, eight)),
        "shape-fraction": ("a fractional dimension", file_of({"x": entry("U8", [8.5], [0, 8])}, eight)),
        "shape-text": ("a dimension is text", file_of({"x": entry("U8", ["8"], [0, 8])}, eight)),
        "shape-overflow": ("2**32 * 2**32 wraps to 0", file_of({"x": entry("U8", [2**32, 2**32], [0, 0])})),
        "shape-too-large": ("shape needs more bytes", file_of({"x": entry("U8", [9], [0, 8])}, eight)),
        "shape-too-small": ("shape needs fewer bytes", file_of({"x": entry("U8", [7], [0, 8])}, eight)),
        "item-size": ("8 bytes are not 8 float32", file_of({"x": entry("F32", [8], [0, 8])}, eight)),
        "offset-negative": ("begins before the data", file_of({"x": entry("U8", [8], [-8, 0])}, eight)),
        "offset-reversed": ("ends before it begins", file_of({"x": entry("U8", [8], [8, 0])}, eight)),
        "offset-fraction": ("offsets are fractions", file_of({"x": entry("U8", [8], [0.5, 8.5])}, eight)),
        "hole-first": ("a gap before the first tensor", file_of({"x": entry("U8", [4], [4, 8])}, eight)),
        "hole-between": (
            "a gap between two tensors",
            file_of({"x": entry("U8", [2], [0, 2]), "y": entry("U8", [4], [4, 8])}, eight),
        ),
        "overlap": (
            "two tensors share bytes",
            file_of({"x": entry("U8", [6], [0, 6]), "y": entry("U8", [4], [4, 8])}, eight),
        ),
        "same-bytes": ("two tensors on the same bytes", file_of({"x": u8, "y": u8}, eight)),
        "truncated": ("data ends early", file_of({"x": u8}, eight[:-1])),
        "trailing": ("data after the last tensor", file_of({"x": u8}, eight + b"\x00")),
        "strings-no-offsets": (
            "bytes without offsets",
            file_of({"__metadata__": {"s#shape": "[1]"}, "s#bytes": u8}, eight),
        ),
        "strings-no-bytes": (
            "offsets without bytes",
            file_of({"__metadata__": {"s#shape": "[0]"}, "s#offsets": entry("I64", [1], [0, 8])}, b"\x00" * 8),
        ),
        "strings-no-shape": ("no s#shape in the metadata", pair(shape=None)),
        "strings-shape-broken": ("s#shape is not JSON", pair(shape="[2")),
        "strings-shape-number": ("s#shape is not text", pair(shape=2)),
        "strings-shape-negative": ("s#shape has negative dimensions", pair(shape="[-1, -2]")),
        "strings-count": ("three strings by shape, two by offsets", pair(shape="[3]")),
        "strings-start": ("first offset is not 0", pair(ends=struct.pack("<3q", 1, 1, 2))),
        "strings-end": ("last offset is not the number of bytes", pair(ends=struct.pack("<3q", 0, 1, 1))),
        "strings-order": ("offsets decrease", pair(ends=struct.pack("<3q", 0, 3, 2))),
        "strings-negative": ("a negative offset", pair(ends=struct.pack("<3q", 0, -1, 2))),
        "strings-offsets-dtype": ("offsets are I32", pair(ends=struct.pack("<3i", 0, 1, 2), ends_tag="I32")),
        "strings-bytes-dtype": ("bytes are I8", pair(data_tag="I8")),
        "strings-unknown-part": ("s#colour is no part of a string", file_of({"s#colour": u8}, eight)),
    }


def main() -> None:
    index: dict[str, Any] = {"good": {}, "bad": {}}
    for name, tensors in good_files().items():
        # sorted, so that reading a file and writing it again gives the same bytes whatever a reader's order is
        data = codec.dumps({k: tensors[k] for k in sorted(tensors)})
        (HERE / f"{name}.safetensors").write_bytes(data)
        index["good"][f"{name}.safetensors"] = [
            {
                "name": key,
                "dtype": codec.dtype_name(tensors[key]),
                "shape": list(tensors[key].shape),
                "sha256": hashlib.sha256(raw_bytes(tensors[key])).hexdigest(),
            }
            for key in sorted(tensors)
        ]
    (HERE / "malformed").mkdir(exist_ok=True)
    for name, (why, data) in bad_files().items():
        (HERE / "malformed" / f"{name}.safetensors").write_bytes(data)
        index["bad"][f"malformed/{name}.safetensors"] = why
    (HERE / "vectors.json").write_text(json.dumps(index, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
