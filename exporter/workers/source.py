"""The source worker: opens the source once, computes the reference, and runs every writer.

Ops: `open` (build or load, stage, describe), `layers` (their names), `reference` (own outputs for a file of inputs),
`probe` (whether it agrees with itself), `write` (one recipe into one directory), `bye`. TensorFlow is imported once per
conversion, here.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from exporter import feeding, tensors
from exporter.errors import SourceError
from exporter.formats import Refused
from exporter.formats.registry import format_named
from exporter.model import Entry, Json
from exporter.workers.importing import import_tensorflow
from exporter.workers.serve import PROTOCOL, Operation, Unsupported, check_hello, find_operation, serve

if TYPE_CHECKING:
    from exporter.source.source import Source


class SourceHandler:
    """The ops of the source worker over one `Source`; also used in the caller's process for a model object."""

    def __init__(self, source: Source | None = None) -> None:
        self.source = source
        self._operations: Mapping[str, Operation] = {
            "hello": self._op_hello,
            "open": self._op_open,
            "layers": self._op_layers,
            "reference": self._op_reference,
            "probe": self._op_probe,
            "write": self._op_write,
            "sensitivity": self._op_sensitivity,
            "expect": self._op_expect,
            "weights": self._op_weights,
        }

    def __call__(self, op: str, request: Mapping[str, Any]) -> Json:
        operation = find_operation(op, self._operations)
        # a worker that replaces another one has not asked the model itself
        if self.source is not None and request.get("independent"):
            self.source.mark_independent(request["independent"])
        return operation(request)

    def _op_hello(self, request: Mapping[str, Any]) -> Json:
        check_hello(request, ["source"])
        return {
            "protocol": PROTOCOL,
            "runtime": "source",
            "versions": versions(),
            "formats": [],
            "dtypes": [],
            "casts": {},
        }

    def _op_open(self, request: Mapping[str, Any]) -> Json:
        from exporter.source import opening

        self.source, facts = opening.open_source(request["spec"], Path(request["staging"]))
        return {
            "source": facts.pop("source"),
            "signatures": [s.to_json() for s in self.source.signatures.values()],
            "facts": facts,
        }

    def _op_layers(self, request: Mapping[str, Any]) -> Json:
        """The names that a selection of layers can be made of."""
        return {"layers": list(self._opened().layers)}

    def _op_reference(self, request: Mapping[str, Any]) -> Json:
        inputs = tensors.load(request["inputs"])
        began = time.perf_counter_ns()
        source = self._opened()
        parts = feeding.portions(inputs, request.get("most"))
        outputs = feeding.joined([source.reference(request["signature"], part) for part in parts])
        elapsed = time.perf_counter_ns() - began
        tensors.save(request["outputs"], outputs)
        return {"elapsed_ns": elapsed}

    def _op_probe(self, request: Mapping[str, Any]) -> Json:
        """Which outputs are random, and which depend on the rest of the batch."""
        from exporter.source.probing import probe

        return probe(self._opened(), request["signature"], tensors.load(request["inputs"]))

    def _op_write(self, request: Mapping[str, Any]) -> Json:
        source = self._prepared(request)
        source.keep_float = tuple(request.get("keep_float", ()))
        source.metadata = request.get("metadata", {})
        source.random = {name: frozenset(outputs) for name, outputs in request.get("random", {}).items()}
        source.rewind()
        try:
            written = format_named(request["format"]).write(source, Path(request["directory"]), request["options"])
        except Refused as refusal:
            raise Unsupported(str(refusal)) from refusal
        quantization = dict(written.quantization)
        if quantization:
            from exporter.source.joining import find_joining_layers

            quantization["joining"] = find_joining_layers(source)
        return {
            "entries": {k: e.to_json() for k, e in written.entries.items()},
            "unavailable": dict(written.unavailable),
            "rewrites": list(written.rewrites),
            "versions": dict(written.versions),
            "needs_code": list(written.needs_code),
            "needs": list(written.needs),
            "quantization": quantization,
        }

    def _op_sensitivity(self, request: Mapping[str, Any]) -> Json:
        """What each layer loses by being quantized."""
        source, measure = self._prepared(request), format_named(request["format"]).sensitivity
        assert measure is not None
        inputs = {s: tensors.load(path) for s, path in request["inputs"].items()}
        try:
            return measure(source, request["options"], inputs)
        except Refused as refusal:
            raise Unsupported(str(refusal)) from refusal

    def _prepared(self, request: Mapping[str, Any]) -> Source:
        """The source with what a request brings: example inputs, and rows to measure activations on."""
        source = self._opened()
        source.examples = {s: tensors.load(path) for s, path in request["examples"].items()}
        source.calibration = {s: tensors.load(path) for s, path in request["calibration"].items()}
        return source

    def _op_expect(self, request: Mapping[str, Any]) -> Json:
        """What an artifact that was just written is to give, apart from the source's own outputs."""
        source, expected = self._opened(), format_named(request["format"]).expected
        assert expected is not None
        signature = source.signatures[request["signature"]]
        entry = Entry.from_json(request["entry"])
        inputs, directory = tensors.load(request["inputs"]), Path(request["directory"])
        kinds = []
        for kind, outputs in expected(source, directory, entry, request["options"], signature, inputs).items():
            path = Path(request["outputs"][kind])
            path.parent.mkdir(parents=True, exist_ok=True)
            tensors.save(path, outputs)
            kinds.append(kind)
        return {"kinds": kinds}

    def _op_weights(self, request: Mapping[str, Any]) -> Json:
        """The source's weights by the names that they have in an artifact."""
        source, weights = self._opened(), format_named(request["format"]).weights
        assert weights is not None
        found = weights(source, Path(request["directory"]), Entry.from_json(request["entry"]), request["options"])
        tensors.save(request["outputs"], {name: np.asarray(array, order="C") for name, array in found.items()})
        return {"tensors": len(found)}

    def _opened(self) -> Source:
        if self.source is None:
            raise SourceError("not-open", "no source is open", "send `open` first")
        return self.source


def versions() -> dict[str, str]:
    """Versions of what computes the reference; Keras' as installed, because not every worker imports it."""
    import numpy
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": version("keras"),
        "numpy": numpy.__version__,
    }


def quiet() -> None:
    """Silence what TensorFlow and the converters say on every run; errors still reach the log."""
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)


def main() -> None:
    # Keras imports scikit-learn for wrappers that only code can ask for
    import_tensorflow(without=("sklearn",) if "--files-only" in sys.argv else ())
    quiet()
    serve(SourceHandler())


if __name__ == "__main__":
    main()
