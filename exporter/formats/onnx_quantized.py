"""Quantized ONNX models, made from the float one by ONNX Runtime's own quantizers.

`onnx-float16` stores float16 weights, and computes in float32 or, if asked to, in float16. `onnx-dynamic` and
`onnx-int8` store int8 weights; the first measures activations as they come, the second has their ranges from
calibration rows in the file, as pairs of QuantizeLinear and DequantizeLinear. `onnx-int4` stores the matrices of
MatMul in blocks of four-bit values and computes in float32.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter import feeding
from exporter.formats import Format, Option, Refused, Written
from exporter.formats import _onnx_weights as stored
from exporter.formats._onnx_float16 import compute_half, store_half
from exporter.formats._onnx_layers import layers_of_nodes
from exporter.formats._quantization import (
    batches,
    facts,
    kept_note,
    need_calibration,
    need_float32,
    need_numbers,
    one_of,
)
from exporter.formats.onnx import MAX_OPSET, Made, check, float_models, opset_number, written
from exporter.model import Entry, Signature
from exporter.selection import present, sharing
from exporter.tensors import Array, Tensors, as_text, dtype_name

if TYPE_CHECKING:
    from exporter.source.source import Source

# (model, options, calibration rows, names of the nodes that stay float) -> (quantized model, what else stayed float)
Quantizer = Callable[[Any, Mapping[str, str], "Tensors | None", list[str]], tuple[Any, list[str]]]


def write(
    quantize: Quantizer, calibrated: bool, source: Source, directory: Path, options: Mapping[str, str]
) -> Written:
    """Quantize the model of every signature.

    Raises:
        Refused: calibration data are missing, or there is nothing to quantize.
    """
    need_float32(source, "ONNX Runtime's quantizer")
    if calibrated:
        need_calibration(source)
    base = float_models(source, int(options["opset"]))
    models = {}
    stayed: list[str] = []
    kept: dict[str, None] = {}
    shared: set[str] = set()
    for name, model in base.models.items():
        need_numbers(stored.weights(model))
        nodes: list[str] = []
        if source.keep_float:
            owned = layers_of_nodes(model, source.traced(name))
            nodes = [node for node, layers in owned.items() if layers & set(source.keep_float)]
            kept |= dict.fromkeys(present(owned.values(), source.keep_float))
            shared |= sharing((owned[node] for node in nodes), source.keep_float)
        models[name], words = quantize(model, options, source.calibration.get(name), nodes)
        stayed += words
        check(models[name], source.signatures[name])
    quantized = _facts(base, models, calibrated, stayed)
    found = written(source, directory, Made(models, base.rewrites), options["opset"])
    steps = {name: stored.output_steps(model) for name, model in models.items()}
    return replace(
        found,
        rewrites=(*found.rewrites, *stayed, *kept_note(source.keep_float, kept, shared)),
        versions={**found.versions, "onnxruntime": version("onnxruntime")},
        quantization={**quantized, "steps": steps, "kept_float": list(kept)},
    )


def _facts(base: Made, models: Mapping[str, Any], calibrated: bool, stayed: Sequence[str]) -> dict[str, Any]:
    """What was quantized. Raises `Refused` if nothing was, with what stayed float."""
    several = len(models) > 1
    weights = {
        f"{name}/{key}" if several else key: weight
        for name, model in models.items()
        for key, weight in stored.weights(model).items()
    }
    operations: dict[str, int] = {}
    for model in models.values() if calibrated else ():
        for kind, count in stored.float_operations(model).items():
            operations[kind] = operations.get(kind, 0) + count
    if stayed and all(weight.step is None for weight in weights.values()):
        raise Refused(f"nothing can be stored like that: {'; '.join(stayed)}; use onnx-dynamic")
    return facts("onnxruntime", weights, operations, sum(model.ByteSize() for model in base.models.values()))


def expected(
    integers: bool,
    source: Source,
    directory: Path,
    entry: Entry,
    options: Mapping[str, str],
    signature: Signature,
    inputs: Tensors,
) -> dict[str, Tensors]:
    """What an artifact is to give besides the source's own outputs.

    Returns:
        `own`: the outputs of the float model with the weights of this one; `kernels`, where activations are integers:
        those of this very file run operation by operation, with nothing fused.
    """
    import onnx

    quantized = onnx.load(str(directory / entry.path))
    floats = stored.own_weights(_float_model(source, entry, quantized), quantized)
    found = {"own": feeding.run(signature, entry, inputs, _session(floats, signature))}
    if integers:
        found["kernels"] = feeding.run(signature, entry, inputs, _session(quantized, signature))
    return found


def source_weights(source: Source, directory: Path, entry: Entry, options: Mapping[str, str]) -> dict[str, Array]:
    """The float model's initializers, by the names that the quantized one has for them."""
    import onnx

    floats = _float_model(source, entry, onnx.load(str(directory / entry.path)))
    return {name: weight.values for name, weight in stored.weights(floats).items()}


def _float_model(source: Source, entry: Entry, quantized: Any) -> Any:
    opset = next(o.version for o in quantized.opset_import if o.domain in ("", "ai.onnx"))
    return float_models(source, opset).models[entry.key]


def _session(model: Any, signature: Signature) -> Callable[[Tensors], Tensors]:
    """The model in ONNX Runtime as it is written, without optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in signature.outputs]
    return lambda inputs: dict(zip(names, session.run(names, _fed(inputs)), strict=True))


def _fed(inputs: Tensors) -> Tensors:
    """As ONNX Runtime takes strings: bytes would be looked up as "b'...'" without a word."""
    return {name: as_text(array) if dtype_name(array) == "string" else array for name, array in inputs.items()}


# -- the quantizers


def _float16(
    model: Any, options: Mapping[str, str], rows: Tensors | None, excluded: list[str]
) -> tuple[Any, list[str]]:
    copy = _copy(model)
    return (compute_half(copy, excluded), []) if options["compute"] == "float16" else (copy, store_half(copy, excluded))


def _dynamic(
    model: Any, options: Mapping[str, str], rows: Tensors | None, excluded: list[str]
) -> tuple[Any, list[str]]:
    from onnxruntime.quantization import quantize_dynamic

    made = _through_file(
        lambda output: quantize_dynamic(
            _copy(model),
            output,
            per_channel=True,
            reduce_range=options["reduce-range"] == "yes",
            nodes_to_exclude=excluded,
        )
    )
    return made, []


def _int8(model: Any, options: Mapping[str, str], rows: Tensors | None, excluded: list[str]) -> tuple[Any, list[str]]:
    from onnxruntime.quantization import CalibrationMethod, quantize_static

    methods = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
    assert rows is not None
    made = _through_file(
        lambda output: quantize_static(
            _copy(model),
            output,
            _reader(batches(rows, model.graph.input[0].type.tensor_type.shape.dim[0].dim_value)),
            per_channel=options["per-channel"] == "yes",
            reduce_range=options["reduce-range"] == "yes",
            calibrate_method=CalibrationMethod[methods[options["calibrate"]]],
            nodes_to_exclude=excluded,
        )
    )
    return made, []


def _int4(model: Any, options: Mapping[str, str], rows: Tensors | None, excluded: list[str]) -> tuple[Any, list[str]]:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    # a symmetric scale cuts the largest value off where its sign is not that of the scale
    quantizer = MatMulNBitsQuantizer(
        _copy(model), bits=4, block_size=int(options["block"]), is_symmetric=False, nodes_to_exclude=excluded
    )
    quantizer.process()
    made = quantizer.model.model
    if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
        raise Refused(
            "only matrices of MatMul can be int4 in ONNX, and this model has none with constant weights"
            f"{' besides those that are to stay float' if excluded else ''}; use onnx-dynamic"
        )
    return made, []


def _reader(rows: Iterator[Tensors]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next((_fed(batch) for batch in rows), None)

    return Reader()


def _copy(model: Any) -> Any:
    """The quantizers change what they are given."""
    return type(model).FromString(model.SerializeToString())


def _through_file(quantize: Callable[[str], object]) -> Any:
    """The model that a quantizer writes to a path; what it prints and logs is for a terminal."""
    import onnx

    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        path = str(Path(directory) / "model.onnx")
        logging.disable(logging.WARNING)
        try:
            quantize(path)
        finally:
            logging.disable(logging.NOTSET)
        return onnx.load(path)


_OPSET = Option(str(MAX_OPSET), f"ONNX opset, 13 to {MAX_OPSET}", opset_number)
_COMPUTE = Option("float32", "what to compute in: float32 or float16", one_of("float32", "float16"))
_PER_CHANNEL = Option(
    "yes", "whether each output channel of a weight has a scale of its own: yes or no", one_of("yes", "no")
)
_REDUCE_RANGE = Option(
    "no", "7 instead of 8 bits for weights, for CPUs without VNNI, whose sums overflow: yes or no", one_of("yes", "no")
)
_CALIBRATE = Option(
    "minmax",
    "how calibration becomes a range: minmax, entropy or percentile",
    one_of("minmax", "entropy", "percentile"),
)
_BLOCK = Option("32", "values of a weight that share a scale: 16, 32, 64 or 128", one_of("16", "32", "64", "128"))


def _format(
    name: str, title: str, quantize: Quantizer, *, integers: bool = False, calibrated: bool = False, **options: Option
) -> Format:
    return Format(
        f"onnx-{name}",
        f"ONNX, {title}",
        functools.partial(write, quantize, calibrated),
        order=51,
        options={"opset": _OPSET, **{key.replace("_", "-"): option for key, option in options.items()}},
        family="onnx",
        default=False,
        calibrated=calibrated,
        expected=functools.partial(expected, integers),
        weights=source_weights,
    )


FORMATS = (
    _format("float16", "float16 weights", _float16, compute=_COMPUTE),
    _format(
        "dynamic",
        "int8 weights, activations quantized as they come",
        _dynamic,
        integers=True,
        reduce_range=_REDUCE_RANGE,
    ),
    _format(
        "int8",
        "int8 weights and activations",
        _int8,
        integers=True,
        calibrated=True,
        per_channel=_PER_CHANNEL,
        reduce_range=_REDUCE_RANGE,
        calibrate=_CALIBRATE,
    ),
    _format("int4", "int4 weights of matrix products", _int4, block=_BLOCK),
)
