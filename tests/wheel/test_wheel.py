"""The built wheel, installed with pip into an empty environment, works outside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from exporter.resources import jvm_sources
from exporter.runtimes import _jvm


def test_the_wheel_holds_everything_and_nothing_else(wheel: Path) -> None:
    listing = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True).stdout
    names = [line.split()[0] for line in listing.splitlines()[1:]]
    for needed in (
        "exporter/protocol/v1.schema.json",
        "exporter/parity/tolerances.toml",
        "exporter/parity/report.css",
        "exporter/_bundled/reference_models/digits-cnn/model.py",
        "exporter/_bundled/runtimes/js/src/worker.mjs",
        "exporter/_bundled/runtimes/js/package-lock.json",
        "exporter/_bundled/runtimes/jvm/pom.xml",
        "exporter/_bundled/runtimes/jvm/spark/src/main/scala/exporter/spark/TfPredict.scala",
    ):
        assert needed in names
    unwanted = ("node_modules", "__pycache__", "/target/", "/test/")
    assert not [n for n in names if n.startswith("tests") or any(u in n for u in unwanted)]


def test_it_works_outside_the_checkout(run: Any, tmp_path: Path) -> None:
    before = run("doctor", "--json")
    assert before.returncode == 3
    fixes = {c["name"]: c["fix"] for c in json.loads(before.stdout) if c["status"] != "works"}
    assert set(fixes.values()) == {"exporter doctor --install node", "exporter doctor --install jvm"}, fixes
    assert run("doctor", "--install", "node", "-q").returncode == 3  # the JVM workers are still missing
    # the sources in the wheel are those of the checkout, so its jars serve; test_build.py builds them
    (tmp_path / "cache" / "exporter" / f"jvm-{_jvm.digest(jvm_sources())}").symlink_to(jvm_sources())
    # one of each kind of worker: Python with TensorFlow and without, Node, the JVM, Spark
    runtimes = ("tensorflow", "onnxruntime", "tfjs-node-wasm", "onnxruntime-java", "spark-sql")
    recipes = ("saved-model", "onnx", "tfjs-graph")
    chosen = [word for name in runtimes for word in ("--runtime", name)]
    chosen += [word for name in recipes for word in ("--to", name)]
    converted = run("convert", "linear-spark", "-o", "bundle", *chosen, "--json")
    assert converted.returncode == 0, converted.stdout[-3000:] + converted.stderr
    report = json.loads(converted.stdout)
    assert report["summary"]["verdict"] == "passed"
    assert report["summary"]["passed"] == report["summary"]["planned"]
    # every runtime starts from the wheel, and what is installed is not installed again
    again = run("doctor", "--install", "node", "--json", "-q")
    assert again.returncode == 0, again.stdout
    assert "installing" not in again.stderr
