"""Opening a source by its description: dispatch on kind, own data, value ranges, staging."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from exporter import reference, tensors
from exporter.errors import InputsError, SourceError
from exporter.labelled import split_pair
from exporter.model import Json
from exporter.source import loaders
from exporter.source.keras2_file import as_opened, in_opened_order, open_keras_file, open_saved_model
from exporter.source.precision import find_float64_outputs
from exporter.source.ranges import input_facts
from exporter.source.shaping import fix_shapes
from exporter.source.source import Source, first_line
from exporter.source.tfjs_document import model_files
from exporter.source.tfjs_layers import from_tfjs
from exporter.tensors import Tensors
from exporter.text import did_you_mean

OWN_ROWS = 64  # rows of own data that are handed over; ranges are taken over all of it


def open_source(spec: Mapping[str, Any], staging: Path) -> tuple[Source, Json]:
    """Open, stage and describe a source.

    `spec` holds `kind` (reference, keras, saved-model, tfjs, callable or staged), `path`, and where they apply `name`,
    `callable`, `signature`, `shapes` (of inputs, by name), `custom`, `train`, `inputs` (file.py:fn), `calibration`, and
    `evaluation`: {"from": file.py:fn} or {"from": None} for a reference model's own test data.

    Returns:
        the source, and the facts a host needs: identity, training metrics, own data files, value ranges.
    """
    import keras

    keras.utils.set_random_seed(7)
    began = time.monotonic()
    code = loaders.load_code(Path(spec["custom"])) if spec.get("custom") else None
    facts: Json = {"metrics": {}, "quality": {}}
    own: Mapping[str, Tensors] = {}
    calibration: Mapping[str, Tensors] = {}
    test: reference.Split | None = None
    kind, path = spec["kind"], Path(spec["path"])
    if kind == "reference":
        source, own, calibration, test, facts["metrics"], facts["quality"] = _reference_model(spec, path, staging)
    elif kind == "keras":
        source = open_keras_file(path, staging, code)
    elif kind == "saved-model":
        source = open_saved_model(path, staging, spec.get("signature"), code)
    elif kind == "tfjs":
        source = from_tfjs(path, staging)
    elif kind == "callable":
        source = _callable(spec, path, staging)
    elif kind == "staged":
        source = _staged(spec, staging, code)
    else:
        raise SourceError("unknown-kind", f"unknown kind of source {kind!r}", "")
    if spec.get("signature") and kind != "saved-model":
        source.calls = _only(source.calls, spec["signature"])
    fix_shapes(source, spec.get("shapes", {}))
    source.stage()
    if spec.get("inputs"):
        own = _inputs_function(spec["inputs"], source)
    if spec.get("calibration"):
        calibration = _calibration(spec["calibration"], source)
    facts.update(describe(source, own, staging))
    facts["calibration"] = _as_files(source, calibration, staging, "calibration")
    if spec.get("evaluation"):
        facts["evaluation"] = _evaluation(spec["evaluation"]["from"], test, staging)
    facts["seconds"] = round(time.monotonic() - began, 3)
    files = model_files(path) if kind == "tfjs" else None
    facts["source"] = {"kind": kind, "digest": loaders.file_digest(path, files) if path.exists() else ""}
    return source, facts


def describe(source: Source, own: Mapping[str, Tensors], staging: Path) -> Json:
    """Value ranges per input, and own data as files: what a host needs to make cases."""
    return {
        "own": _as_files(source, own, staging, "own", OWN_ROWS),
        "ranges": {name: input_facts(source, name, own.get(name)) for name in source.calls},
        "needs_code": list(source.needs_code),
        "float64": find_float64_outputs(source),
        "stateful": [name for name in source.calls if source.is_stateful(name)],
        "notes": list(source.notes),
    }


def _as_files(
    source: Source, data: Mapping[str, Tensors], staging: Path, stem: str, rows: int | None = None
) -> dict[str, str]:
    """Signature -> the file that now holds its first rows."""
    files = {}
    for name, arrays in data.items():
        if name in source.calls:
            file = staging / f"{stem}-{name}.safetensors"
            tensors.save(file, {k: np.asarray(v)[:rows] for k, v in arrays.items()})
            files[name] = str(file)
    return files


def _reference_model(
    spec: Mapping[str, Any], path: Path, staging: Path
) -> tuple[Source, Mapping[str, Tensors], Mapping[str, Tensors], reference.Split, dict[str, float], dict[str, str]]:
    module = loaders.load_code(path)
    model = module.build()
    data = module.data()
    metrics: dict[str, float] = {}
    if spec.get("train", True):
        metrics = {k: float(v) for k, v in module.train(model, data).items()}
        missed = reference.missed(module.QUALITY, metrics)
        if missed:
            raise SourceError("quality", f"training {spec['name']} missed its quality: {'; '.join(missed)}", "")
    functions = module.signatures(model) if hasattr(module, "signatures") else None
    source = loaders.from_callable(model, staging, functions)
    if hasattr(module, "cases"):
        own = {k: dict(v) for k, v in module.cases(data).items()}
    else:
        own = {next(iter(source.calls)): dict(data.test.inputs)}
    if hasattr(module, "calibration"):
        calibration = {k: dict(v) for k, v in module.calibration(data).items()}
    else:
        calibration = {next(iter(source.calls)): dict(data.train.inputs)}
    quality = {k: f"{sign} {bound:g}" for k, (sign, bound) in module.QUALITY.items()}
    return source, own, calibration, data.test, metrics, quality


def _callable(spec: Mapping[str, Any], path: Path, staging: Path) -> Source:
    module = loaders.load_code(path)
    builder = getattr(module, spec["callable"], None)
    if not callable(builder):
        raise _no_such_callable(path, module, spec["callable"])
    try:
        result = builder()
    except Exception as error:
        raise SourceError(
            "builder-failed",
            f"{spec['callable']}() raised {type(error).__name__}: {first_line(error)}",
            f"at {_place(error, path)}",
        ) from error
    return loaders.from_callable(result, staging)


def _no_such_callable(path: Path, module: ModuleType, name: str) -> SourceError:
    own = [n for n, v in loaders.custom_objects(module).items() if not n.startswith("_")]
    return SourceError(
        "no-such-callable",
        f"{path} has no callable {name!r}{did_you_mean(name, own)}",
        f"it has: {', '.join(own) or 'none'}",
    )


def _place(error: BaseException, path: Path) -> str:
    """The last line of the user's own file that an exception came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
    return f"{path}, line {frames[-1].lineno}" if frames else str(path)


def _staged(spec: Mapping[str, Any], staging: Path, code: Any) -> Source:
    """What a crashed worker or a program left: the Keras model where its classes can be had, else its SavedModel."""
    keras_file = staging / "model.keras"
    if keras_file.exists():
        if spec.get("module"):
            code = loaders.load_code(Path(spec["module"]))
        try:
            source = loaders.from_keras(loaders.load_keras_file(keras_file, code), staging)
            source.calls = {n: as_opened(call, source.names_file, n) for n, call in source.calls.items()}
            source.reloads = True
            return source
        except SourceError:
            pass
    source = loaders.from_saved_model(staging / "saved_model", staging, None)
    # a SavedModel keeps no order
    source.calls = in_opened_order(source.calls, source.names_file)
    return source


def _only(calls: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in calls:
        raise SourceError(
            "no-such-signature",
            f"the source has no signature {name!r}{did_you_mean(name, calls)}",
            f"it has: {', '.join(calls)}",
        )
    return {name: calls[name]}


def _called(text: str) -> Any:
    """What file.py:function returns."""
    file, _, function = text.rpartition(":")
    path = Path(file)
    module = loaders.load_code(path)
    if not callable(getattr(module, function, None)):
        raise _no_such_callable(path, module, function)
    try:
        return getattr(module, function)()
    except Exception as error:
        raise InputsError(
            "bad-inputs",
            f"{function}() raised {type(error).__name__}: {first_line(error)}",
            f"at {_place(error, path)}",
        ) from error


def _inputs_function(text: str, source: Source) -> Mapping[str, Tensors]:
    result = _called(text)
    if not isinstance(result, Mapping) or not result:
        raise InputsError(
            "bad-inputs",
            f"{text} returned an instance of {type(result).__name__}, expected a dict of arrays by input name",
            f"inputs: {', '.join(n for call in source.calls.values() for n in call.specs)}",
        )
    if all(isinstance(v, Mapping) for v in result.values()):
        return {str(k): dict(v) for k, v in result.items()}
    if len(source.calls) != 1:
        raise InputsError(
            "bad-inputs",
            f"the source has several signatures ({', '.join(source.calls)})",
            "return {signature: {input: array}}, or choose one with --signature",
        )
    return {next(iter(source.calls)): dict(result)}


def _calibration(spec: Mapping[str, Any], source: Source) -> Mapping[str, Tensors]:
    """Rows from a function, or from a directory of pictures."""
    if ".py:" in spec["from"]:
        return _of_signatures(_inputs_function(spec["from"], source), source, spec["from"])
    from exporter.source.images import read_images

    if len(source.signatures) != 1:
        raise InputsError(
            "which-signature",
            f"the source has several signatures ({', '.join(source.signatures)})",
            "choose one with --signature, or give file.py:fn returning {signature: {input: array}}",
        )
    ((name, signature),) = source.signatures.items()
    low, high = spec["range"]
    return {name: read_images(Path(spec["from"]), signature, low, high, spec["seed"])}


def _of_signatures(rows: Mapping[str, Tensors], source: Source, text: str) -> Mapping[str, Tensors]:
    """Raises `InputsError` where none of the signatures is the source's: nothing would be measured."""
    if rows and not set(rows) & set(source.signatures):
        raise InputsError(
            "calibration-signature",
            f"{text} returned rows for {', '.join(map(repr, rows))}{did_you_mean(next(iter(rows)), source.signatures)}",
            f"the signatures: {', '.join(source.signatures)}",
        )
    return rows


def _evaluation(text: str | None, test: reference.Split | None, staging: Path) -> list[str]:
    """The files that now hold the inputs and the labels of labelled rows."""
    if text is None:
        assert test is not None
        given: Any = (test.inputs, test.targets)
    else:
        given = _called(text)
    files = []
    for kind, arrays in zip(("inputs", "labels"), split_pair(given, f"what {text} returned"), strict=True):
        file = staging / f"evaluation-{kind}.safetensors"
        try:
            tensors.save(file, arrays)
        except tensors.TensorFileError as error:
            raise InputsError("bad-evaluation", f"the {kind} that {text} returned: {error}", "give arrays") from error
        files.append(str(file))
    return files
