"""Quantized TensorFlow Lite flatbuffers: the precisions there are, and the two makers of them.

`ai-edge` quantizes the float flatbuffer with ai-edge-quantizer, in a fraction of a second; `tensorflow` converts the
model once more with TFLiteConverter and its own calibrator. Both leave names, signatures and shapes alone, and both
measure activations over the same calibration rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter import feeding
from exporter.formats import Format, Option, Refused, Written
from exporter.formats import _tflite_weights as stored
from exporter.formats._quantization import facts, kept_note, need_calibration, need_numbers, one_of
from exporter.formats._tflite_ai_edge import Precision, operations_of, quantize, ranges_of, recipe_of
from exporter.formats._tflite_finish import finish
from exporter.formats._tflite_layers import Operation, keeping
from exporter.formats._tflite_sensitivity import measure as measure_layers
from exporter.formats._tflite_unroll import float_unrolled, has_loops, unrolled
from exporter.formats.tflite import Converted, convert, float_model
from exporter.model import Entry, Json, Signature
from exporter.selection import present, sharing
from exporter.tensors import Array, Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source


def write(precision: Precision, source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Quantize every signature of a source.

    Raises:
        Refused: the precision has no meaning for the source, or calibration data are missing.
    """
    precision = _prepared(precision, source, options)
    for model in base(source, precision).files.values():
        need_numbers({stored.label(name): weight for name, weight in stored.weights(model).items()})
    made = _MAKERS[options["maker"]](source, precision, options.get("io", "float"))
    _need_finite(made)
    entries = {}
    for name, entry in made.entries.items():
        model = made.files[entry.path]
        (directory / entry.path).write_bytes(model)
        # a float signature whose tensors are integers in the file; integers of the signature have no scale
        entries[name] = replace(entry, interface=stored.interface(model, entry.key))
    steps = {name: stored.output_steps(made.files[entry.path], entry.key) for name, entry in entries.items()}
    kept, shared = kept_layers(base(source, precision), source.keep_float)
    return Written(
        entries,
        rewrites=(*made.rewrites, *kept_note(source.keep_float, kept, shared)),
        versions=_versions(options["maker"]),
        quantization={**_facts(precision, source, made, options["maker"]), "steps": steps, "kept_float": kept},
    )


def _need_finite(made: Converted) -> None:
    """Raises `Refused` for a weight that float16 cannot hold: the quantizer stores infinity without a word."""
    for model in made.files.values():
        for name, weight in stored.weights(model).items():
            if weight.dtype == "FLOAT16" and np.isinf(weight.values).any():
                count = int(np.isinf(weight.values).sum())
                raise Refused(
                    f"{stored.label(name)} holds {count} values above 65504, where float16 ends; keep its layer "
                    "float with --keep-float, or use tflite-dynamic"
                )


def _prepared(precision: Precision, source: Source, options: Mapping[str, str]) -> Precision:
    """The precision with the recipe's options. Raises `Refused` as `write`."""
    if precision.calibrated:
        need_calibration(source)
        _need_numbers(source)
    if "mode" in options:
        return replace(precision, dynamic=options["mode"] == "dynamic", block=int(options["block"]))
    return precision


def sensitivity(
    precision: Precision, source: Source, options: Mapping[str, str], inputs: Mapping[str, Tensors]
) -> Json:
    """Noise and size with each layer float, see `_tflite_sensitivity.measure`. Raises `Refused` as `write`."""
    precision = _prepared(precision, source, options)
    made = base(source, precision)
    found = {file: operations_of(made, file) for file in made.files}

    def quantized(layers: Sequence[str]) -> dict[str, bytes]:
        kept = {file: keeping(one, list(layers)) for file, one in found.items()}
        return _quantized(source, precision, options.get("io", "float"), made, kept)

    return measure_layers(source, made, found, quantized, inputs)


def kept_layers(made: Converted, wanted: Sequence[str]) -> tuple[list[str], set[str]]:
    """Those of the layers that have an operation in the float files, and others that have a part in one of those."""
    found = [one for file in made.files for one in operations_of(made, file)] if wanted else []
    kept = [one.layers for one in keeping(found, wanted)]
    return present(kept, wanted), sharing(kept, wanted)


def _facts(precision: Precision, source: Source, made: Converted, maker: str) -> dict[str, Any]:
    weights = {stored.label(n): w for model in made.files.values() for n, w in stored.weights(model).items()}
    operations: dict[str, int] = {}
    for model in made.files.values() if precision.calibrated else ():
        for kind, count in stored.float_operations(model).items():
            operations[kind] = operations.get(kind, 0) + count
    floats = sum(len(model) for model in base(source, precision).files.values())
    return facts(maker, weights, operations, floats)


def expected(
    precision: Precision,
    source: Source,
    directory: Path,
    entry: Entry,
    options: Mapping[str, str],
    signature: Signature,
    inputs: Tensors,
) -> dict[str, Tensors]:
    """What an artifact is to give besides the source's own outputs.

    Returns:
        `own`: the outputs of the float flatbuffer with the weights of this one; `kernels`, for static precisions: those
        of LiteRT's reference kernels on this very file.
    """
    calls = _calls(precision, source, directory, entry)
    # the float model takes floats where the file has integers at its edges
    entries = {"own": replace(entry, interface={}), "kernels": entry}
    with ThreadPoolExecutor(len(calls)) as pool:  # each runs in one thread, and the reference kernels are slow
        running = {
            kind: pool.submit(feeding.run, signature, entries[kind], inputs, call) for kind, call in calls.items()
        }
        return {kind: future.result() for kind, future in running.items()}


def _calls(
    precision: Precision, source: Source, directory: Path, entry: Entry
) -> Mapping[str, Callable[[Tensors], Tensors]]:
    """The computations of `expected`, opened once for all cases of a signature."""
    place = (str(directory / entry.path), entry.key)
    if source.derived.get("expected", (None,))[0] != place:
        model = (directory / entry.path).read_bytes()
        floats = stored.own_weights(base(source, precision).files[entry.path], model)
        calls = {"own": _litert(floats, entry.key, "BUILTIN")}
        if precision.calibrated:
            calls["kernels"] = _litert(model, entry.key, "BUILTIN_REF")
        source.derived["expected"] = (place, calls)
    found: Mapping[str, Callable[[Tensors], Tensors]] = source.derived["expected"][1]
    return found


def source_weights(
    precision: Precision, source: Source, directory: Path, entry: Entry, options: Mapping[str, str]
) -> dict[str, Array]:
    """The float flatbuffer's constants, by the names that the quantized one has for them."""
    found = stored.weights(base(source, precision).files[entry.path])
    return {stored.label(name): weight.values for name, weight in found.items()}


def _litert(model: bytes, key: str, kernels: str) -> Callable[[Tensors], Tensors]:
    """A signature in LiteRT, without a delegate."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {
        "BUILTIN": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "BUILTIN_REF": OpResolverType.BUILTIN_REF,
    }[kernels]
    runner = Interpreter(model_content=model, experimental_op_resolver_type=resolver).get_signature_runner(key)
    return lambda inputs: {n: np.array(v) for n, v in runner(**inputs).items()}


def _versions(maker: str) -> dict[str, str]:
    import tensorflow as tf

    found = {"tensorflow": tf.__version__}
    return {**found, "ai-edge-quantizer": version("ai-edge-quantizer")} if maker == "ai-edge" else found


def _need_numbers(source: Source) -> None:
    for name, signature in source.signatures.items():
        strings = [s.name for s in signature.inputs if s.dtype == "string"]
        if strings:
            raise Refused(
                f"input {', '.join(strings)} of {name!r} is text, which no integer stands for; use tflite-dynamic, or "
                "move the lookup out of the model"
            )


# -- ai-edge-quantizer


def base(source: Source, precision: Precision) -> Converted:
    """The float flatbuffers that a precision starts from."""
    return float_unrolled(source) if precision.calibrated and has_loops(source) else float_model(source)


def _ai_edge(source: Source, precision: Precision, interface: str) -> Converted:
    made = base(source, precision)
    wanted = source.keep_float
    kept = {file: keeping(operations_of(made, file), wanted) if wanted else [] for file in made.files}
    return replace(made, files=_quantized(source, precision, interface, made, kept))


def _quantized(
    source: Source, precision: Precision, interface: str, made: Converted, kept: Mapping[str, Sequence[Operation]]
) -> dict[str, bytes]:
    files = {}
    for file, model in made.files.items():
        ranges = ranges_of(source, made, file) if precision.calibrated else None
        quantized = quantize(model, recipe_of(precision, interface, kept[file]), ranges)
        files[file] = finish(quantized, interface, source.signatures)
    return files


# -- TensorFlow's converter


def _tensorflow(source: Source, precision: Precision, interface: str) -> Converted:
    import tensorflow as tf

    if source.keep_float:
        raise Refused(
            "TFLiteConverter quantizes all layers or none (only its debugger leaves some out, for int8 alone), so "
            f"{', '.join(source.keep_float[:10])} cannot stay float; use maker=ai-edge"
        )
    if precision.weights < 8:
        raise Refused(f"TFLiteConverter makes no int{precision.weights} weights; use maker=ai-edge")
    types = {"float": tf.float32, "int8": tf.int8, "uint8": tf.uint8}

    def configure(converter: Any, names: Sequence[str], pinned: Mapping[str, Any]) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision.weights == 16:
            converter.target_spec.supported_types = [tf.float16]
        if not precision.calibrated:
            return
        sets = {8: "TFLITE_BUILTINS_INT8", 16: "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"}
        converter.target_spec.supported_ops = [tf.lite.OpsSet[sets[precision.activations]]]
        converter.inference_input_type = converter.inference_output_type = types[interface]
        # a graph that is converted by itself has no signature, and its inputs are in the order of their names
        by_name = len(source.signatures) > 1
        converter.representative_dataset = lambda: _representative(source, names, by_name=by_name)

    if precision.calibrated and has_loops(source):
        return unrolled(source).convert(configure)
    return convert(source, configure)


def _representative(source: Source, names: Sequence[str], *, by_name: bool) -> Iterator[Any]:
    for name in names:
        inputs = source.calibration[name]
        for i in range(len(next(iter(inputs.values())))):
            row = {key: inputs[key][i : i + 1] for key in sorted(inputs)}
            yield (name, row) if by_name else list(row.values())


_MAKERS: Mapping[str, Callable[[Any, Precision, str], Converted]] = {"ai-edge": _ai_edge, "tensorflow": _tensorflow}


_MAKER = Option(
    "ai-edge",
    "who quantizes: ai-edge (ai-edge-quantizer) or tensorflow (TFLiteConverter)",
    one_of(*_MAKERS),
)
_IO = Option("float", "what inputs and outputs are in the file: float, int8 or uint8", one_of("float", "int8", "uint8"))
_MODE = Option(
    "weight-only",
    "weight-only: weights are made float again before they are used; dynamic: activations are int8 while a row runs",
    one_of("weight-only", "dynamic"),
)
_BLOCK = Option(
    "0", "values of a weight that share a scale: 32, 64 or 128, 0 for a channel", one_of("0", "32", "64", "128")
)


def _format(name: str, title: str, precision: Precision, **options: Option) -> Format:
    return Format(
        f"tflite-{name}",
        f"TensorFlow Lite, {title}",
        functools.partial(write, precision),
        order=61,
        options={"maker": _MAKER, **options},
        family="tflite",
        default=False,
        calibrated=precision.calibrated,
        expected=functools.partial(expected, precision),
        weights=functools.partial(source_weights, precision),
        sensitivity=functools.partial(sensitivity, precision),
    )


FORMATS = (
    _format("float16", "float16 weights", Precision(16)),
    _format("dynamic", "int8 weights, activations quantized as they come", Precision(8, dynamic=True)),
    _format("int8", "int8 weights and activations", Precision(8, activations=8), io=_IO),
    _format("int16x8", "int8 weights, int16 activations", Precision(8, activations=16)),
    _format("int4", "int4 weights", Precision(4), mode=_MODE, block=_BLOCK),
)
