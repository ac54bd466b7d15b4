"""ai-edge-quantizer: recipes that leave some operations alone, and the ranges of activations.

Its own calibrator keeps a moving average of each batch's range. Fed row by row it ends near the range of the last rows,
and everything outside is cut off: 1 dB instead of 43 on a linear model. The range of all rows is what static
quantization needs, so each batch is measured on its own and the ranges are united here.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.calibration import rows_digest
from exporter.formats._quantization import batches
from exporter.formats._tflite_layers import Operation, operations, pattern
from exporter.formats.tflite import Converted
from exporter.tensors import Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source

Ranges = dict[str, dict[str, Any]]  # tensor name -> "min" and "max" over all rows, float32 arrays


@dataclass(frozen=True)
class Precision:
    """What a recipe asks for.

    `weights` are bits (16: float16). `activations` are bits of static ones, measured by calibration; 0 where they stay
    float in the file (and kernels may quantize them row by row where `dynamic` says so). `block` values along a row
    share a scale; 0 for one scale per channel.
    """

    weights: int
    activations: int = 0
    dynamic: bool = False
    block: int = 0

    @property
    def calibrated(self) -> bool:
        return self.activations > 0


def operations_of(made: Converted, file: str) -> list[Operation]:
    """The operations of a float flatbuffer, each with its layers."""
    traced = {name: made.traced(name) for name, entry in made.entries.items() if entry.path == file}
    return list(operations(made.files[file], traced))


def recipe_of(precision: Precision, interface: str = "float", kept: Sequence[Operation] = ()) -> list[dict[str, Any]]:
    """The recipe that ai-edge-quantizer takes: everything but the operations in `kept`."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.recipe_manager import RecipeManager

    operation = qtyping.TFLOperationName
    manager = RecipeManager()
    _add_precision(manager, precision, interface)
    if kept:
        manager.add_quantization_config(
            regex=pattern(kept), operation_name=operation.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
        # the edge of a signature has the name of the operation that makes the output, and is one of its own
        if interface != "float" and any(one.makes_output for one in kept):
            bits = {"activation_num_bits": precision.activations, "weight_num_bits": precision.weights}
            manager.add_static_config(regex=pattern(kept), operation_name=operation.OUTPUT, **bits)
    return manager.get_quantization_recipe()  # type: ignore[no-any-return]


def _add_precision(manager: Any, precision: Precision, interface: str) -> None:
    from ai_edge_quantizer import qtyping

    operation = qtyping.TFLOperationName
    every: dict[str, Any] = {"regex": ".*", "operation_name": operation.ALL_SUPPORTED}
    if precision.weights == 16:
        manager.add_weight_only_config(**every, num_bits=16, algorithm_key="float_casting")
        return
    if precision.calibrated:
        bits = {"activation_num_bits": precision.activations, "weight_num_bits": precision.weights}
        manager.add_static_config(**every, **bits)
        if interface == "float":
            for edge in (operation.INPUT, operation.OUTPUT):
                manager.add_quantization_config(regex=".*", operation_name=edge, algorithm_key="no_quantize")
        return
    add = manager.add_dynamic_config if precision.dynamic else manager.add_weight_only_config
    granularity = {0: "CHANNELWISE", 32: "BLOCKWISE_32", 64: "BLOCKWISE_64", 128: "BLOCKWISE_128"}[precision.block]
    add(**every, num_bits=precision.weights, granularity=qtyping.QuantGranularity[granularity])


def quantize(model: bytes, recipe: list[dict[str, Any]], ranges: Ranges | None) -> bytes:
    """A flatbuffer quantized by a recipe of ai-edge-quantizer; `ranges` of activations where the recipe needs them."""
    from ai_edge_quantizer.quantizer import Quantizer

    with contextlib.redirect_stdout(io.StringIO()):  # it prints a summary
        quantizer = Quantizer(bytearray(model), recipe)
        # it writes ranges that follow from others (that of a pool is its input's) into what it is given
        own = copy.deepcopy(ranges) if quantizer.need_calibration else None
        return bytes(quantizer.quantize(own).quantized_model)


def ranges_of(source: Source, made: Converted, file: str) -> Ranges:
    """Ranges of the activations of a float flatbuffer, measured once for all recipes of a conversion.

    The tensors that are measured are those of operations which some recipe quantizes; int8 and int16 differ there.
    """
    rows = {name: source.calibration[name] for name, entry in made.entries.items() if entry.path == file}
    key = f"ranges-{file}-{rows_digest(rows)}"
    if key not in source.derived:
        source.derived[key] = measure(made.files[file], rows)
    found: Ranges = source.derived[key]
    return found


def measure(model: bytes, rows: Mapping[str, Tensors]) -> Ranges:
    """Tensor name -> range over all rows, of every tensor that some static recipe asks for."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    # the last one that fits an operation counts, and one that has no int16 kernel is left to int8
    for regex, bits in ((".*", 8), ("", 16)):
        manager.add_static_config(
            regex=regex,
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            activation_num_bits=bits,
            weight_num_bits=8,
        )
    with contextlib.redirect_stdout(io.StringIO()):
        # one for all batches: it reads the file anew when it is made, which takes longer than a batch
        return _ranges(Calibrator(bytearray(model)), manager, rows)


def _ranges(calibrator: Any, manager: Any, rows: Mapping[str, Tensors]) -> Ranges:
    found: Ranges = {}
    for name, inputs in rows.items():
        for batch in batches(inputs):
            calibrator.reset_model_qsvs()
            calibrator.calibrate({name: [batch]}, manager)
            for tensor, measured in calibrator.get_model_qsvs().items():
                known = found.setdefault(tensor, dict(measured))
                for key, unite in (("min", np.minimum), ("max", np.maximum)):
                    if key in measured:
                        known[key] = unite(known[key], measured[key])
    return found
