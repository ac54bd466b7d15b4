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
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
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
_BY_TAG = {tag: dtype for tag, dtype in DTYPES.values()}
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
        entries = sorted(
            ((v["data_offsets"][0], v["data_offsets"][1], k, v) for k, v in header.items()),
            key=lambda e: (e[0], e[1]),
        )
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise TensorFileError(f"{where}: unreadable safetensors header ({error})") from None
    body = memoryview(data)[8 + size :]
    position, raw = 0, {}
    for begin, end, name, info in entries:
        dtype = _BY_TAG.get(info.get("dtype"))
        if dtype is None:
            raise TensorFileError(f"{where}: tensor {name!r} has unknown dtype {info.get('dtype')!r}")
        shape = tuple(info["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        if begin != position or end - begin != count * dtype.itemsize or end > len(body):
            raise TensorFileError(f"{where}: tensor {name!r} occupies bytes {begin}..{end}, expected {position}..")
        raw[name] = np.frombuffer(body[begin:end], dtype).reshape(shape).copy()
        position = end
    if position != len(body):
        raise TensorFileError(f"{where}: {len(body) - position} bytes after the last tensor")
    out: Tensors = {}
    for name, array in raw.items():
        base, _, part = name.partition("#")
        if not part:
            out[name] = array
        elif part == "bytes":
            out[base] = _decode_strings(base, array, raw.get(f"{base}#offsets"), metadata, where)
    return out


def _decode_strings(
    name: str, data: Array, offsets: Array | None, metadata: Mapping[str, str], where: str
) -> Array:
    if offsets is None or f"{name}#shape" not in metadata:
        raise TensorFileError(f"{where}: string tensor {name!r} lacks its offsets or its shape")
    shape = tuple(json.loads(metadata[f"{name}#shape"]))
    bounds = [int(o) for o in offsets.tolist()]
    count = int(np.prod(shape, dtype=np.int64))
    if len(bounds) != count + 1 or bounds[0] != 0 or bounds[-1] != data.size or bounds != sorted(bounds):
        raise TensorFileError(f"{where}: string tensor {name!r} has inconsistent offsets")
    blob = data.tobytes()
    flat = np.empty(count, dtype=object)
    for i in range(count):
        flat[i] = blob[bounds[i] : bounds[i + 1]]
    return flat.reshape(shape)


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
