"""Reading the weight files of a TF.js model: every path, size and number is checked before it is believed.

The layout is that of `WeightsManifestConfig` (tfjs-core/src/io/types.ts); quantized values are decoded as
`decodeWeight` in tfjs-core/src/io/io_utils.ts does: `v * scale + min` in float64, rounded to float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import SourceError
from exporter.tensors import Array

# dtype in the manifest -> little-endian NumPy dtype
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int32": np.dtype("<i4"),
    "bool": np.dtype("?"),
    "complex64": np.dtype("<c8"),
}
_QUANTIZED: Mapping[str, np.dtype[Any]] = {
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "float16": np.dtype("<f2"),
}
_AGAIN = "convert or copy the model again"


def read_weights(directory: Path, manifest: Any) -> dict[str, Array]:
    """Name -> array of every weight that a `weightsManifest` lists, quantized ones decoded.

    Raises:
        SourceError: the manifest is malformed, a file is missing, outside of the directory or of the wrong size, two
            different weights have one name, or a value is no finite number.
    """
    if not isinstance(manifest, list) or not all(isinstance(group, Mapping) for group in manifest):
        raise _bad("weightsManifest is no list of groups")
    found: dict[str, Array] = {}
    for group in manifest:
        paths, specs = group.get("paths"), group.get("weights")
        if not isinstance(paths, list) or not isinstance(specs, list):
            raise _bad("a group of weightsManifest has no paths or no weights")
        data = b"".join(_shard(directory, path).read_bytes() for path in paths)
        sizes = [_size(spec) for spec in specs]
        if sum(sizes) != len(data):
            raise SourceError(
                "weights-size",
                f"the weights of {', '.join(paths) or 'a group without files'} take {sum(sizes)} bytes, "
                f"and the files hold {len(data)}",
                _AGAIN,
            )
        start = 0
        for spec, size in zip(specs, sizes, strict=True):
            value = _decode(spec, data[start : start + size])
            # a layer of two nested models is listed twice
            if not np.array_equal(found.setdefault(spec["name"], value), value):
                raise _bad(f"two weights are called {spec['name']!r}, and a layer could take either")
            start += size
    return found


def _bad(what: str) -> SourceError:
    return SourceError("bad-manifest", f"model.json: {what}", _AGAIN)


def _shard(directory: Path, path: Any) -> Path:
    """The file of one path in the manifest, links resolved; it must be below the directory."""
    if not isinstance(path, str):
        raise _bad(f"{path!r} is no path of a weight file")
    root = directory.resolve()
    file = (root / path).resolve()
    if "://" in path or Path(path).is_absolute() or not file.is_relative_to(root):
        raise SourceError(
            "unsafe-path",
            f"model.json names the weight file {path!r}, which is outside of its directory",
            "put the weight files beside model.json and name them there",
        )
    if not file.is_file():
        raise SourceError(
            "missing-weights",
            f"model.json names the weight file {path!r}, which is not there",
            "copy all files of the model",
        )
    return file


def _size(spec: Any) -> int:
    """Bytes of one weight. Raises SourceError for an entry that says something else than TF.js reads."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise _bad("a weight has no name")
    name, shape, dtype = spec["name"], spec.get("shape"), spec.get("dtype")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise _bad(f"weight {name!r} has the shape {shape!r}")
    if dtype not in _DTYPES:
        raise _bad(f"weight {name!r} is {dtype!r}, expected {', '.join(_DTYPES)}")
    return math.prod(shape) * _stored(spec).itemsize


def _stored(spec: Mapping[str, Any]) -> np.dtype[Any]:
    how = spec.get("quantization")
    if how is None:
        return _DTYPES[spec["dtype"]]
    allowed = {"float32": ("uint8", "uint16", "float16"), "int32": ("uint8", "uint16")}.get(spec["dtype"], ())
    kind = how.get("dtype") if isinstance(how, Mapping) else None
    if kind not in allowed:
        raise _bad(f"weight {spec['name']!r} ({spec['dtype']}) is quantized as {kind!r}, expected one of {allowed}")
    if kind != "float16":
        for key in ("scale", "min"):
            if type(how.get(key)) not in (int, float) or not math.isfinite(how[key]):
                raise _bad(f"weight {spec['name']!r} is quantized with {key}={how.get(key)!r}, expected a number")
    return _QUANTIZED[str(kind)]


def _decode(spec: Mapping[str, Any], data: bytes) -> Array:
    values: Array = np.frombuffer(data, _stored(spec))
    how = spec.get("quantization") or {}
    with np.errstate(over="ignore"):
        if how.get("dtype") in ("uint8", "uint16"):
            exact = values.astype(np.float64) * how["scale"] + how["min"]
            # JavaScript's Math.round: halves go up
            values = np.floor(exact + 0.5) if spec["dtype"] == "int32" else exact
            if spec["dtype"] == "int32" and np.any(np.abs(values) >= 2.0**31):
                raise _bad(f"weight {spec['name']!r} is quantized with a range beyond int32")
        values = values.astype(_DTYPES[spec["dtype"]].newbyteorder("="))
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        count = int(np.sum(~np.isfinite(values)))
        cause = {
            "float16": "; its values were too large for float16",
            "uint8": "; its quantization goes beyond float32",
            "uint16": "; its quantization goes beyond float32",
        }.get(how.get("dtype", ""), "")
        raise SourceError(
            "weights-not-finite",
            f"weight {spec['name']!r} holds {count} values that are NaN or infinite{cause}",
            "save the model again from its source",
        )
    return values.reshape(spec["shape"])
