"""TensorFlow Lite flatbuffer (.tflite), float32.

The route depends on the graph. Without tables and with one signature, the frozen graph is converted and a
SignatureDef with the source's names is added (four times faster than reading the SavedModel again). Lookup tables
and several signatures go through the SavedModel. Loops over dynamic shapes (every recurrent Keras layer) cannot be
converted to builtin ops, so they get a trace of their own with static shapes; what was pinned is recorded, and the
artifact is then run row by row. Flex ops are never allowed: nothing here or on a phone without the Flex delegate
runs them. Schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.formats import Format, Refused, Written
from exporter.formats._quantization import need_float32
from exporter.formats._tflite_order import in_order, reorder
from exporter.formats._tflite_reshape import constant_reshapes
from exporter.model import Entry, NameMap, Signature
from exporter.selection import Traced
from exporter.tensors import Tensors

if TYPE_CHECKING:
    from exporter.source.source import Source

LOOPS = {"While", "StatelessWhile", "TensorListReserve", "TensorListFromTensor", "TensorListStack"}
_TABLES = {"HashTableV2", "LookupTableFindV2"}
# what converts, and then computes something else in every kernel of LiteRT
_WRONG = {"IsInf": "is false for infinities too after conversion"}
# what the converter says -> what that means
_COMPLAINTS = {
    "'tf.Transpose' op x should be of the same rank": "BiasAdd with the channels first: the converter moves them as if "
    "it were an image whatever its rank; build the layer with data_format='channels_last', or use onnx or saved-model",
}

Configure = Callable[[Any, Sequence[str], Mapping[str, tuple[int | None, ...]]], None]


@dataclass(frozen=True)
class Converted:
    """Flatbuffers by file name, where each signature is in them, and what was changed on the way.

    `traced` tells the names of the trace that a signature was converted from.
    """

    files: Mapping[str, bytes]
    entries: Mapping[str, Entry]
    rewrites: tuple[str, ...]
    traced: Callable[[str], Traced]


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """Convert every signature into one `model.tflite`; pinned signatures get a file of their own.

    Raises:
        Refused: ops without a builtin TFLite kernel, or a loop over a dimension of unknown size.
    """
    import tensorflow as tf

    made = float_model(source)
    for file, model in made.files.items():
        (directory / file).write_bytes(model)
    return Written(made.entries, rewrites=made.rewrites, versions={"tensorflow": tf.__version__})


def float_model(source: Source) -> Converted:
    """The float32 flatbuffers of a source, made once. Raises as `write`."""
    if "tflite" not in source.derived:
        source.derived["tflite"] = convert(source, lambda converter, names, pinned: None)
    made: Converted = source.derived["tflite"]
    return made


def convert(source: Source, configure: Configure) -> Converted:
    """Convert every signature.

    `configure(converter, signature names, pinned shapes)` may set up each TFLiteConverter before it runs.
    """
    import tensorflow as tf

    from exporter.source.trace import graph_ops

    need_float32(source, "TFLiteConverter")
    signatures = source.signatures
    ops = {name: graph_ops(source.concrete(name)) for name in signatures}
    for op, why in _WRONG.items():
        for found in ops.values():
            if op in found:
                raise Refused(f"node {found[op]!r}: {op} {why}; use onnx or saved-model")
    looping = [name for name in signatures if ops[name].keys() & LOOPS]
    plain = [name for name in signatures if name not in looping]
    files: dict[str, bytes] = {}
    entries: dict[str, Entry] = {}
    rewrites: list[str] = []
    if len(plain) == 1 and not ops[plain[0]].keys() & _TABLES:
        name = plain[0]
        files["model.tflite"] = _from_frozen(source, signatures[name], {}, configure)
        entries[name] = Entry("model.tflite", name, NameMap.identity(signatures[name]))
    elif plain:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(source.saved_model), signature_keys=plain)
        configure(converter, plain, {})
        files["model.tflite"] = in_order(_converted(converter), signatures)
        for name in plain:
            entries[name] = Entry("model.tflite", name, NameMap.identity(signatures[name]))
    for name in looping:
        pinned = _pin(signatures[name], source.examples.get(name, {}))
        if pinned:
            _refuse_dependent_rows(source, signatures[name])
        file = "model.tflite" if len(signatures) == 1 else f"{name}.tflite"
        files[file] = _from_frozen(source, signatures[name], pinned, configure)
        entries[name] = Entry(file, name, NameMap.identity(signatures[name]), pinned)
        shapes = ", ".join(f"{k} {list(v)}" for k, v in pinned.items())
        rewrites.append(f"{name}: loops need static shapes in TFLite, pinned to {shapes}")
    ordered = {n: entries[n] for n in signatures}
    return Converted(files, ordered, tuple(rewrites), lambda name: source.traced(name, entries[name].pinned or None))


def _refuse_dependent_rows(source: Source, signature: Signature) -> None:
    """Raise `Refused` where a row of the examples gives something else alone: a loop that all rows end together."""
    examples = {n: a[:2] for n, a in source.examples.get(signature.name, {}).items()}
    if not signature.batched or not examples:
        return
    together = source.reference(signature.name, examples)
    alone = source.reference(signature.name, {n: a[:1] for n, a in examples.items()})
    for name, one in alone.items():
        if name in source.random.get(signature.name, ()):
            continue
        first = together[name][:1]
        same = np.array_equal(first, one) if one.dtype.kind not in "fc" else np.allclose(first, one, 1e-3, 1e-5)
        if not same:
            raise Refused(
                f"output {name!r} of signature {signature.name!r}: a row depends on the other rows of its batch, and "
                "loops need one static size in TFLite, here a batch of 1; use onnx or saved-model"
            )


def _pin(signature: Signature, examples: Tensors) -> dict[str, tuple[int | None, ...]]:
    """Static input shapes: batch 1, and every other dynamic dimension as in the example inputs."""
    pinned: dict[str, tuple[int | None, ...]] = {}
    for spec in signature.inputs:
        if spec.shape is None:
            raise Refused(f"input {spec.name!r} has unknown rank, and a loop in TFLite needs static shapes")
        if None not in spec.shape:
            continue
        example = examples.get(spec.name)
        if example is None:
            raise Refused(
                f"input {spec.name!r} {list(spec.shape)} feeds a loop, which TFLite needs in one static size, and no "
                "example input tells which; give --inputs"
            )
        batch = 1 if signature.batched else example.shape[0]
        pinned[spec.name] = tuple(
            d if d is not None else (batch if i == 0 else example.shape[i]) for i, d in enumerate(spec.shape)
        )
    return pinned


def _from_frozen(
    source: Source, signature: Signature, pinned: dict[str, tuple[int | None, ...]], configure: Configure
) -> bytes:
    import tensorflow as tf

    frozen = source.frozen(signature.name, pinned or None, lower_control_flow=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen.function])
    configure(converter, [signature.name], pinned)
    return add_signature(_converted(converter), signature, frozen.inputs, frozen.outputs)


def _converted(converter: Any) -> bytes:
    """Run the converter, whose default are builtin ops only. Raises `Refused` naming the ops without such a kernel."""
    import os

    try:
        with contextlib.redirect_stdout(open(os.devnull, "w")):
            return constant_reshapes(bytes(converter.convert()))
    except Exception as error:
        text = str(error)
        for words, meaning in _COMPLAINTS.items():
            if words in text:
                raise Refused(meaning) from error
        ops = sorted(set(re.findall(r"tf\.([A-Z]\w+) ?(?:op|\()", text)) | set(re.findall(r"^\s*tf\.(\w+) \(", text)))
        flex = re.search(r"Flex ops: ([\w, ]+)", text)
        if flex:
            ops = sorted(x.removeprefix("Flex").strip() for x in flex.group(1).split(","))
        ops = [op for op in ops if not any(other != op and other.startswith(op) for other in ops)]  # some are cut off
        if ops or "custom" in text.lower():
            raise Refused(
                f"{', '.join(ops) or 'an op'} has no builtin TFLite kernel (Flex and custom ops run in no runtime "
                "here); use onnx or saved-model"
            ) from error
        raise


def add_signature(model: bytes, signature: Signature, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> bytes:
    """Add a SignatureDef to a converted flatbuffer, and put its inputs and outputs into the signature's order.

    `inputs` and `outputs` map signature names to frozen tensor names. The converter keeps the order of the
    function's own flattened arguments and results, which is that of the sorted names.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    parsed = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = parsed.subgraphs[0]
    _refuse_groups(schema, parsed, graph)
    definition = schema.SignatureDefT()
    definition.signatureKey = signature.name
    definition.subgraphIndex = 0
    definition.inputs = _tensor_maps(schema, graph, sorted(inputs), graph.inputs, inputs)
    definition.outputs = _tensor_maps(schema, graph, sorted(outputs), graph.outputs, outputs)
    parsed.signatureDefs = [definition]
    reorder(parsed, {signature.name: signature})
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


def _refuse_groups(schema: Any, parsed: Any, graph: Any) -> None:
    """Conv3D in groups converts, and no kernel of LiteRT runs it: its filter [D, H, W, in, out] must take all channels.

    Raises:
        Refused: there is one.
    """
    for operator in graph.operators:
        if parsed.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.CONV_3D:
            channels, taken = (graph.tensors[operator.inputs[i]].shape[-1 - i] for i in (0, 1))
            if channels != taken:
                name = graph.tensors[operator.outputs[0]].name.decode()
                raise Refused(f"{name!r}: LiteRT has no Conv3D in groups; use onnx or saved-model")


def _tensor_maps(schema: Any, graph: Any, order: list[str], indices: Any, names: Mapping[str, str]) -> list[Any]:
    if len(order) != len(indices):
        raise RuntimeError(f"the converter kept {len(indices)} of {len(order)} tensors: {order}")
    maps = []
    for name, index in zip(order, indices, strict=True):
        entry = schema.TensorMapT()
        entry.name = name
        entry.tensorIndex = int(index)
        maps.append(entry)
    return maps


FORMAT = Format("tflite", "TensorFlow Lite flatbuffer (.tflite)", write, order=60)
