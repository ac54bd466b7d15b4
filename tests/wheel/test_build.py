"""The JVM workers, built from what is in the wheel: Maven takes minutes for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

JVM = ["spark-dataframe", "spark-rdd", "spark-sql", "tensorflow-java"]


def test_the_jvm_workers_are_built_from_the_wheel(run: Any, tmp_path: Path) -> None:
    installed = run("doctor", "--install", "jvm", "--json")  # 3: the JavaScript packages are still missing
    assert installed.returncode == 3, installed.stdout + installed.stderr
    works = {c["name"] for c in json.loads(installed.stdout) if c["status"] == "works"}
    assert {f"runtime {name}" for name in JVM} <= works, installed.stdout
    cached = list((tmp_path / "cache" / "exporter").iterdir())
    assert [c.name.partition("-")[0] for c in cached] == ["jvm"], "staging was left behind"
    wanted = [word for name in JVM for word in ("--runtime", name)]
    converted = run("convert", "linear-spark", "-o", "bundle", "--to", "saved-model", *wanted, "--json")
    assert converted.returncode == 0, converted.stdout[-3000:] + converted.stderr
    assert json.loads(converted.stdout)["summary"]["passed"] == 4 * 6
