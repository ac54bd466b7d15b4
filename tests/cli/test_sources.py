"""Every kind of source becomes a bundle whose numbers are confirmed. ONNX in Python is the cheapest way to see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")
QUICK = ["--to", "onnx", "--runtime", "onnxruntime", "--json", "--quiet"]


def check(
    report: dict[str, Any], kind: str, inputs: dict[str, tuple[str, list[int | None]]], outputs: set[str]
) -> None:
    """The verdict is green, and the contract is the source's own."""
    assert report["summary"]["verdict"] == "passed"
    assert report["summary"]["passed"] == report["summary"]["planned"] == len(report["cells"]) > 0
    assert report["source"]["kind"] == kind
    (signature,) = report["signatures"]
    assert {s["name"]: (s["dtype"], s["shape"]) for s in signature["inputs"]} == inputs
    assert {s["name"] for s in signature["outputs"]} == outputs


FEATURES = {"features": ("float32", [None, 4])}


def test_reference_model_and_keras_files(cli: Any, files: Path) -> None:
    named, custom, h5 = cli.together(
        ["convert", "linear-spark-fixed", "--no-train", *QUICK],
        ["convert", files / "custom.keras", "--custom", MODELS, *QUICK],
        ["convert", files / "functional.h5", "-o", "from-h5", *QUICK],
    )
    check(named.json, "reference", {"inputs": ("float32", [None, 2])}, {"outputs"})
    check(custom.json, "keras", FEATURES, {"scores"})
    check(h5.json, "keras", FEATURES, {"scores"})
    # the default place is build/<name>
    assert (cli.directory / "build" / "linear-spark-fixed" / "report.html").is_file()
    assert (cli.directory / "build" / "custom" / "bundle.json").is_file()
    assert named.json["source"]["metrics"] == {}


def test_keras_archive(every_format: Any) -> None:
    report = every_format.result.json
    assert report["source"]["kind"] == "keras"
    assert {a["recipe"]: a["status"] for a in report["artifacts"]} == dict.fromkeys(
        ("keras", "h5", "tfjs-layers", "saved-model", "tfjs-graph", "onnx", "tflite"), "written"
    )
    assert report["summary"]["passed"] == report["summary"]["planned"]


def test_callables_and_saved_model(cli: Any, files: Path) -> None:
    specs, module, two = cli.together(
        ["convert", f"{MODELS}:with_specs", *QUICK],
        ["convert", f"{MODELS}:tf_module", *QUICK],
        ["convert", files / "two", "--signature", "other", *QUICK],
    )
    check(specs.json, "callable", FEATURES, {"outputs"})
    check(module.json, "callable", {"features": ("float32", [None, 2])}, {"result"})
    assert [s["name"] for s in module.json["signatures"]] == ["shifted"]
    check(two.json, "saved-model", {"features": ("float32", [None, 2])}, {"result"})
    assert [s["name"] for s in two.json["signatures"]] == ["other"]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("old.h5", "keras"),
        pytest.param("old.keras", "keras", marks=pytest.mark.matrix),
        pytest.param("old", "saved-model", marks=pytest.mark.matrix),
        pytest.param(f"{MODELS}:keras_2", "callable", marks=pytest.mark.matrix),
    ],
)
def test_keras_2(cli: Any, files: Path, source: str, kind: str) -> None:
    """Its own call is the reference; the Keras formats hold a Keras 3 model that computes the same."""
    formats = [argument for name in ("keras", "tfjs-layers", "onnx") for argument in ("--to", name)]
    runtimes = [argument for name in ("keras", "tfjs-node-cpu", "onnxruntime") for argument in ("--runtime", name)]
    said = [*formats, *runtimes, "--json", "--quiet"]
    result = cli("convert", source if kind == "callable" else files / source, *said)
    check(result.json, kind, FEATURES, {"scores"})
    assert {a["status"] for a in result.json["artifacts"]} == {"written"}
    assert any("became Dense and Rescaling and ReLU" in note for note in result.json["summary"]["notes"])


def test_tfjs_layers(cli: Any, every_format: Any) -> None:
    source = every_format.root / "artifacts" / "tfjs-layers"
    back, file = cli.together(
        ["convert", source, "-o", "back", "--to", "keras", "--to", "tfjs-layers", "--runtime", "keras", "--runtime",
         "tfjs-node-cpu", "--json", "--quiet"],
        ["convert", source / "model.json", "-o", "file", *QUICK],
    )  # fmt: skip
    check(back.json, "tfjs", FEATURES, {"scores"})
    check(file.json, "tfjs", FEATURES, {"scores"})
    assert back.json["source"]["digest"] == file.json["source"]["digest"] != ""
    # a second trip writes the very same files
    again = cli.directory / "back" / "artifacts" / "tfjs-layers"
    for name in ("model.json", "group1-shard1of1.bin"):
        assert (again / name).read_bytes() == (source / name).read_bytes()


def test_subclassed_callable(small: Any) -> None:
    report = small.result.json
    check(report, "callable", FEATURES, {"outputs"})
    assert {c["runtime"] for c in report["cells"]} == {"onnxruntime", "onnxruntime-java", "onnxruntime-node"}


def test_custom_layer_callable_brings_its_own_code(custom: Any) -> None:
    report = json.loads((custom.root / "report.json").read_text())
    check(report, "callable", FEATURES, {"scores"})
    assert [a["needs_code"] for a in report["artifacts"]] == [["Scale"], ["Scale"]]


OBJECTS = """
import json, sys
sys.path.insert(0, {models!r})
import models, exporter

def outcomes(model, name, to):
    bundle = exporter.convert(model, name, to=to)
    report = bundle.report
    shown = report.to_json()
    return {{
        "kind": shown["source"]["kind"],
        "inputs": [s["name"] for s in shown["signatures"][0]["inputs"]],
        "cells": sorted({{(c["recipe"], c["runtime"], c["outcome"], c["reason"]) for c in shown["cells"]}}),
        "verdict": shown["summary"]["verdict"],
    }}

print(json.dumps([
    outcomes(models.functional(), "functional", ["tfjs-layers"]),
    outcomes(models.custom_layer(), "custom", ["keras", "onnx"]),
    outcomes(models.subclassed(), "subclassed", ["h5"]),
]))
"""


def test_model_objects(tmp_path: Path) -> None:
    script = OBJECTS.format(models=str(MODELS.parent))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    functional, custom, subclassed = json.loads(done.stdout.splitlines()[-1])

    assert functional["cells"] == [
        ["tfjs-layers", "tfjs-node-cpu", "passed", ""],
        ["tfjs-layers", "tfjs-node-wasm", "passed", ""],
    ]
    assert functional["inputs"] == ["features"]
    assert (functional["kind"], functional["verdict"]) == ("object", "passed")

    (reload, *rest) = custom["cells"]
    runtimes = ("onnxruntime", "onnxruntime-java", "onnxruntime-node")
    assert rest == [["onnx", runtime, "passed", ""] for runtime in runtimes]
    assert reload[:3] == ["keras", "keras", "unsupported"]
    assert "Scale" in reload[3]
    assert "--custom module.py" in reload[3]
    assert custom["verdict"] == "passed"

    ((*refused, reason),) = subclassed["cells"]
    assert refused == ["h5", "keras", "unsupported"]
    assert "Subclassed is a subclassed model" in reason
    assert subclassed["verdict"] == "failed"  # h5 was named
