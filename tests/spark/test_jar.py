"""The one jar to submit works alone: nothing else of this project is on the class path of driver and executors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter.runtimes import _jvm


def test_the_application_runs_from_the_jar_alone(distribution: Any, exported: Any, tmp_path: Path) -> None:
    found = [*(_jvm.jars_directory() / "dist" / "target").glob("exporter-spark_*-*-*.jar")]
    (jar,) = [path for path in found if not path.name.endswith("-thin.jar")]
    rows = tmp_path / "rows.json"
    inputs, outputs = exported.inputs["inputs"], exported.outputs["outputs"]
    rows.write_text("\n".join(json.dumps({"id": i, "inputs": row.tolist()}) for i, row in enumerate(inputs)) + "\n")
    done = distribution.submit(
        "local-cluster[2,1,1024]",
        *("--class", "exporter.spark.app.Score", str(jar), "--model", str(exported.model)),
        *("--input", str(rows), "--input-format", "json", "--schema", "id int, inputs array<float>"),
        *("--output", str(tmp_path / "out"), "--output-format", "json"),
    )
    assert done.returncode == 0, done.stderr
    scored = [json.loads(line) for part in (tmp_path / "out").glob("*.json") for line in part.read_text().splitlines()]
    assert len(scored) == len(inputs)
    for row in scored:
        assert abs(row["outputs"] - outputs[row["id"], 0]) < 1e-5
