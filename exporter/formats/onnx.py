"""ONNX, through tf2onnx's SavedModel route: the only one that keeps signature names, captured constants and tables.

tf2onnx logs unsupported ops and writes an invalid file instead of failing, so the file is checked and loaded in
ONNX Runtime before it counts as written. Sources: https://github.com/onnx/onnx/blob/main/docs/IR.md (file format),
https://github.com/onnx/tensorflow-onnx (converter).
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.formats import Format, Option, Refused, Written
from exporter.model import Entry, NameMap, Signature

if TYPE_CHECKING:
    from exporter.source.source import Source

MAX_OPSET = 18  # tf2onnx 1.17 raises above
MAX_IR = 10  # what every ONNX Runtime of the last years loads


def write(source: Source, directory: Path, options: Mapping[str, str]) -> Written:
    """One `model.onnx` per signature, in a directory of its name when there are several."""
    made = float_models(source, int(options["opset"]))
    return written(source, directory, made, options["opset"])


@dataclass(frozen=True)
class Made:
    """ONNX model protos by signature, and what was changed on the way."""

    models: Mapping[str, Any]
    rewrites: tuple[str, ...]


def written(source: Source, directory: Path, made: Made, opset: str) -> Written:
    """Save one model per signature."""
    import onnx
    import onnxruntime
    import tf2onnx

    entries = {}
    for name, model in made.models.items():
        file = "model.onnx" if len(source.signatures) == 1 else f"{name}/model.onnx"
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        onnx.save_model(model, str(directory / file))
        entries[name] = Entry(file, name, NameMap.identity(source.signatures[name]))
    return Written(
        entries,
        rewrites=made.rewrites,
        versions={
            "tf2onnx": tf2onnx.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "opset": opset,
        },
    )


def float_models(source: Source, opset: int = MAX_OPSET) -> Made:
    """The float models of a source, made once for each opset. Raises `Refused` as `convert`."""
    key = f"onnx-{opset}"
    if key not in source.derived:
        source.derived[key] = _float_models(source, opset)
    made: Made = source.derived[key]
    return made


def _float_models(source: Source, opset: int) -> Made:
    models = {}
    rewrites: set[str] = set()
    for name, signature in source.signatures.items():
        if source.is_stateful(name):
            raise Refused(f"signature {name!r} changes a variable, and ONNX has no state; use saved-model")
        shared = {s.name for s in signature.inputs} & {s.name for s in signature.outputs}
        if shared:
            raise Refused(
                f"{', '.join(sorted(shared))} names both an input and an output of {name!r}, and ONNX has one name "
                "space for both; rename one of them"
            )
        model, rewritten = convert(source.saved_model, signature, opset)
        rewrites.update(rewritten)
        tidy(model, signature)
        _pad_outputs(model)
        check(model, signature)
        models[name] = model
    return Made(models, tuple(sorted(rewrites)))


def convert(saved_model: Path, signature: Signature, opset: int) -> tuple[Any, tuple[str, ...]]:
    """The ONNX model proto of one signature, and what had to be rewritten.

    Raises:
        Refused: ops without an ONNX translation.
    """
    import tf2onnx
    from tf2onnx import tf_loader

    from exporter.formats._onnx_lower import lower

    graph_def, inputs, outputs, tables, renames = tf_loader.from_saved_model(
        str(saved_model),
        None,
        None,
        tag="serve",
        signatures=[signature.name],
        return_initialized_tables=True,
        return_tensors_to_rename=True,
    )
    # its own names are those of the graph, where TensorFlow puts them in lower case; arguments come sorted by name
    renames.update(zip(inputs, sorted(s.name for s in signature.inputs), strict=True))
    graph_def, rewritten = lower(graph_def)
    with _converting() as failed:
        try:
            model, _ = tf2onnx.convert._convert_common(
                graph_def,
                name=signature.name,
                opset=opset,
                input_names=inputs,
                output_names=outputs,
                initialized_tables=tables,
                tensors_to_rename=renames,
            )
        except Exception as error:
            where = failed[0] if failed else f"signature {signature.name!r}"
            # sets are in another order in every process
            reason = re.sub(r"\{([^{}]*)\}", _sort_set, str(error).removeprefix("make_sure failure: ").rstrip("."))
            raise Refused(f"{where}: tf2onnx cannot convert it ({reason}); use saved-model") from error
    return model, rewritten


def _sort_set(found: re.Match[str]) -> str:
    return f"{{{', '.join(sorted(found[1].split(', ')))}}}"


@contextlib.contextmanager
def _converting() -> Iterator[list[str]]:
    """The nodes that tf2onnx fails on while the context is open: only its log names them."""
    failed: list[str] = []
    handler = logging.Handler(logging.ERROR)

    def note(record: logging.LogRecord) -> bool:
        found = re.match(r"Failed to convert node '([^']+)'", record.getMessage())
        if found:
            failed.append(f"node {found[1]!r}")
        return True

    handler.addFilter(note)
    handler.emit = lambda record: None  # type: ignore[method-assign]
    log = logging.getLogger("tf2onnx")
    log.addHandler(handler)
    try:
        yield failed
    finally:
        log.removeHandler(handler)


def tidy(model: Any, signature: Signature) -> None:
    """Signature order for inputs and outputs, `batch` for the leading dynamic dimension, static dims as derived."""
    model.ir_version = min(model.ir_version, MAX_IR)
    for values, specs in ((model.graph.input, signature.inputs), (model.graph.output, signature.outputs)):
        by_name = {v.name: v for v in values}
        missing = [s.name for s in specs if s.name not in by_name]
        if missing or len(by_name) != len(specs):
            raise RuntimeError(
                f"the converter lost or added tensors: expected {[s.name for s in specs]}, found {sorted(by_name)}"
            )
        ordered = [by_name[s.name] for s in specs]
        for value, spec in zip(ordered, specs, strict=True):
            _name_dims(value, spec.shape, signature.batched)
        copies = [type(v).FromString(v.SerializeToString()) for v in ordered]
        del values[:]
        values.extend(copies)


def _name_dims(value: Any, shape: tuple[int | None, ...] | None, batched: bool) -> None:
    if shape is None:
        return
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(shape):
        del dims[:]
        for _ in shape:
            dims.add()
    for i, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if size is not None:
            dim.dim_value = size
        elif i == 0 and batched:
            dim.dim_param = "batch"
        else:
            dim.dim_param = f"{value.name}_{i}"


def _pad_outputs(model: Any) -> None:
    """ConvTranspose: tf2onnx writes a longer output as negative padding, which ONNX calls output_padding."""
    import onnx

    for node in _nodes(model.graph):
        pads = next((a for a in node.attribute if a.name == "pads" and node.op_type == "ConvTranspose"), None)
        if pads is None or all(p >= 0 for p in pads.ints):
            continue
        half = len(pads.ints) // 2
        longer = [-min(0, p) for p in pads.ints[half:]]
        pads.ints[half:] = [max(0, p) for p in pads.ints[half:]]
        node.attribute.append(onnx.helper.make_attribute("output_padding", longer))


def check(model: Any, signature: Signature) -> None:
    """Load the model in ONNX Runtime. Raises `Refused` naming ops the converter left untranslated."""
    import onnxruntime

    domains = {imported.domain for imported in model.opset_import}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        foreign = sorted({n.op_type for n in _nodes(model.graph) if n.domain not in domains or _unknown(n)})
        if foreign:
            raise Refused(
                f"{', '.join(foreign)} of signature {signature.name!r} has no ONNX translation in tf2onnx; "
                "use saved-model"
            ) from error
        found = re.search(r"Node:? ?\(([^)]+)\)|node '([^']+)'|Node '([^']+)'", str(error))
        where = f"node {next(filter(None, found.groups()))!r}" if found else f"signature {signature.name!r}"
        reason = str(error).rpartition(" : ")[2].splitlines()[0][:200]
        raise Refused(
            f"{where}: ONNX Runtime cannot load what tf2onnx makes of it ({reason}); use saved-model"
        ) from error


def _nodes(graph: Any) -> list[Any]:
    out = []
    for node in graph.node:
        out.append(node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                out.extend(_nodes(attribute.g))
    return out


def _unknown(node: Any) -> bool:
    import onnx.defs

    return not onnx.defs.has(node.op_type, node.domain)


def opset_number(text: str) -> int:
    if not text.isdigit() or not 13 <= int(text) <= MAX_OPSET:
        raise ValueError(f"expected an opset from 13 to {MAX_OPSET}, found {text!r}")
    return int(text)


FORMAT = Format(
    "onnx",
    "ONNX model (.onnx)",
    write,
    order=50,
    options={"opset": Option("18", f"ONNX opset, 13 to {MAX_OPSET}", opset_number)},
)
