"""Reading input values from files: npz, npy, csv, json and safetensors."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter import tensors
from exporter.artifact_path import missing_path
from exporter.errors import InputsError, UsageError
from exporter.labelled import label_names
from exporter.model import Signature
from exporter.tensors import DTYPES, Array, Tensors
from exporter.text import did_you_mean

KINDS = (".npz", ".npy", ".csv", ".json", ".safetensors")


def is_function(text: str) -> bool:
    """True for `file.py:function`, which runs in the source worker."""
    return ".py:" in text


def check_inputs_name(text: str, *, functions: bool) -> None:
    """Raises `UsageError` unless `text` is an existing file of a known kind, or a function where those are taken."""
    if functions and is_function(text):
        file = Path(text.rpartition(":")[0])
        if not file.is_file():
            raise missing_path(file, "file")
        return
    path = Path(text)
    if not path.suffix and not path.exists():
        raise missing_path(path)
    if path.suffix not in KINDS:
        also = " or file.py:function" if functions else ""
        raise UsageError("inputs-kind", f"{path} is not a kind of input file", f"give one of {', '.join(KINDS)}{also}")
    if not path.is_file():
        raise missing_path(path, "file")


def read_inputs(text: str, signatures: Sequence[Signature]) -> dict[str, Tensors]:
    """Signature name -> inputs by name. A file holds the inputs of one signature, which must be the only one.

    In a csv file each column is an input of one number per row, or `name.0`, `name.1` … are the parts of one; with
    a single input, all columns are its parts. A json file holds {input: nested lists}, or a list for a single input.

    Raises:
        UsageError: there is no such file, or it is of an unknown kind.
        InputsError: it is unreadable, or several signatures could be meant.
    """
    check_inputs_name(text, functions=False)
    signature = _only_signature(signatures, "{signature: {input: array}}")
    return {signature.name: _read(Path(text), signature)}


def read_labelled(text: str, signatures: Sequence[Signature]) -> tuple[Tensors, Tensors]:
    """Inputs by name, and labels by output name or as `labels`, of one file.

    In a csv file a single input takes the columns that are no labels.

    Raises:
        UsageError, InputsError: as `read_inputs`.
    """
    check_inputs_name(text, functions=False)
    path = Path(text)
    if path.suffix == ".npy":
        raise UsageError("inputs-kind", f"{path} holds one array, expected inputs and labels", "give an npz file")
    signature = _only_signature(signatures, "({input: array}, {output: array})")
    names = label_names(signature)
    found = _read(path, signature, names)
    known = _dtypes(signature, names)
    for name in found:
        if name not in known:
            raise InputsError(
                "input-names", f"{path} has {name!r}{did_you_mean(name, known)}", _expected(signature, names)
            )
    return {n: a for n, a in found.items() if n not in names}, {n: a for n, a in found.items() if n in names}


def _only_signature(signatures: Sequence[Signature], function: str) -> Signature:
    if len(signatures) != 1:
        raise InputsError(
            "which-signature",
            f"the source has several signatures ({', '.join(s.name for s in signatures)})",
            f"choose one with --signature, or give file.py:fn returning {function}",
        )
    return signatures[0]


def _read(path: Path, signature: Signature, labels: Sequence[str] = ()) -> Tensors:
    """Arrays by name: those of the signature's inputs, and of `labels` that are there."""
    try:
        return _READERS[path.suffix](path, signature, labels)
    except (ValueError, OSError, EOFError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        if isinstance(error, InputsError):
            raise
        raise InputsError("inputs-unreadable", f"{path} cannot be read: {error}", "write it again") from error


def _only_input(signature: Signature, found: str) -> str:
    if len(signature.inputs) != 1:
        raise InputsError(
            "which-input",
            f"{found} holds one array, and signature {signature.name!r} has {len(signature.inputs)} inputs",
            f"name them: {', '.join(map(str, signature.inputs))}",
        )
    return signature.inputs[0].name


def _npz(path: Path, signature: Signature, labels: Sequence[str]) -> Tensors:
    with np.load(path, allow_pickle=False) as archive:
        return {n: archive[n] for n in archive.files}


def _npy(path: Path, signature: Signature, labels: Sequence[str]) -> Tensors:
    return {_only_input(signature, str(path)): np.load(path, allow_pickle=False)}


def _safetensors(path: Path, signature: Signature, labels: Sequence[str]) -> Tensors:
    return tensors.load(path)


def _json(path: Path, signature: Signature, labels: Sequence[str]) -> Tensors:
    data: Any = json.loads(path.read_text())
    if isinstance(data, list):
        data = {_only_input(signature, str(path)): data}
    if not isinstance(data, Mapping):
        raise ValueError(f"expected an object of arrays by input name, found a {type(data).__name__}")
    out = {}
    dtypes = _dtypes(signature, labels)
    for name, values in data.items():
        if name not in dtypes:
            raise InputsError(
                "input-names", f"{path} has {name!r}{did_you_mean(name, dtypes)}", _expected(signature, labels)
            )
        out[name] = _array(values, dtypes[name], name)
    return out


def _dtypes(signature: Signature, labels: Sequence[str]) -> dict[str, str]:
    """Name -> dtype of everything that a file may hold. Labels are numbers, which say themselves of what kind."""
    return {**dict.fromkeys(labels, "float64"), **{s.name: s.dtype for s in signature.inputs}}


def _expected(signature: Signature, labels: Sequence[str]) -> str:
    inputs = f"inputs: {[s.name for s in signature.inputs]}"
    return f"{inputs}, labels: {list(labels)}" if labels else inputs


def _array(values: Any, dtype: str, name: str) -> Array:
    try:
        if dtype == "string":
            return tensors.as_strings(np.asarray(values, dtype=object))
        return np.asarray(values) if dtype not in ("float16", "bfloat16") else np.asarray(values, DTYPES[dtype][1])
    except ValueError:
        raise ValueError(f"the values of {name!r} are ragged or of mixed types") from None


def _csv(path: Path, signature: Signature, labels: Sequence[str]) -> Tensors:
    with path.open(newline="") as file:
        lines = [row for row in csv.reader(file) if row]
    if len(lines) < 2:
        raise ValueError("expected a header line and at least one row")
    header, rows = lines[0], lines[1:]
    short = next((i for i, r in enumerate(rows) if len(r) != len(header)), None)
    if short is not None:
        raise ValueError(f"row {short + 1} has {len(rows[short])} fields, the header has {len(header)}")
    if all(_is_number(title) for title in header):
        raise ValueError(
            f"its first line is numbers ({', '.join(header[:4])}…), expected a header: one column name per field"
        )
    columns: dict[str, list[int]] = {}
    dtypes = _dtypes(signature, labels)
    for i, title in enumerate(header):
        base = title if title in dtypes else title.rpartition(".")[0]
        if base not in dtypes and len(signature.inputs) == 1:
            base = signature.inputs[0].name
        columns.setdefault(base or title, []).append(i)
    flat = {s.name for s in signature.inputs if s.shape is not None and len(s.shape) == 1}.union(labels)
    out = {}
    for name, indices in columns.items():
        if name not in dtypes:
            raise InputsError(
                "input-names", f"{path} has a column {name!r}{did_you_mean(name, dtypes)}", _expected(signature, labels)
            )
        cells = [[row[i] for i in indices] for row in rows]
        array = tensors.as_strings(np.asarray(cells, object)) if dtypes[name] == "string" else _numbers(cells)
        out[name] = array[:, 0] if name in flat and len(indices) == 1 else array
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(cells: list[list[str]]) -> Array:
    """Integers where all are, because a float holds them up to 2**53 only; else floats. Raises ValueError."""
    try:
        return np.asarray([[int(text) for text in row] for row in cells])
    except ValueError:
        return np.asarray(cells, float)


_READERS = {".npz": _npz, ".npy": _npy, ".csv": _csv, ".json": _json, ".safetensors": _safetensors}
