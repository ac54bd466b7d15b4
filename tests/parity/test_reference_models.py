"""Every reference model through every format and runtime: each cell passed, or unsupported for a true reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import exporter
from exporter import reference
from exporter.runtimes import Runs, Runtime
from exporter.runtimes.registry import runtimes

SCHEMA = json.loads((Path(exporter.__file__).parent / "parity" / "report.v1.schema.json").read_text())

# (model, recipe, runtime or *) -> (words of the only reason that may stand there, the cases it concerns or all).
# Everything else must pass, and each entry must still be needed: a cell that heals turns its entry red.
UNSUPPORTED: dict[tuple[str, str, str], tuple[str, tuple[str, ...]]] = {
    ("string-lookup", "tfjs-layers", "*"): ("StringLookup", ()),
    ("string-lookup", "tflite", "litert-node"): ("cannot carry string", ()),
    ("two-signatures", "keras", "*"): ("not a Keras model", ()),
    ("two-signatures", "h5", "*"): ("not a Keras model", ()),
    ("two-signatures", "tfjs-layers", "*"): ("not a Keras model", ()),
    ("covid-lstm", "tfjs-layers", "*"): ("custom layer", ()),
    ("covid-lstm", "tflite", "*"): ("is pinned to [1, 8, 3]", ("other-size",)),
    ("imdb-bilstm", "tflite", "*"): ("is pinned to [1, 100]", ("other-size",)),
}


def expected_unsupported(model: str, cell: dict[str, Any]) -> str | None:
    """The words the cell's reason must hold, or None if it must pass."""
    for runtime in (cell["runtime"], "*"):
        words, cases = UNSUPPORTED.get((model, cell["recipe"], runtime), (None, ()))
        if words is not None and (not cases or cell["case"] in cases):
            return words
    return None


@pytest.mark.parametrize("model", reference.names())
def test_every_cell_passes_or_says_truly_why_not(model: str, converted: Callable[[str], Any]) -> None:
    bundle = converted(model)
    assert bundle.report["summary"]["verdict"] == "passed", bundle.report["summary"]
    jsonschema.validate(bundle.report, SCHEMA)
    for cell in bundle.report["cells"]:
        words = expected_unsupported(model, cell)
        if words is None:
            assert cell["outcome"] == "passed", cell
        else:
            assert cell["outcome"] == "unsupported", f"healed, delete its entry: {cell}"
            assert words in cell["reason"], cell


@pytest.mark.parametrize("model", reference.names())
def test_no_cell_is_missing(model: str, converted: Callable[[str], Any]) -> None:
    """The cells are exactly formats x the default runtimes that execute them x cases, whatever their outcome."""
    report = converted(model).report
    cases = {(c["signature"], c["case"]) for c in report["cells"]}
    assert {name for name, _ in cases} == {s["name"] for s in report["signatures"]}
    wanted = {
        (recipe, name, *case)
        for recipe in ("keras", "h5", "saved-model", "tflite", "onnx", "tfjs-graph", "tfjs-layers")
        for name, runtime in runtimes().items()
        if isinstance(runtime, Runtime) and runtime.runs == Runs.ALL and recipe in runtime.formats
        for case in cases
    }
    found = [(c["recipe"], c["runtime"], c["signature"], c["case"]) for c in report["cells"]]
    assert len(found) == len(set(found)) == report["summary"]["planned"]
    assert set(found) == wanted


def test_swapped_outputs_would_show(converted: Callable[[str], Any]) -> None:
    """multi-io has two outputs of one shape whose values differ, so feeding or reading by position cannot pass."""
    from exporter.bundle import Bundle

    bundle = Bundle.load(converted("multi-io").root)
    signature = bundle.signatures[0]
    twins = [o.name for o in signature.outputs if o.shape == signature.output("value").shape]
    assert len(twins) == 2
    for case in bundle.cases:
        outputs = bundle.expected(case)
        assert (outputs[twins[0]] != outputs[twins[1]]).any(), case.name
