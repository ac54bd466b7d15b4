"""What the backends of TF.js 4.22 lack, or compute wrongly, of the ops in a graph: known before a file is written.

`LACKING` is what the live kernel registries differ by (a test compares). `_WRONG` holds the ops of which the wasm
backend has a kernel that is wrong in some uses, as far as the writers leave them in a file. Both are made good in a
page, as in our own workers, by the module that `MODULE` names (runtimes/js/src/wasm-kernels), so a file that needs it
says so; `backends=wasm` refuses such a file instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.formats import Option, Refused
from exporter.formats._tfjs_calls import outermost

BACKENDS = ("cpu", "webgl", "wasm")
MODULE = "exporter's wasm-kernels"
_COMPLEX = frozenset({"Complex", "ComplexAbs", "FFT", "IFFT", "Imag", "Real", "RFFT", "IRFFT"})
_RAGGED = frozenset({"RaggedGather", "RaggedRange", "RaggedTensorToTensor"})
LACKING: Mapping[str, frozenset[str]] = {
    "cpu": frozenset(),
    "webgl": frozenset(),
    "wasm": frozenset({"Einsum", "StaticRegexReplace"}) | _COMPLEX | _RAGGED,
}
# no complex tensor can live in the wasm backend
BEYOND_MODULE = _COMPLEX
_STRING = 7  # DT_STRING


def _is(attribute: str, dtype: int) -> Callable[[Any], bool]:
    return lambda node: int(node.attr[attribute].type) == dtype


_WRONG: Mapping[str, Callable[[Any], bool]] = {
    "Equal": _is("T", _STRING),
    "GatherV2": lambda node: node.attr["batch_dims"].i > 0,
    "MaxPool3D": lambda node: True,
    "NotEqual": _is("T", _STRING),
}


# layers of TF.js that run such an op
_CONVOLUTIONS = ("Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_LAYERS = {"MaxPooling3D": "MaxPool3D", "Conv3DTranspose": "Conv3DBackpropInputV2"}


@dataclass(frozen=True)
class Gap:
    """An op that a backend has no right kernel for, with the layers it comes from."""

    backend: str
    op: str
    layers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.op} ({', '.join(f'layer {layer!r}' for layer in self.layers)})" if self.layers else self.op


def gaps(graph_def: Any, layers_of: Callable[[str], Iterable[str]]) -> tuple[Gap, ...]:
    """What each backend lacks for a graph. `layers_of` gives the layers that a node of this name belongs to."""
    found: dict[tuple[str, str], set[str]] = {}
    for node in graph_def.node:
        backends = [b for b in BACKENDS if node.op in LACKING[b]]
        if node.op in _WRONG and _WRONG[node.op](node):
            backends.append("wasm")
        for backend in backends:
            found.setdefault((backend, node.op), set()).update(layers_of(node.name))
    return tuple(Gap(backend, op, outermost(layers)) for (backend, op), layers in sorted(found.items()))


def op_of_layer(kind: str, config: Mapping[str, Any], shape: Sequence[int | None]) -> str:
    """The op that the wasm backend computes wrongly for a layer of TF.js on inputs of a shape; empty if it is right."""
    if kind in _LAYERS:
        return _LAYERS[kind]
    return "Conv2D" if kind in _CONVOLUTIONS and config["padding"] == "same" and _skips(config, shape[1:-1]) else ""


def _skips(config: Mapping[str, Any], sizes: Sequence[int | None]) -> bool:
    """Whether strides are longer than the kernel and leave out the last rows, or may do so: sizes can be unknown."""
    kernel, strides, dilation = (_each(config[k], len(sizes)) for k in ("kernel_size", "strides", "dilation_rate"))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    return any(
        k > 1 and r < s and (n is None or (math.ceil(n / s) - 1) * s + r < n)
        for k, r, s, n in zip(kernel, reach, strides, sizes, strict=True)
    )


def _each(value: Any, count: int) -> Sequence[int]:
    return (value if len(value) == count else [*value] * count) if isinstance(value, Sequence) else [value] * count


def needs(found: Sequence[Gap]) -> tuple[str, ...]:
    """One sentence for each backend that cannot run the file as it is."""
    said = []
    for backend in BACKENDS:
        own = [gap for gap in found if gap.backend == backend]
        beyond = [gap for gap in own if backend != "wasm" or gap.op in BEYOND_MODULE]
        listed = ", ".join(dict.fromkeys(map(str, beyond or own)))
        if beyond:
            said.append(f"TF.js' {backend} backend cannot run it: no kernel for {listed}")
        elif own:
            said.append(f"TF.js' {backend} backend needs {MODULE} for {listed}")
    return tuple(said)


def check(found: Sequence[Gap], wanted: str) -> None:
    """Refuse what one of the backends in the option `backends` lacks. Raises `Refused`."""
    for sentence in needs([gap for gap in found if gap.backend in wanted.split("+")]):
        raise Refused(f"{sentence}; use onnx or tflite, or give no backends={wanted}")


def _backends(text: str) -> None:
    unknown = [name for name in text.split("+") if text and name not in BACKENDS]
    if unknown:
        raise ValueError(f"unknown backend {unknown[0]!r}; expected some of {', '.join(BACKENDS)}, joined by +")


OPTION = Option("", f"backends that must run it as it is: {', '.join(BACKENDS)}, joined by +", _backends)
