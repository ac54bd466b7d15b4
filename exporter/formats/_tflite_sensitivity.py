"""What each layer of a quantized flatbuffer costs: the noise that goes and the bytes that come where it is float.

One float flatbuffer and one calibration serve all layers: quantizing again takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter import feeding
from exporter.formats import Refused
from exporter.formats import _tflite_weights as stored
from exporter.formats._tflite_layers import Operation
from exporter.formats.tflite import Converted
from exporter.model import Json
from exporter.parity.compare import is_float
from exporter.parity.slices import find_slicings
from exporter.selection import Scopes
from exporter.tensors import Array, Tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.source.source import Source

Quantized = Mapping[str, bytes]  # file -> flatbuffer


def measure(
    source: Source,
    made: Converted,
    found: Mapping[str, list[Operation]],
    quantized: Callable[[Sequence[str]], Quantized],
    inputs: Mapping[str, Tensors],
) -> Json:
    """Noise and size of everything quantized, and of that with some layers float.

    Those are each layer that has weights, and together the layers that join what an output is made of.

    Args:
        made: the float flatbuffers.
        found: their operations, by file.
        quantized: the files with these layers float.
        inputs: signature -> input -> rows to run.

    Returns:
        {"noise", "bytes", "float_bytes", "layers": [{"layers", "noise", "bytes"}]}; noise is the mean square of the
        error over that of the source's output, of the part with the most of it where slices differ in scale, averaged
        over the outputs (0 without error); null where an output is not finite.

    Raises:
        Refused: a file cannot take the rows, or no output is a real number.
    """
    from exporter.source.joining import find_joining_layers

    for name, rows in inputs.items():
        reason = feeding.refusal(source.signatures[name], made.entries[name], rows)
        if reason:
            raise Refused(f"{reason}; give --inputs with rows of that shape")
    expected = {name: source.reference(name, rows) for name, rows in inputs.items()}
    if not any(is_float(array) for outputs in expected.values() for array in outputs.values()):
        raise Refused("no output of the model is a real number, so noise has no measure")

    def facts(files: Quantized) -> Json:
        return {"noise": _noise(source, made, files, inputs, expected), "bytes": _bytes(files)}

    every = quantized(())
    joining = [tuple(layers) for outputs in find_joining_layers(source).values() for layers in outputs.values()]
    groups = [*((layer,) for layer in weighted_layers(made, found, every)), *joining]
    return {
        **facts(every),
        "float_bytes": _bytes(made.files),
        "layers": [{"layers": list(layers), **facts(quantized(layers))} for layers in dict.fromkeys(groups)],
    }


def weighted_layers(made: Converted, found: Mapping[str, list[Operation]], files: Quantized) -> Iterator[str]:
    """The layers that some quantized weight belongs to, each once: the innermost ones."""
    scopes: dict[str, tuple[str, ...]] = {}
    weighted: set[str] = set()
    for name in made.entries:
        weighted |= made.traced(name).weighted
        for layer, own in made.traced(name).layers.items():
            scopes[layer] = (*scopes.get(layer, ()), *own)
    seen: set[str] = set()
    for file, operations in found.items():
        weights = {stored.original(n) for n, weight in stored.weights(files[file]).items() if weight.step is not None}
        for operation in operations:
            if operation.layers and weights.intersection(operation.constants):
                layer = _innermost(operation, scopes, weighted)
                if layer not in seen:
                    seen.add(layer)
                    yield layer


def _innermost(operation: Operation, scopes: Scopes, weighted: set[str]) -> str:
    """The layer inside of all others; of several in a row that became one operation, the first that has weights.

    `scopes` is in the order of the calls, and there a layer comes before what is inside of it.
    """
    own = [layer for layer in scopes if layer in operation.layers]
    around = {a for a in own for b in own if b.startswith(f"{a}/") and scopes[a] != scopes[b]}
    inner = [layer for layer in own if layer not in around]
    return next((layer for layer in inner if layer in weighted), inner[0])


def _bytes(files: Quantized) -> int:
    return sum(len(model) for model in files.values())


def _noise(
    source: Source, made: Converted, files: Quantized, inputs: Mapping[str, Tensors], expected: Mapping[str, Tensors]
) -> float | None:
    shares = []
    for name, rows in inputs.items():
        entry = made.entries[name]
        model = files[entry.path]
        entry = replace(entry, interface=stored.interface(model, entry.key))
        outputs = feeding.run(source.signatures[name], entry, rows, _runner(model, entry.key))
        slicings = find_slicings({"rows": expected[name]})
        for output, wanted in expected[name].items():
            if is_float(wanted) and wanted.size:
                mixed = [slicing for slicing in slicings[output] if slicing.mixed]
                pairs = [(s.take(outputs[output], part), s.take(wanted, part)) for s in mixed for part in s.parts]
                shares.append(max(_share(got, own) for got, own in pairs or [(outputs[output], wanted)]))
    noise = float(np.mean(shares))
    return noise if np.isfinite(noise) else None


def _share(got: Array, wanted: Array) -> float:
    """The mean square of the error over that of what is wanted."""
    wide = wanted.astype(np.float64)
    return float(np.mean((got.astype(np.float64) - wide) ** 2)) / (float(np.mean(wide**2)) or 1.0)


def _runner(model: bytes, key: str) -> Callable[[Tensors], Tensors]:
    """A signature in LiteRT, as the runtime `litert` has it."""
    from ai_edge_litert.interpreter import Interpreter

    runner: Any = Interpreter(model_content=model).get_signature_runner(key)
    return lambda inputs: {n: np.array(v) for n, v in runner(**inputs).items()}
