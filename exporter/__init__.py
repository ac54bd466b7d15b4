"""Export TensorFlow/Keras models, run every artifact in its own runtime, and compare the outputs numerically.

Everything public is reached from here and imported on first use, so that `import exporter` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from exporter.api import compare_files, convert, inspect, run, sensitivity, train, verify
    from exporter.bundle import Bundle
    from exporter.convert_options import ConvertOptions
    from exporter.errors import ExporterError
    from exporter.layerwise import LayerSensitivity, Sensitivity
    from exporter.model import Recipe, Signature, TensorSpec, Tolerance
    from exporter.parity.cases import CaseOptions
    from exporter.parity.report import Report
    from exporter.parity.session import RunOptions
    from exporter.protocol.crew import standing_crew

_PUBLIC = {
    "convert": "exporter.api",
    "verify": "exporter.api",
    "run": "exporter.api",
    "train": "exporter.api",
    "inspect": "exporter.api",
    "compare_files": "exporter.api",
    "sensitivity": "exporter.api",
    "Sensitivity": "exporter.layerwise",
    "LayerSensitivity": "exporter.layerwise",
    "Bundle": "exporter.bundle",
    "Report": "exporter.parity.report",
    "Tolerance": "exporter.model",
    "Signature": "exporter.model",
    "TensorSpec": "exporter.model",
    "Recipe": "exporter.model",
    "ExporterError": "exporter.errors",
    "ConvertOptions": "exporter.convert_options",
    "CaseOptions": "exporter.parity.cases",
    "RunOptions": "exporter.parity.session",
    "standing_crew": "exporter.protocol.crew",
}
__all__ = [
    "Bundle",
    "CaseOptions",
    "ConvertOptions",
    "ExporterError",
    "LayerSensitivity",
    "Recipe",
    "Report",
    "RunOptions",
    "Sensitivity",
    "Signature",
    "TensorSpec",
    "Tolerance",
    "compare_files",
    "convert",
    "inspect",
    "run",
    "sensitivity",
    "standing_crew",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'exporter' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
