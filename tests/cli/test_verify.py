"""`exporter verify`: the same verdict from the bundle alone, and red when something is not as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).with_name("models.py")


def verdicts(report: dict[str, Any]) -> dict[tuple[str, ...], str]:
    return {tuple(c[k] for k in ("recipe", "runtime", "signature", "case")): c["outcome"] for c in report["cells"]}


@pytest.fixture
def copied(cli: Any, small: Any) -> Path:
    return Path(shutil.copytree(small.root, cli.directory / "bundle"))


def test_the_bundle_alone_gives_the_same_verdict(cli: Any, every_format: Any) -> None:
    """The source was deleted, and the bundle is elsewhere now."""
    moved = cli.directory / "elsewhere"
    shutil.copytree(every_format.root, moved)
    for report in ("report.json", "report.html"):
        (moved / report).unlink()
    # a runtime of each kind of worker
    runtimes = ("keras", "tensorflow", "onnxruntime", "litert", "tfjs-node-cpu", "tensorflow-java", "spark-sql")
    chosen = [word for name in runtimes for word in ("--runtime", name)]
    again = cli("verify", moved, "--json", *chosen).json
    first = verdicts(every_format.result.json)
    assert verdicts(again) == {cell: outcome for cell, outcome in first.items() if cell[1] in runtimes}
    assert {recipe for recipe, *_ in verdicts(again)} == {recipe for recipe, *_ in first}
    assert set(verdicts(again).values()) == {"passed"}
    counted = {"planned": len(verdicts(again)), "passed": len(verdicts(again))}
    assert again["summary"] == {**every_format.result.json["summary"], **counted}
    assert json.loads((moved / "report.json").read_text()) == again
    assert (moved / "report.html").is_file()


def test_cells_that_need_code(cli: Any, custom: Any) -> None:
    """No code is taken from a bundle: without --custom these cells are Unsupported, with it they pass."""
    without = cli("verify", custom.root, "--json", status=None).json
    assert {c["outcome"] for c in without["cells"]} == {"unsupported"}
    assert all("Scale" in c["reason"] and "--custom module.py" in c["reason"] for c in without["cells"])
    assert without["summary"]["verdict"] != "passed", "nothing was confirmed"
    given = cli("verify", custom.root, "--custom", MODELS, "--json").json
    assert {c["outcome"] for c in given["cells"]} == {"passed"}


def change_byte(bundle: Path) -> str:
    path = bundle / "artifacts" / "onnx" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return "model.onnx was changed after conversion"


def change_reference(bundle: Path) -> str:
    path = next((bundle / "references").rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    return f"{path.name} was changed after conversion"


def remove_case(bundle: Path) -> str:
    path = next((bundle / "cases").rglob("*.safetensors"))
    path.unlink()
    return f"lacks {path.relative_to(bundle)}"


def add_file(bundle: Path) -> str:
    (bundle / "artifacts" / "onnx" / "extra.bin").write_text("surprise")
    return "extra.bin is not listed in bundle.json"


def cut_index(bundle: Path) -> str:
    index = bundle / "bundle.json"
    index.write_bytes(index.read_bytes()[:500])
    return "bundle.json is not a complete bundle index"


def newer_version(bundle: Path) -> str:
    index = bundle / "bundle.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 99}))
    return "has bundle version 99, this tool reads 1"


def no_index(bundle: Path) -> str:
    (bundle / "bundle.json").unlink()
    return "has no bundle.json"


@pytest.mark.parametrize(
    "harm", [change_byte, change_reference, remove_case, add_file, cut_index, newer_version, no_index]
)
def test_a_bundle_that_is_not_intact_is_refused(cli: Any, copied: Path, harm: Any) -> None:
    words = harm(copied)
    report = (copied / "report.json").read_bytes()
    for command in ("verify", "inspect"):
        if harm is no_index and command == "inspect":
            continue
        result = cli(command, copied, status=1)
        assert result.out == ""
        assert result.err.count("error: ") == 1
        assert words in result.err
        assert result.err.splitlines()[-1].startswith("  "), "no next step"
    assert (copied / "report.json").read_bytes() == report


def test_runtime_runs_only_that_one(cli: Any, every_format: Any) -> None:
    report = cli("verify", every_format.root, "--runtime", "onnxruntime", "--json").json
    assert {c["runtime"] for c in report["cells"]} == {"onnxruntime"}
    assert {c["recipe"] for c in report["cells"]} == {"onnx"}


@pytest.mark.parametrize("tolerance", [["--rtol", "0", "--atol", "0"], ["--rtol", "scores:0", "--atol", "scores:0"]])
def test_a_tolerance_of_nothing_is_red(cli: Any, every_format: Any, tolerance: list[str]) -> None:
    result = cli("verify", every_format.root, "--runtime", "onnxruntime", *tolerance, "--json", status=1)
    report = result.json
    red = [c for c in report["cells"] if c["outcome"] == "mismatched"]
    assert red
    assert report["summary"]["verdict"] == "failed"
    assert red[0]["outputs"]["scores"]["allowed"] == "bit-exact"
    assert "scores" in red[0]["reason"]


def test_a_tolerance_of_an_output_that_is_not_there_is_refused(cli: Any, every_format: Any) -> None:
    result = cli("verify", every_format.root, "--rtol", "score:0", status=2)
    assert "the output 'score', did you mean 'scores'?" in result.err


def test_a_red_verdict_reads_well(cli: Any, every_format: Any) -> None:
    arguments = ["--runtime", "onnxruntime", "--rtol", "0", "--atol", "0"]
    result = cli("verify", every_format.root, *arguments, status=1)
    assert "mismatched" in result.out
    (summary,) = [line for line in result.out.splitlines() if line.startswith("FAILED: ")]
    assert " mismatched" in summary


def test_a_missing_runtime_is_not_run_and_required_ones_are_status_3(cli: Any, small: Any) -> None:
    node = {"EXPORTER_NODE": "/nonexistent/node"}
    report = cli("verify", small.root, "--json", **node).json
    outcomes = {c["runtime"]: (c["outcome"], c["reason"]) for c in report["cells"]}
    assert outcomes["onnxruntime"] == ("passed", "")
    outcome, reason = outcomes["onnxruntime-node"]
    assert outcome == "not-run"
    assert "EXPORTER_NODE=/nonexistent/node is no Node" in reason
    assert "unset EXPORTER_NODE" in reason
    assert report["summary"]["not-run"] == 5

    for arguments in (["--require", "onnxruntime-node"], ["--require", "all"], ["--runtime", "onnxruntime-node"]):
        result = cli("verify", small.root, *arguments, status=3, **node)
        assert "missing: onnxruntime-node" in result.out
    cli("verify", small.root, "--require", "all")


def test_required_node_is_missing_for_tfjs(cli: Any, every_format: Any) -> None:
    arguments = ["--require", "tfjs-node-cpu", "--runtime", "litert", "--runtime", "tfjs-node-cpu", "--json"]
    result = cli("verify", every_format.root, *arguments, status=3, EXPORTER_NODE="/nonexistent/node")
    assert result.json["summary"]["missing"] == ["tfjs-node-cpu"]
    assert result.json["summary"]["verdict"] == "incomplete"


def test_an_old_node_is_not_used(cli: Any, small: Any) -> None:
    old = cli.directory / "node"
    old.write_text("#!/bin/sh\necho v18.19.0\n")
    old.chmod(0o755)
    result = cli("verify", small.root, "--runtime", "onnxruntime-node", status=3, EXPORTER_NODE=str(old))
    assert "of version 20 or newer" in result.out


def test_reports_go_where_they_are_told_to(cli: Any, small: Any) -> None:
    arguments = ["--report", "json=more/r.json", "--report", "html=more/r.html", "--json", "--quiet"]
    result = cli("verify", small.root, "--runtime", "onnxruntime", *arguments)
    assert result.err == ""
    assert json.loads((cli.directory / "more" / "r.json").read_text()) == result.json
    assert "<html" in (cli.directory / "more" / "r.html").read_text()


def test_a_read_only_bundle_can_be_verified(cli: Any, copied: Path) -> None:
    if os.geteuid() == 0:
        mounted = [["mount", "--bind", copied, copied], ["mount", "-o", "remount,ro,bind", copied]]
        if any(subprocess.run(command).returncode for command in mounted):
            pytest.skip("root ignores permissions, and nothing can be mounted here")
    else:
        copied.chmod(0o555)
    try:
        before = (copied / "report.json").read_bytes()
        result = cli("verify", copied, "--runtime", "onnxruntime", "--report", "json=r.json")
        assert "is read-only" in result.err
        assert (copied / "report.json").read_bytes() == before
        assert json.loads((cli.directory / "r.json").read_text())["summary"]["verdict"] == "passed"
    finally:
        subprocess.run(["umount", copied]) if os.geteuid() == 0 else copied.chmod(0o755)
