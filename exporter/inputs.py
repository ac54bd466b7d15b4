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
    path = Path(text)
    if len(signatures) != 1:
        raise InputsError(
            "which-signature",
            f"the source has several signatures ({', '.join(s.name for s in signatures)})",
            "choose one with --signature, or give file.py:function returning {signature: {input: array}}",
        )
    try:
        return {signatures[0].name: _READERS[path.suffix](path, signatures[0])}
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


def _npz(path: Path, signature: Signature) -> Tensors:
    with np.load(path, allow_pickle=False) as archive:
        return {n: archive[n] for n in archive.files}


def _npy(path: Path, signature: Signature) -> Tensors:
    return {_only_input(signature, str(path)): np.load(path, allow_pickle=False)}


def _safetensors(path: Path, signature: Signature) -> Tensors:
    return tensors.load(path)


def _json(path: Path, signature: Signature) -> Tensors:
    data: Any = json.loads(path.read_text())
    if isinstance(data, list):
        data = {_only_input(signature, str(path)): data}
    if not isinstance(data, Mapping):
        raise ValueError(f"expected an object of arrays by input name, found a {type(data).__name__}")
    out = {}
    for name, values in data.items():
        spec = next((s for s in signature.inputs if s.name == name), None)
        if spec is None:
            names = [s.name for s in signature.inputs]
            raise InputsError("input-names", f"{path} has {name!r}{did_you_mean(name, names)}", f"inputs: {names}")
        out[name] = _array(values, spec.dtype, name)
    return out


def _array(values: Any, dtype: str, name: str) -> Array:
    try:
        if dtype == "string":
            return tensors.as_strings(np.asarray(values, dtype=object))
        return np.asarray(values) if dtype not in ("float16", "bfloat16") else np.asarray(values, DTYPES[dtype][1])
    except ValueError:
        raise ValueError(f"the values of {name!r} are ragged or of mixed types") from None


def _csv(path: Path, signature: Signature) -> Tensors:
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
    names = {s.name for s in signature.inputs}
    for i, title in enumerate(header):
        base = title if title in names else title.rpartition(".")[0]
        if base not in names and len(names) == 1:
            base = next(iter(names))
        columns.setdefault(base or title, []).append(i)
    out = {}
    for name, indices in columns.items():
        spec = next((s for s in signature.inputs if s.name == name), None)
        if spec is None:
            raise InputsError(
                "input-names", f"{path} has a column {name!r}{did_you_mean(name, names)}", f"inputs: {sorted(names)}"
            )
        cells = [[row[i] for i in indices] for row in rows]
        array = tensors.as_strings(np.asarray(cells, object)) if spec.dtype == "string" else _numbers(cells)
        out[name] = array[:, 0] if spec.shape is not None and len(spec.shape) == 1 else array
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
