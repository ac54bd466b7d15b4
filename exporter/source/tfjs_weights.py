"""The weights of a TF.js model as those of a source: finite numbers, and no name with two meanings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import SourceError
from exporter.formats._tfjs_weights import decoded, stored_weights
from exporter.tensors import Array

_CAUSES = {
    "float16": "; its values were too large for float16",
    "uint8": "; its quantization goes beyond float32",
    "uint16": "; its quantization goes beyond float32",
}


def read_weights(directory: Path, manifest: Any) -> dict[str, Array]:
    """Name -> array of every weight that a `weightsManifest` lists, quantized ones decoded.

    Raises:
        SourceError: as `stored_weights`; or two different weights have one name, or a value is no finite number.
    """
    found: dict[str, Array] = {}
    for spec, stored in stored_weights(directory, manifest):
        value = decoded(spec, stored)
        _check_finite(spec, value)
        # a layer of two nested models is listed twice
        if not np.array_equal(found.setdefault(spec["name"], value), value):
            raise SourceError(
                "bad-manifest",
                f"model.json: two weights are called {spec['name']!r}, and a layer could take either",
                "convert or copy the model again",
            )
    return found


def _check_finite(spec: Mapping[str, Any], values: Array) -> None:
    if values.dtype.kind not in "fc" or np.isfinite(values).all():
        return
    cause = _CAUSES.get((spec.get("quantization") or {}).get("dtype", ""), "")
    raise SourceError(
        "weights-not-finite",
        f"weight {spec['name']!r} holds {int(np.sum(~np.isfinite(values)))} values that are NaN or infinite{cause}",
        "save the model again from its source",
    )
