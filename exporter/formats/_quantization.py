"""What quantized formats of all families share: stored weights, option checks, and the need for calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.formats import Refused
from exporter.tensors import Array, Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source

LARGEST_HALF = float(np.finfo(np.float16).max)
BATCH = 8  # rows that are measured at once; every activation of them is kept
_LARGE = 1024  # elements of a weight that is listed where it stayed float
_FLOAT16_STEP = 2.0**-10  # spacing of float16 values relative to their power of two; 2^-24 is the smallest spacing


@dataclass(frozen=True)
class Weight:
    """One constant tensor: its stored type, its values in float32, and the distance of neighbouring stored values.

    `step` has the shape of `values`, or is None where they are stored as they are.
    """

    dtype: str
    values: Array
    step: Array | None


def half(values: Array) -> Weight:
    """A weight stored in float16."""
    wide = values.astype(np.float32)
    _, exponent = np.frexp(np.abs(wide))
    return Weight("FLOAT16", wide, np.ldexp(np.float32(_FLOAT16_STEP), np.maximum(exponent - 1, -14)))


def facts(maker: str, weights: Mapping[str, Weight], operations: Mapping[str, int], float_bytes: int) -> dict[str, Any]:
    """What was really quantized, for the report.

    Args:
        weights: all constants that stand for real numbers, by name.
        operations: how many of each kind compute in float although the recipe asks for integers.
        float_bytes: size of the float files that were quantized.

    Raises:
        Refused: nothing was.
    """
    if all(weight.step is None for weight in weights.values()):
        raise Refused(
            "nothing in this model can be quantized like that, and the file would be the float one under another name; "
            "use another recipe or other options"
        )
    stored: dict[str, dict[str, int]] = {}
    for weight in weights.values():
        kind = stored.setdefault(weight.dtype.lower().replace("float32", "float"), {"tensors": 0, "elements": 0})
        kind["tensors"] += 1
        kind["elements"] += int(weight.values.size)
    left = [(int(weight.values.size), name) for name, weight in weights.items() if weight.step is None]
    return {
        "maker": maker,
        "stored": stored,
        # scalars and biases of a few numbers are not worth a line
        "float_weights": [[name, size] for size, name in sorted(left, reverse=True) if size >= _LARGE],
        "float_operations": dict(sorted(operations.items())),
        "float_bytes": float_bytes,
    }


def need_float32(source: Source, writer: str) -> None:
    """Raises `Refused` for a Keras model that computes in less than float32 already, naming the layer.

    TFLiteConverter fails on Keras' int8 layers and gives other numbers for its int4 layers; quantizers of ONNX write
    invalid or larger files for both, and neither takes what mixed precision leaves in float16.
    """
    layers = [] if source.keras_model is None else source.keras_model._flatten_layers(include_self=False)
    for layer in (layer for layer in layers if type(layer).__name__ != "InputLayer"):
        mode = getattr(layer, "quantization_mode", None)
        if mode:
            raise Refused(
                f"layer {layer.name!r} is quantized by Keras ({mode}), which {writer} does not carry faithfully; "
                "convert the float model with a quantized recipe, or keep keras, saved-model or onnx"
            )
        policy = getattr(layer, "dtype_policy", None)
        if policy is not None and str(policy.compute_dtype) in ("float16", "bfloat16"):
            raise Refused(
                f"layer {layer.name!r} computes in {policy.compute_dtype} (mixed precision), which {writer} does not "
                "take; build the model with the policy float32 and load the same weights"
            )


def need_numbers(weights: Mapping[str, Weight]) -> None:
    """Raises `Refused` for a weight that is NaN: no scale fits it, and some quantizers drop it without a word."""
    for name, weight in weights.items():
        if np.isnan(weight.values).any():
            raise Refused(
                f"{name} holds {int(np.isnan(weight.values).sum())} NaN among {weight.values.size} values, which no "
                "quantizer can store; train the model again, or look where its loss became NaN"
            )


def need_calibration(source: Source) -> None:
    """Raises `Refused` if there is nothing to measure the activations of some signature on."""
    for name in source.signatures:
        if name not in source.calibration:
            raise Refused(
                f"activations of {name!r} are quantized by their measured range, and there is nothing to measure it "
                "on; give --calibration FILE with rows like those the model will see"
            )


def kept_note(wanted: Iterable[str], found: Iterable[str], shared: Iterable[str]) -> tuple[str, ...]:
    """What to say of layers that were to stay float and have no operation in the files, and of those kept with them.

    Raises:
        Refused: that is all of them.
    """
    kept = set(found)
    missing = [layer for layer in wanted if layer not in kept]
    if missing and not kept:
        raise Refused(
            f"no operation of the files carries the name of a layer that is to stay float ({', '.join(missing[:10])}): "
            "it was folded into its neighbours or has nothing to compute; name the layer before it with --keep-float"
        )
    notes = {
        "to stay float, without an operation of their own": missing,
        "float as well where one operation stands for several layers": sorted(shared),
    }
    return tuple(f"{words}: {', '.join(layers)}" for words, layers in notes.items() if layers)


def batches(inputs: Tensors, fixed: int = 0) -> Iterator[Tensors]:
    """Rows in groups of `BATCH`, or of exactly as many as the file takes."""
    count, size = len(next(iter(inputs.values()))), fixed or BATCH
    for begin in range(0, count - fixed + 1 if fixed else count, size):
        yield {name: array[begin : begin + size] for name, array in inputs.items()}


def one_of(*allowed: str) -> Callable[[str], None]:
    """The check of an option that takes one of some words."""

    def check(text: str) -> None:
        if text not in allowed:
            raise ValueError(f"expected {', '.join(allowed[:-1])} or {allowed[-1]}, found {text!r}")

    return check
