"""stdout is the result and nothing else, stderr is progress; --json is one document, and --quiet is quiet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import exporter.parity
from exporter import reference
from exporter.formats.registry import formats
from exporter.runtimes import Runs
from exporter.runtimes.registry import runtimes
from exporter.source.keras_file import keras_config

BROKEN = Path(__file__).with_name("broken")
SCHEMA = json.loads((Path(exporter.parity.__file__).parent / "report.v1.schema.json").read_text())


def check_report(report: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(report)


def test_convert_json_is_the_report(every_format: Any) -> None:
    report = every_format.result.json
    check_report(report)
    assert json.loads((every_format.root / "report.json").read_text()) == report
    assert every_format.result.status == 0
    assert {c["runtime"] for c in report["cells"]} == {
        name for name, runtime in runtimes().items() if not isinstance(runtime, str) and runtime.runs == Runs.ALL
    }


def test_progress_is_on_stderr(every_format: Any) -> None:
    said = every_format.result.err.splitlines()
    assert said[0].startswith("opening ")
    assert [line for line in said if line.startswith("writing ")] == [
        f"writing {a['recipe']}" for a in every_format.result.json["artifacts"]
    ]
    assert said[-1].startswith("done in ")


def test_quiet_leaves_stderr_empty_and_the_table_on_stdout(custom: Any) -> None:
    assert custom.result.err == ""
    lines = custom.result.out.splitlines()
    assert lines[0].split() == ["recipe", "size", "runtime", "verdict", "cells", "error", "needed", "ms"]
    assert any(line.startswith("PASSED: 10 cells (10 passed)") for line in lines)
    assert any(line.startswith("report: ") and line.endswith("report.html") for line in lines)
    assert max(map(len, lines)) <= 160


@pytest.mark.parametrize("outcome", ["passed", "mismatched", "not-run"])
def test_verify_json_is_the_report(cli: Any, every_format: Any, small: Any, outcome: str) -> None:
    arguments: dict[str, tuple[Any, int, list[str], dict[str, str]]] = {
        "passed": (small, 0, [], {}),
        "mismatched": (every_format, 1, ["--runtime", "onnxruntime", "--rtol", "0", "--atol", "0"], {}),
        "not-run": (small, 3, ["--require", "all"], {"EXPORTER_NODE": "/nonexistent"}),
    }
    bundle, status, more, environment = arguments[outcome]
    result = cli("verify", bundle.root, "--json", "--quiet", *more, status=status, **environment)
    assert result.err == ""
    check_report(result.json)
    assert outcome in {c["outcome"] for c in result.json["cells"]}
    assert json.loads((bundle.root / "report.json").read_text()) == result.json


def test_lists(cli: Any, plugins: str) -> None:
    models = cli("models", "--json").json
    assert [m["name"] for m in models] == reference.names()
    assert all(m["title"] for m in models)
    listed = {f["name"]: f for f in cli("formats", "--json").json}
    assert set(listed) == set(formats())
    assert listed["tfjs-graph"]["runtimes"] == ["tfjs-node-cpu", "tfjs-node-wasm"]
    assert {o["name"] for o in listed["tfjs-graph"]["options"]} >= {"shard-size"}
    for command, word in (("models", "digits-cnn"), ("formats", "shard-size=4MiB")):
        result = cli(command)
        assert word in result.out
        assert result.err == ""


def test_a_broken_plugin_is_a_visible_row(cli: Any, plugins: str) -> None:
    listed = {f["name"]: f for f in cli("formats", "--json", EXPORTER_PLUGINS=plugins).json}
    assert listed["unimportable"]["problem"] == "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"
    assert listed["raises"]["title"] == "raises an exception"
    assert "a_package_that_nobody_has" in cli("formats", EXPORTER_PLUGINS=plugins).out
    result = cli("convert", "linear-spark", "--to", "unimportable", status=2, EXPORTER_PLUGINS=plugins)
    assert "'unimportable' cannot be used: ModuleNotFoundError" in result.err


def test_runtimes_are_really_started(cli: Any) -> None:
    """A TensorFlow that cannot be imported costs the runtimes that need it; each says why."""
    found = {r["name"]: r for r in cli("runtimes", "--json", PYTHONPATH=str(BROKEN)).json}
    assert set(found) == set(runtimes())
    for name, row in found.items():
        assert row["formats"]
        if name in ("keras", "tensorflow", "tensorflow-session", "tensorflow-lite"):
            assert row["status"] == "broken"
            assert "ImportError: this TensorFlow was built for another processor" in row["reason"]
        else:
            assert (row["status"], row["reason"]) == ("works", "")
            assert row["versions"]


def test_doctor_gives_the_fix_for_a_missing_node(cli: Any) -> None:
    result = cli("doctor", "--json", status=3, EXPORTER_NODE="/nonexistent/node")
    checks = {c["name"]: c for c in result.json}
    node = checks["Node"]
    assert node["status"] == "missing"
    assert "EXPORTER_NODE=/nonexistent/node is no Node" in node["found"]
    assert node["fix"] == "unset EXPORTER_NODE or correct its path"
    for name in ("tfjs-node-cpu", "tfjs-node-wasm", "onnxruntime-node", "litert-node"):
        assert checks[f"runtime {name}"]["status"] == "missing"
        assert checks[f"runtime {name}"]["fix"]
    for name in ("Python", "tensorflow", "runtime litert", "runtime onnxruntime"):
        assert checks[name]["status"] == "works"


def test_train_writes_the_model_and_its_metrics(cli: Any) -> None:
    result = cli("train", "linear-spark-fixed", "-o", "trained", "--json", "--quiet")
    assert result.err == ""
    assert result.json["metrics"]["max_deviation"] <= 1e-5
    assert json.loads((cli.directory / "trained" / "metrics.json").read_text()) == result.json
    model = cli.directory / result.json["model"]
    assert keras_config(model)["config"]["name"] == "linear_spark_fixed"


def test_a_reader_that_goes_away_is_no_error(cli: Any) -> None:
    """As `exporter models | head -1` does."""
    running = cli.start("formats")
    running.stop_reading()
    result = running.finish()
    assert "Traceback" not in result.err
    assert "BrokenPipe" not in result.err


def test_an_internal_error_is_one_line_unless_debugging(cli: Any, files: Path) -> None:
    arguments = ["convert", files / "functional.keras", "-o", "b"]
    environment = {"EXPORTER_PLUGINS": str(Path(__file__).parent / "absent")}
    assert cli(*arguments, "--to", "nonsense", status=2, **environment).err.startswith("error: unknown format")
    shown = cli.start("--debug", *arguments, "--to", "nonsense").finish()
    assert "Traceback" in shown.err
    assert "UsageError" in shown.err
