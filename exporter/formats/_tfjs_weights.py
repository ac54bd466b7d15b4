"""The weight files and model.json that both TF.js formats share, written and read.

The layout is the one TF.js' loaders expect (`WeightsManifestConfig` in tfjs-core/src/io/types.ts, and upstream's
python/tensorflowjs/write_weights.py): the bytes of all weights of a group are concatenated in manifest order and cut
every `shard_size` bytes, wherever that falls; the loader concatenates the shards again and walks through the specs.
Values are read as `decodeWeight` in tfjs-core/src/io/io_utils.ts reads them.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.errors import SourceError
from exporter.formats import Option, parse_size
from exporter.formats._quantization import one_of
from exporter.tensors import Array

# name in the manifest -> little-endian NumPy dtype, as `decodeWeight` in tfjs-core/src/io/io_utils.ts reads them
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int32": np.dtype("<i4"),
    "bool": np.dtype("?"),
    "complex64": np.dtype("<c8"),
}

NUMBERS = ("float32", "int32", "bool")  # dtypes that the gate of stored weights compares
# how a quantized weight is stored, and what it may stand for
_STORED: Mapping[str, np.dtype[Any]] = {
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "float16": np.dtype("<f2"),
}
_QUANTIZABLE = {"uint8": ("float32", "int32"), "uint16": ("float32", "int32"), "float16": ("float32",)}
_AGAIN = "convert or copy the model again"

SHARD_SIZE = Option(
    "4MiB", "largest size of one weight file, e.g. 4MiB (browsers cache files up to that size)", parse_size
)


SHARD_NAMES = Option(
    "plain",
    "plain: group1-shard1of2.bin as TF.js names them; hashed: with eight digits of the content's sha256, for caches",
    one_of("plain", "hashed"),
)


@dataclass(frozen=True, eq=False)
class Weight:
    """One named tensor: an array of float32, int32, bool or complex64, or an object array of `bytes`.

    Attributes:
        stored: codes in place of the values, of a weight that is quantized.
        quantization: the manifest's entry of those codes; empty for a weight that is stored as it is.
        layer: the Keras layer that it is made from, if it is one's.
    """

    name: str
    data: NDArray[Any]
    stored: NDArray[Any] | None = None
    quantization: Mapping[str, Any] = field(default_factory=dict)
    layer: Any = None

    @property
    def dtype(self) -> str:
        """The manifest's name of the dtype. Raises ValueError for one TF.js cannot read."""
        if self.data.dtype == object:
            return "string"
        if self.data.dtype.name not in _DTYPES:
            raise ValueError(f"weight {self.name!r}: TF.js cannot read {self.data.dtype.name}")
        return self.data.dtype.name

    @property
    def spec(self) -> dict[str, Any]:
        entry = {"name": self.name, "shape": list(self.data.shape), "dtype": self.dtype}
        return {**entry, "quantization": dict(self.quantization)} if self.quantization else entry

    @property
    def codes(self) -> NDArray[Any]:
        """What is stored: codes of a quantized weight, the values of another."""
        return self.data if self.stored is None else self.stored

    def encode(self) -> bytes:
        """The bytes of the tensor in C order; a string is its length (uint32, little-endian) and its bytes."""
        if self.dtype == "string":
            return b"".join(struct.pack("<I", len(s)) + s for s in self.data.reshape(-1).tolist())
        # not ascontiguousarray: it would turn a scalar into shape (1,)
        return np.asarray(self.codes, dtype=self._layout, order="C").tobytes()

    @property
    def nbytes(self) -> int:
        if self.dtype == "string":
            return sum(4 + len(s) for s in self.data.reshape(-1).tolist())
        return int(self.data.size) * self._layout.itemsize

    @property
    def _layout(self) -> np.dtype[Any]:
        return _STORED[self.quantization["dtype"]] if self.quantization else _DTYPES[self.dtype]


def write_shards(
    directory: Path, weights: Sequence[Weight], shard_size: int, *, hashed: bool = False
) -> list[dict[str, Any]]:
    """Write `group1-shard{K}of{N}.bin`, ceil(bytes / shard_size) of them, and return the `weightsManifest`.

    `hashed` puts the first eight digits of each file's sha256 into its name. No weights make no file and an empty list
    of paths, which the loaders take.

    Raises:
        ValueError: two weights have one name (a loader keeps the last only), or a dtype TF.js cannot read.
    """
    names = [w.name for w in weights]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"several weights are called {', '.join(twice)}")
    count = -(-sum(w.nbytes for w in weights) // shard_size)
    paths = []
    for number, shard in enumerate(_cut((w.encode() for w in weights), shard_size), 1):
        digest = f"-{hashlib.sha256(shard).hexdigest()[:8]}" if hashed else ""
        paths.append(f"group1-shard{number}of{count}{digest}.bin")
        (directory / paths[-1]).write_bytes(shard)
    return [{"paths": paths, "weights": [w.spec for w in weights]}]


def _cut(blobs: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Join the blobs and cut them every `size` bytes, holding little more than one shard or one blob."""
    pending = bytearray()
    for blob in blobs:
        pending += blob
        start = 0
        while len(pending) - start >= size:
            yield bytes(pending[start : start + size])
            start += size
        del pending[:start]
    if pending:
        yield bytes(pending)


def write_model_json(directory: Path, document: Mapping[str, Any]) -> None:
    """Write `model.json` with sorted keys and no white space, so that equal models make equal bytes.

    Only the inputs and outputs of `signature` keep their order: TF.js takes and returns tensors in that of their keys.

    Raises:
        ValueError: the document holds NaN or an infinity, which is not JSON and which no browser parses.
    """
    ordered = _sorted_keys(document)
    if "signature" in document:
        sides = sorted(document["signature"].items())
        ordered["signature"] = {side: {n: _sorted_keys(info) for n, info in tensors.items()} for side, tensors in sides}
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    (directory / "model.json").write_text(text, encoding="ascii")


def _sorted_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted_keys(value[key]) for key in sorted(value)}
    return [_sorted_keys(item) for item in value] if isinstance(value, list | tuple) else value


def read_weights(directory: Path, manifest: Any) -> dict[str, Array]:
    """The weights that a `weightsManifest` beside `directory/model.json` describes, as TF.js would have them.

    Args:
        directory: of model.json and its weight files; no path may leave it.
        manifest: the parsed list of groups, quantized or not, of any number of shards.

    Returns:
        Name -> float32, int32, bool or complex64 array, or an object array of `bytes`, in the manifest's order.

    Raises:
        SourceError: a file is missing, of another size than its weights, or outside of the directory; the manifest is
            none, or holds what TF.js cannot decode.
    """
    found: dict[str, Array] = {}
    for spec, stored in stored_weights(directory, manifest):
        if spec["name"] in found:
            raise SourceError("bad-manifest", f"several weights are called {spec['name']!r}", _AGAIN)
        found[spec["name"]] = decoded(spec, stored)
    return found


def read_weights_of(model_json: Path) -> dict[str, Array]:
    """`read_weights` of a model.json. Raises SourceError also where that is no JSON with a manifest."""
    return read_weights(model_json.parent, manifest_of(model_json))


def manifest_of(model_json: Path) -> Any:
    """The `weightsManifest` of a model.json, unchecked. Raises SourceError where there is none."""
    try:
        return json.loads(model_json.read_text(encoding="utf-8"))["weightsManifest"]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            "bad-manifest", f"{model_json} holds no weights manifest of TF.js: {error!r}", _AGAIN
        ) from error


def stored_weights(directory: Path, manifest: Any) -> list[tuple[Mapping[str, Any], Array]]:
    """Each weight's entry of the manifest, and its values as they are stored: still quantized. Raises as above."""
    found: list[tuple[Mapping[str, Any], Array]] = []
    for group in _groups(manifest):
        data = b"".join(_read_shard(directory, path) for path in group["paths"])
        position = 0
        for spec in group["weights"]:
            array, position = _stored(spec, data, position)
            found.append((spec, array))
        if position != len(data):
            raise SourceError(
                "weights-size",
                f"the weights take {position} bytes, their files hold {len(data)}: {_listed(group)}",
                _AGAIN,
            )
    return found


def decoded(spec: Mapping[str, Any], stored: Array) -> Array:
    """The values that TF.js computes from stored ones: in double precision, rounded once to the weight's dtype.

    An int32 is rounded as JavaScript's Math.round does it, halves up.

    Raises:
        SourceError: the range of codes goes beyond int32.
    """
    quantization = spec.get("quantization")
    if quantization is None:
        return stored
    if quantization["dtype"] == "float16":
        return stored.astype(np.float32)
    values: Array = stored.astype(np.float64) * quantization["scale"] + quantization["min"]
    if spec["dtype"] == "float32":
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    rounded = np.floor(values + 0.5)
    if np.any(np.abs(rounded) >= 2.0**31):
        raise SourceError("bad-manifest", f"weight {spec['name']!r} is quantized with a range beyond int32", _AGAIN)
    return rounded.astype(np.int32)


def _groups(manifest: Any) -> Sequence[Mapping[str, Any]]:
    """The manifest itself, when all that is read of it is there."""
    try:
        if not isinstance(manifest, list):
            raise TypeError("it is no list of groups")
        for group in manifest:
            for path in group["paths"]:
                if not isinstance(path, str):
                    raise TypeError(f"a path is {path!r}")
            for spec in group["weights"]:
                _check_spec(spec)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        missing = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise SourceError(
            "bad-manifest", f"the weights manifest is not one that TF.js reads: {missing}", _AGAIN
        ) from error
    return manifest


def _check_spec(spec: Mapping[str, Any]) -> None:
    """Raises ValueError, KeyError or TypeError for an entry that TF.js could not decode."""
    name, dtype = spec["name"], spec["dtype"]
    if not isinstance(name, str) or not all(isinstance(d, int) and d >= 0 for d in spec["shape"]):
        raise ValueError(f"weight {name!r} has the shape {spec['shape']!r}")
    quantization = spec.get("quantization")
    if quantization is None:
        if dtype != "string" and dtype not in _DTYPES:
            raise ValueError(f"weight {name!r} is {dtype!r}, expected string, {', '.join(_DTYPES)}")
        return
    stored = quantization["dtype"]
    if dtype not in _QUANTIZABLE.get(stored, ()):
        raise ValueError(f"weight {name!r} is {dtype} quantized to {stored!r}")
    for key in ("scale", "min") if stored != "float16" else ():
        value = quantization.get(key)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"weight {name!r} is quantized with {key}={value!r}, expected a finite number")


def _stored(spec: Mapping[str, Any], data: bytes, position: int) -> tuple[Array, int]:
    """The stored values of a weight that begins at a byte position, and the position behind them."""
    shape = tuple(spec["shape"])
    count = math.prod(shape)
    if spec["dtype"] == "string":
        return _strings(spec, data, position)
    quantization = spec.get("quantization")
    dtype = _DTYPES[spec["dtype"]] if quantization is None else _STORED[quantization["dtype"]]
    end = position + count * dtype.itemsize
    if end > len(data):
        raise _too_short(spec, end, data)
    return np.frombuffer(data, dtype, count, position).reshape(shape), end


def _strings(spec: Mapping[str, Any], data: bytes, position: int) -> tuple[Array, int]:
    found = np.empty(tuple(spec["shape"]), dtype=object)
    flat = found.reshape(-1)
    for index in range(flat.size):
        if position + 4 > len(data):
            raise _too_short(spec, position + 4, data)
        begin = position + 4
        position = begin + struct.unpack_from("<I", data, position)[0]
        if position > len(data):
            raise _too_short(spec, position, data)
        flat[index] = data[begin:position]
    return found, position


def _too_short(spec: Mapping[str, Any], end: int, data: bytes) -> SourceError:
    return SourceError(
        "weights-size",
        f"weight {spec['name']!r} ends at byte {end}, and the weight files hold {len(data)} bytes",
        _AGAIN,
    )


def _read_shard(directory: Path, path: str) -> bytes:
    root = directory.resolve()
    found = (root / path).resolve()  # also of a link, which may lead out
    if "://" in path or not found.is_relative_to(root) or found == root:
        raise SourceError(
            "unsafe-path", f"the weights manifest names {path!r}, which is outside the model's directory", _AGAIN
        )
    if not found.is_file():
        raise SourceError(
            "missing-weights", f"the weights manifest names {path!r}, and there is no such file in {directory}", _AGAIN
        )
    return found.read_bytes()


def _listed(group: Mapping[str, Any]) -> str:
    paths = group["paths"]
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "") if paths else "none"
