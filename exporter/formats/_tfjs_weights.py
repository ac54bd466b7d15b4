"""The weight files and model.json that both TF.js formats share.

The layout is the one TF.js' loaders expect (`WeightsManifestConfig` in tfjs-core/src/io/types.ts, and upstream's
python/tensorflowjs/write_weights.py): the bytes of all weights of a group are concatenated in manifest order and cut
every `shard_size` bytes, wherever that falls; the loader concatenates the shards again and walks through the specs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporter.formats import Option, parse_size

# name in the manifest -> little-endian NumPy dtype, as `decodeWeight` in tfjs-core/src/io/io_utils.ts reads them
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int32": np.dtype("<i4"),
    "bool": np.dtype("?"),
    "complex64": np.dtype("<c8"),
}

SHARD_SIZE = Option(
    "4MiB", "largest size of one weight file, e.g. 4MiB (browsers cache files up to that size)", parse_size
)


@dataclass(frozen=True)
class Weight:
    """One named tensor: an array of float32, int32, bool or complex64, or an object array of `bytes`."""

    name: str
    data: NDArray[Any]

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
        return {"name": self.name, "shape": list(self.data.shape), "dtype": self.dtype}

    def encode(self) -> bytes:
        """The bytes of the tensor in C order; a string is its length (uint32, little-endian) and its bytes."""
        if self.dtype == "string":
            return b"".join(struct.pack("<I", len(s)) + s for s in self.data.reshape(-1).tolist())
        # not ascontiguousarray: it would turn a scalar into shape (1,)
        return np.asarray(self.data, dtype=_DTYPES[self.dtype], order="C").tobytes()

    @property
    def nbytes(self) -> int:
        if self.dtype == "string":
            return sum(4 + len(s) for s in self.data.reshape(-1).tolist())
        return int(self.data.size) * _DTYPES[self.dtype].itemsize


def write_shards(directory: Path, weights: Sequence[Weight], shard_size: int) -> list[dict[str, Any]]:
    """Write `group1-shard{K}of{N}.bin` and return the `weightsManifest`.

    No weights make no file and an empty list of paths, which the loaders take.

    Raises:
        ValueError: two weights have one name (a loader keeps the last only), or a dtype TF.js cannot read.
    """
    names = [w.name for w in weights]
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"several weights are called {', '.join(twice)}")
    total = sum(w.nbytes for w in weights)
    count = -(-total // shard_size)
    paths = [f"group1-shard{k + 1}of{count}.bin" for k in range(count)]
    for path, shard in zip(paths, _cut((w.encode() for w in weights), shard_size), strict=True):
        (directory / path).write_bytes(shard)
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

    Raises:
        ValueError: the document holds NaN or an infinity, which is not JSON and which no browser parses.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    (directory / "model.json").write_text(text, encoding="ascii")
