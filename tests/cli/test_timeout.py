"""A recipe or a request that takes too long is ended by --timeout, and says what was waited for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODELS = Path(__file__).with_name("models.py")


def test_a_recipe_that_hangs_is_a_failed_conversion(hanging: Any) -> None:
    limit, running = hanging
    result = running.finish()
    result.check_clean()
    assert result.status == 1
    report = result.json
    outcomes = {recipe: [c for c in report["cells"] if c["recipe"] == recipe] for recipe in ("tfjs-layers", "hangs")}
    assert {c["outcome"] for c in outcomes["tfjs-layers"]} == {"passed"}
    rows = outcomes["hangs"]
    assert {(c["outcome"], c["stage"], c["code"]) for c in rows} == {("failed", "convert", "timeout")}
    assert f"no answer to 'write' within {limit} s" in rows[0]["reason"]


def test_a_source_that_opens_too_slowly(cli: Any) -> None:
    result = cli("convert", f"{MODELS}:functional", "-o", "b", "--timeout", "0.2", status=1)
    assert "failed: no answer to" in result.err
    assert "within 0.2 s" in result.err
    assert "--timeout SECONDS" in result.err


def test_a_runtime_that_never_answers(cli: Any, small: Any, plugins: str) -> None:
    (cli.directory / "in.json").write_text(json.dumps([[0, 0, 0, 0]]))
    arguments = [small.root / "artifacts" / "onnx", "--inputs", "in.json", "--outputs", "out.json"]
    result = cli("run", *arguments, "--runtime", "stuck", "--timeout", "0.2", status=1, EXPORTER_PLUGINS=plugins)
    assert "stuck: no answer to 'hello' within 0.2 s" in result.err
    assert "--timeout SECONDS" in result.err

    report = cli(
        "verify", small.root, "--runtime", "stuck", "--timeout", "0.2", "--json",
        status=None, EXPORTER_PLUGINS=plugins,
    ).json  # fmt: skip
    assert report["summary"]["verdict"] != "passed"
    assert {c["outcome"] for c in report["cells"]} <= {"failed", "not-run"}
    assert any("no answer to 'hello' within 0.2 s" in c["reason"] for c in report["cells"])
