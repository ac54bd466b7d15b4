"""Tensors as safetensors files, bit for bit, in every dtype the project knows.

Why not the published NumPy binding: it silently writes wrong values for non-contiguous arrays (every transpose),
cannot read bfloat16 without help, and has no strings. The file format is
https://huggingface.co/docs/safetensors (8-byte little-endian header length, JSON header, raw little-endian data);
our files keep all its rules, so any safetensors reader opens them.

Strings are bytes, not text: tensor `x` is stored as `x#bytes` (U8) and `x#offsets` (I64, n+1 entries), with its
shape as a JSON list under `x#shape` in `__metadata__`. In memory a string tensor is an object array of `bytes`.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = dict[str, Array]

# name -> (safetensors tag, numpy dtype); "string" has no tag of its own
DTYPES: Mapping[str, tuple[str, np.dtype]] = {
    "bool": ("BOOL", np.dtype("?")),
    "uint8": ("U8", np.dtype("u1")),
    "int8": ("I8", np.dtype("i1")),
    "uint16": ("U16", np.dtype("<u2")),
    "int16": ("I16", np.dtype("<i2")),
    "float16": ("F16", np.dtype("<f2")),
    "bfloat16": ("BF16", np.dtype(ml_dtypes.bfloat16)),
    "uint32": ("U32", np.dtype("<u4")),
    "int32": ("I32", np.dtype("<i4")),
    "float32": ("F32", np.dtype("<f4")),
    "uint64": ("U64", np.dtype("<u8")),
    "int64": ("I64", np.dtype("<i8")),
    "float64": ("F64", np.dtype("<f8")),
    "complex64": ("C64", np.dtype("<c8")),
}
_BY_TAG = dict(DTYPES.values())
_MAX_HEADER = 100_000_000  # the limit of the reference implementation


class TensorFileError(ValueError):
    """A file is not a readable safetensors file, or a tensor cannot be stored in one."""


def dtype_name(array: Array) -> str:
    """Name of an array's dtype as in `DTYPES`, or "string" for bytes and text.

    Raises:
        TensorFileError: the dtype is none of ours (datetime, record …).
    """
    dtype = np.asarray(array).dtype
    if dtype.kind in "OSU":
        return "string"
    name = dtype.name
    if name not in DTYPES:
        raise TensorFileError(f"dtype {name} is not supported; known: {', '.join(DTYPES)}, string")
    return name


def as_strings(array: Array) -> Array:
    """Any array of str or bytes -> object array of bytes (text as UTF-8), same shape.

    Raises:
        TensorFileError: an element is neither str nor bytes.
    """
    source = np.asarray(array)
    out = np.empty(source.shape, dtype=object)
    flat = source.reshape(-1).tolist() if source.ndim else [source.item()]
    for i, value in enumerate(flat):
        if isinstance(value, str):
            value = value.encode()
        elif not isinstance(value, bytes):
            raise TensorFileError(f"string tensor holds a {type(value).__name__}, expected str or bytes")
        out[np.unravel_index(i, source.shape) if source.ndim else ()] = value
    return out


def as_text(array: Array) -> Array:
    """An array of strings -> object array of str, same shape. Raises `UnicodeDecodeError` for what is no UTF-8."""
    flat = [value.decode() for value in as_strings(array).reshape(-1)]
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(np.shape(array))


def _encode_strings(name: str, array: Array) -> tuple[Tensors, str]:
    flat = as_strings(array).reshape(-1).tolist()
    offsets = np.zeros(len(flat) + 1, np.int64)
    np.cumsum([len(b) for b in flat], out=offsets[1:]) if flat else None
    data = np.frombuffer(b"".join(flat), np.uint8)
    return {f"{name}#bytes": data, f"{name}#offsets": offsets}, json.dumps(list(np.shape(array)))


def dumps(tensors: Mapping[str, Array]) -> bytes:
    """Serialize named arrays of any layout (transposed, 0-d, empty) to one safetensors byte string.

    Raises:
        TensorFileError: unsupported dtype, or a name that uses the reserved `#` or is `__metadata__`.
    """
    plain: Tensors = {}
    metadata: dict[str, str] = {}
    for name, value in tensors.items():
        if "#" in name or name == "__metadata__":
            raise TensorFileError(f"tensor name {name!r} is reserved")
        if dtype_name(value) == "string":
            parts, metadata[f"{name}#shape"] = _encode_strings(name, value)
            plain.update(parts)
        else:
            plain[name] = np.asarray(value)
    # largest items first, then by name: every tensor starts at a multiple of its item size
    order = sorted(plain, key=lambda n: (-plain[n].dtype.itemsize, n))
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    blobs: list[bytes] = []
    position = 0
    for name in order:
        array = plain[name]
        tag, dtype = DTYPES[dtype_name(array)]
        # np.ascontiguousarray would turn a 0-d array into shape (1,)
        blob = np.asarray(array, dtype=dtype, order="C").tobytes(order="C")
        if len(blob) != array.size * dtype.itemsize:
            raise TensorFileError(f"tensor {name!r}: {len(blob)} bytes for shape {array.shape} of {dtype}")
        header[name] = {
            "dtype": tag,
            "shape": list(array.shape),
            "data_offsets": [position, position + len(blob)],
        }
        position += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def loads(data: bytes, where: str = "tensor data") -> Tensors:
    """Parse one safetensors byte string; arrays are writable copies in C order.

    Raises:
        TensorFileError: truncated, holes, overlaps, unknown dtype, or a broken string pair. `where` names the file.
    """
    if len(data) < 8:
        raise TensorFileError(f"{where}: {len(data)} bytes is too short for a safetensors file")
    (size,) = struct.unpack_from("<Q", data)
    if size > min(_MAX_HEADER, len(data) - 8):
        raise TensorFileError(f"{where}: header of {size} bytes does not fit into {len(data)} bytes")
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = header.pop("__metadata__", {})
        shapes = {k.removesuffix("#shape"): json.loads(v) for k, v in metadata.items() if k.endswith("#shape")}
        entries = sorted((_entry(name, info) for name, info in header.items()), key=lambda e: (e.begin, e.end))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise TensorFileError(f"{where}: unreadable safetensors header ({error!r})") from None
    body = memoryview(data)[8 + size :]
    position = 0
    raw: Tensors = {}
    for begin, end, name, dtype, shape in entries:
        if begin != position or end - begin != math.prod(shape) * dtype.itemsize or end > len(body):
            raise TensorFileError(f"{where}: tensor {name!r} occupies bytes {begin}..{end}, expected {position}..")
        raw[name] = _shaped(np.frombuffer(body[begin:end], dtype), shape, f"{where}: tensor {name!r}").copy()
        position = end
    if position != len(body):
        raise TensorFileError(f"{where}: {len(body) - position} bytes after the last tensor")
    out: Tensors = {}
    for name, array in raw.items():
        base, mark, part = name.partition("#")
        if not mark:
            out[name] = array
        elif part == "bytes" and base not in raw:
            out[base] = _decode_strings(base, array, raw.get(f"{base}#offsets"), shapes.get(base), where)
        elif part != "offsets" or f"{base}#bytes" not in raw:
            raise TensorFileError(f"{where}: {name!r} is no part of a string tensor (#bytes with #offsets)")
    return out


class _Entry(NamedTuple):
    """One tensor of a header; every number is a non-negative integer."""

    begin: int
    end: int
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


def _entry(name: str, info: Mapping[str, Any]) -> _Entry:
    dtype = _BY_TAG.get(info["dtype"])
    if dtype is None:
        raise TypeError(f"tensor {name!r} has unknown dtype {info['dtype']!r}")
    begin, end = _counts(info["data_offsets"], name)
    return _Entry(begin, end, name, dtype, _counts(info["shape"], name))


def _counts(values: Iterable[Any], name: str) -> tuple[int, ...]:
    found = tuple(values)
    if not all(type(n) is int and n >= 0 for n in found):
        raise TypeError(f"tensor {name!r} has {list(found)} where only counts can be")
    return found


def _shaped(flat: Array, shape: tuple[int, ...], what: str) -> Array:
    try:
        return flat.reshape(shape)
    except ValueError as error:  # NumPy has limits of its own on rank and on a single dimension
        raise TensorFileError(f"{what} has shape {list(shape)}: {error}") from None


def _decode_strings(name: str, data: Array, offsets: Array | None, shape: Any, where: str) -> Array:
    what = f"{where}: string tensor {name!r}"
    if offsets is None or shape is None:
        raise TensorFileError(f"{what} lacks its offsets or its shape")
    if data.dtype != np.uint8 or offsets.dtype != np.int64 or data.ndim != 1 or offsets.ndim != 1:
        raise TensorFileError(f"{what} is not a vector of U8 bytes and a vector of I64 offsets")
    try:
        dims = _counts(shape, name)
    except TypeError as error:
        raise TensorFileError(f"{what}: {error}") from None
    bounds = [int(o) for o in offsets.tolist()]
    count = math.prod(dims)
    if len(bounds) != count + 1 or bounds[0] != 0 or bounds[-1] != data.size or bounds != sorted(bounds):
        raise TensorFileError(f"{what} has inconsistent offsets")
    blob = data.tobytes()
    flat = np.empty(count, dtype=object)
    for i in range(count):
        flat[i] = blob[bounds[i] : bounds[i + 1]]
    return _shaped(flat, dims, what)


def save(path: str | os.PathLike[str], tensors: Mapping[str, Array]) -> None:
    """Write `tensors` to `path`. Raises `TensorFileError` as `dumps`, and OSError."""
    Path(path).write_bytes(dumps(tensors))


def load(path: str | os.PathLike[str]) -> Tensors:
    """Read a safetensors file. Raises `TensorFileError` as `loads`, and OSError."""
    return loads(Path(path).read_bytes(), where=str(path))


def zeros(dtype: str, shape: tuple[int, ...]) -> Array:
    """An all-zero (or all-empty-string) array of a named dtype."""
    if dtype == "string":
        out = np.empty(shape, dtype=object)
        out.fill(b"")
        return out
    return np.zeros(shape, DTYPES[dtype][1])
