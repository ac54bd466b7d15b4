"""What cannot be understood: exit status 2 at once, what was found, what was meant, and nothing started or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# (arguments, words that the message must hold)
WRONG: dict[str, tuple[list[str], list[str]]] = {
    "command": (["conver", "x"], ["no command 'conver'", "did you mean 'convert'?"]),
    "no-source": (["convert"], ["missing argument 'SOURCE'", "exporter convert --help"]),
    "option": (["convert", "x", "--runtim", "y"], ["no option '--runtim'", "did you mean '--runtime'?"]),
    "model": (["convert", "digit-cnn"], ["no reference model 'digit-cnn'", "did you mean 'digits-cnn'?"]),
    "train": (["train", "digits-cn"], ["no reference model 'digits-cn'", "did you mean 'digits-cnn'?"]),
    "format": (["convert", "linear-spark", "--to", "tflit"], ["unknown format 'tflit'", "did you mean 'tflite'?"]),
    "recipe": (
        ["convert", "linear-spark", "--to", "tfjs-graph:shard=1MiB"],
        ["no option 'shard'", "did you mean 'shard-size'?"],
    ),
    "recipe-form": (["convert", "linear-spark", "--to", "onnx:18"], ["expected key=value", "'18'"]),
    "recipe-value": (
        ["convert", "linear-spark", "--to", "tfjs-graph:shard-size=big"],
        ["shard-size", "expected a size such as 4MiB", "'big'"],
    ),
    "quantize": (
        ["convert", "linear-spark", "--to", "tfjs-graph:quantize=int8"],
        ["option quantize: expected none, float16, uint8 or uint16", "'int8'"],
    ),
    "quantize-only": (
        ["convert", "linear-spark", "--to", "tfjs-layers:quantize-only=dense*"],
        ["quantize-only says which weights", "add quantize=uint8"],
    ),
    "quantize-tolerance": (
        ["convert", "linear-spark", "--to", "tfjs-layers:quantize=uint8", "--rtol", "1"],
        ["every recipe is quantized"],
    ),
    "shard-names": (
        ["convert", "linear-spark", "--to", "tfjs-layers:shard-names=md5"],
        ["expected plain or hashed, found 'md5'"],
    ),
    "metadata": (["convert", "linear-spark", "--metadata", "labels"], ["--metadata", "expected KEY:FILE"]),
    "metadata-file": (["convert", "linear-spark", "--metadata", "a:absent.json"], ["absent.json cannot be read"]),
    "metadata-json": (["convert", "linear-spark", "--metadata", "a:present.py"], ["present.py is not JSON"]),
    "metadata-twice": (
        ["convert", "linear-spark", "--metadata", "a:present.json", "--metadata", "a:present.json"],
        ["the key 'a' is given twice"],
    ),
    "metadata-useless": (
        ["convert", "linear-spark", "--to", "onnx", "--metadata", "a:present.json"],
        ["no recipe carries it", "tfjs-layers, tfjs-graph"],
    ),
    "metadata-reserved": (
        ["convert", "linear-spark", "--metadata", "signature:present.json"],
        ["metadata of tfjs-graph cannot have the key 'signature'", "choose another key"],
    ),
    "runtime": (
        ["convert", "linear-spark", "--runtime", "litert-nod"],
        ["'litert-nod'", "did you mean 'litert-node'?"],
    ),
    "require": (["convert", "linear-spark", "--require", "onnxruntim"], ["did you mean 'onnxruntime'?"]),
    "useless-runtime": (
        ["convert", "linear-spark", "--to", "onnx", "--runtime", "litert"],
        ["the runtime litert executes tflite", "there is: onnx"],
    ),
    "useless-require": (
        ["convert", "linear-spark", "--to", "onnx", "--require", "keras"],
        ["the runtime keras executes keras, h5", "there is: onnx"],
    ),
    "keras-file": (["convert", "absent.keras"], ["there is no file absent.keras"]),
    "near-file": (["convert", "presnt.keras"], ["there is no file presnt.keras", "did you mean 'present.keras'?"]),
    "no-directory": (["convert", "nowhere/x.keras"], ["there is no file", "nowhere does not exist"]),
    "module": (["convert", "absent.py:build"], ["there is no file absent.py"]),
    "no-callable": (["convert", "present.py"], ["present.py is a module", "present.py:build"]),
    "bad-callable": (["convert", "present.py:a b"], ["names no callable", "module.py:callable"]),
    "metric": (
        ["convert", "linear-spark", "--metric", "mea"],
        ["unknown metric 'mea', did you mean 'mae'?", "accuracy, top5, mae, rmse, auc"],
    ),
    "metric-data": (["convert", "present.keras", "--metric", "mae"], ["no labelled rows", "--eval FILE"]),
    "eval": (["convert", "linear-spark", "--eval", "present.json"], ["--eval is given without a metric", "--metric"]),
    "eval-file": (["convert", "linear-spark", "--eval", "absent.npz", "--metric", "mae"], ["no file absent.npz"]),
    "eval-rows": (["convert", "linear-spark", "--metric", "mae", "--eval-rows", "0"], ["--eval-rows", "x>=1"]),
    "max-drop": (["convert", "linear-spark", "--max-drop", "1"], ["--max-drop is given without a metric"]),
    "max-drop-value": (["convert", "linear-spark", "--max-drop", "y:few"], ["--max-drop", "OUTPUT:NUMBER"]),
    "max-drop-sign": (
        ["convert", "linear-spark", "--metric", "mae", "--max-drop", "-1"],
        ["--max-drop -1: expected a finite number of at least 0"],
    ),
    "custom": (["convert", "present.keras", "--custom", "absent.py"], ["--custom", "'absent.py' does not exist"]),
    "inputs": (["convert", "linear-spark", "--inputs", "absent.npz"], ["there is no file absent.npz"]),
    "inputs-kind": (
        ["convert", "linear-spark", "--inputs", "present.txt"],
        [".npz", "file.py:function"],
    ),
    "inputs-function": (["convert", "linear-spark", "--inputs", "absent.py:f"], ["there is no file absent.py"]),
    "batch-sizes": (["convert", "linear-spark", "--batch-sizes", "1,x"], ["--batch-sizes", "'1,x'", "1,2,5"]),
    "batch-zero": (["convert", "linear-spark", "--batch-sizes", "0"], ["at least 1"]),
    "range": (["convert", "linear-spark", "--range", "x:1"], ["--range", "NAME:LOW:HIGH"]),
    "range-order": (["convert", "linear-spark", "--range", "x:2:1"], ["the low end is above the high end"]),
    "shape": (["convert", "linear-spark", "--shape", "x:1,a"], ["--shape", "'x:1,a'", "NAME:SIZE,SIZE"]),
    "shape-zero": (["convert", "linear-spark", "--shape", "x:0,3"], ["--shape", "for example image:1,24,24,3"]),
    "shape-without-name": (["convert", "linear-spark", "--shape", "1,3"], ["--shape", "NAME:SIZE,SIZE"]),
    "samples": (["convert", "linear-spark", "--samples", "0"], ["--samples", "x>=1"]),
    "rtol": (["verify", "bundle", "--rtol", "tight"], ["--rtol", "'tight'", "a number or OUTPUT:NUMBER"]),
    "atol": (["verify", "bundle", "--atol", "scores:-1"], ["--atol", "at least 0"]),
    "tolerance-of-quantized": (
        ["convert", "linear-spark", "--to", "tflite-int8", "--to", "onnx-float16", "--rtol", "0.1"],
        ["a tolerance is given, and every recipe is quantized", "--max-drop"],
    ),
    "timeout": (["verify", "bundle", "--timeout", "0"], ["--timeout"]),
    "report": (["convert", "linear-spark", "--report", "xml=r.xml"], ["--report", "json=PATH or html=PATH"]),
    "bundle": (["verify", "absent"], ["there is no directory absent"]),
    "bundle-as-source": (["convert", "bundle"], ["bundle is a bundle, not a source", "exporter verify bundle"]),
    "inspect": (["inspect", "absent.onnx"], ["there is no file or directory absent.onnx"]),
    "inspect-kind": (["inspect", "present.txt"], ["present.txt is not a kind of artifact", ".tflite", "SavedModel"]),
    "inspect-json": (["inspect", "present.json"], ["present.json is JSON", "'graph-model' or 'layers-model'"]),
    "run": (["run", "absent.onnx", "--inputs", "x.json", "--outputs", "y.json"], ["there is no file"]),
    "run-bundle": (
        ["run", "bundle", "--inputs", "present.json", "--outputs", "y.json"],
        ["bundle is a bundle of several artifacts", "bundle/artifacts/ has onnx"],
    ),
    "run-outputs": (
        ["run", "present.onnx", "--inputs", "present.json", "--outputs", "y.txt"],
        ["y.txt is not a kind of output file", ".safetensors"],
    ),
    "run-runtime": (
        ["run", "present.onnx", "--inputs", "present.json", "--outputs", "y.json", "--runtime", "litert"],
        ["litert does not run onnx", "it runs tflite"],
    ),
    "compare": (["compare", "present.json", "absent.json"], ["there is no file or directory absent.json"]),
    "compare-inputs": (["compare", "present.onnx", "present.onnx"], ["nothing says what to feed it", "--inputs FILE"]),
    "install": (["doctor", "--install", "ruby"], ["--install", "'ruby'", "node", "jvm"]),
}


@pytest.fixture
def things(tmp_path: Path) -> set[Path]:
    """Files with the right names and nothing in them, for commands that must not look inside."""
    for name in ("present.keras", "present.onnx", "present.py", "present.txt"):
        (tmp_path / name).touch()
    (tmp_path / "present.json").write_text('{"format": "other"}')
    (tmp_path / "bundle" / "artifacts" / "onnx").mkdir(parents=True)
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    return set(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage(cli: Any, things: set[Path], tmp_path: Path, name: str) -> None:
    arguments, words = WRONG[name]
    result = cli(*arguments, status=2)
    assert result.out == ""
    lines = result.err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1, result.err
    assert all(word in result.err for word in words), result.err
    made = {p for p in tmp_path.rglob("*") if "tmp-" not in p.name} - things
    assert not made, f"written all the same: {made}"
