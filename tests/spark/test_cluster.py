"""The library's own tests, and its application, where executors are processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.runtimes import _jvm

SUITE = "exporter.spark.ClusterSuite"
SCORE = "exporter.spark.app.Score"
LOCAL_CLUSTER = "local-cluster[2,1,1024]"


@pytest.fixture(scope="session")
def suite() -> list[str]:
    """The jars with the library's tests and JUnit; the first is the application."""
    directory = _jvm.jars_directory() / "dist" / "target" / "cluster"
    found = sorted(map(str, directory.glob("*.jar")))
    assert found, f"no jars in {directory}; run: make jvm"
    return sorted(found, key=lambda jar: "exporter-spark-" not in jar)


def run_suite(
    distribution: Any, master: str, exported: Any, jars: list[str], suite: list[str], *classes: str
) -> dict[str, int]:
    """Submits the suite; how many tests were found, passed, failed and skipped."""
    shipped = exported.archive(distribution.work / "shipped.zip")
    application, *others = suite
    done = distribution.submit(
        master,
        *("--jars", ",".join([*jars, *others]), "--archives", f"{shipped}#shipped", "--class", SUITE, application),
        *classes,
        timeout=900,
        # errors that tests provoke are retried once, and an executor may die once
        spark__task__maxFailures="2",
        spark__speculation="true",
        spark__speculation__interval="200ms",
        spark__speculation__quantile="0.5",
        spark__sql__warehouse__dir=str(distribution.work / "warehouse"),
    )
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("cluster-suite: ")))
    summary = re.search(r"^cluster-suite: \S+ (found=.*)$", done.stdout, re.M)
    assert summary, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", summary[1])}
    assert done.returncode == 0, done.stdout[-20000:]
    assert counts["failed"] == 0
    assert counts["passed"] + counts["skipped"] == counts["found"]
    return counts


def test_what_only_happens_on_a_cluster_and_each_way_to_score(
    distribution: Any, exported: Any, jars: list[str], suite: list[str]
) -> None:
    """All that serializes: models, RDDs, transformers, queries and every type. The whole of SQL takes minutes more."""
    chosen = (r".*OnCluster", r".*\.(Ragged|Scorer|TensorFlowModel|Types)Test")
    counts = run_suite(distribution, LOCAL_CLUSTER, exported, jars, suite, *chosen)
    assert counts["passed"] > 20
    # speculation needs two hosts, which the standalone master has
    assert counts["skipped"] == 1


@pytest.mark.matrix
def test_every_test_of_the_library_on_a_cluster_of_two(
    distribution: Any, exported: Any, jars: list[str], suite: list[str]
) -> None:
    counts = run_suite(distribution, LOCAL_CLUSTER, exported, jars, suite)
    assert counts["passed"] > 100
    # some look into the JVM that scores, which is another one here
    assert counts["skipped"] < counts["found"] / 5


@pytest.mark.matrix
def test_loss_speculation_and_archives_on_a_standalone_master(
    distribution: Any, exported: Any, jars: list[str], suite: list[str]
) -> None:
    with distribution.standalone(workers=2, cores=1, memory="1g") as master:
        counts = run_suite(distribution, master, exported, jars, suite, r".*OnCluster", r".*\.DistributionTest")
    # archives that are added later reach a local master only
    assert counts["skipped"] == 1
    assert counts["passed"] > 15


@pytest.fixture
def rows(tmp_path: Path, exported: Any) -> str:
    """The inputs that the model's reference outputs were computed for, as JSON lines in three files."""
    directory = tmp_path / "rows"
    directory.mkdir()
    inputs, outputs = exported.inputs["inputs"], exported.outputs["outputs"]
    for part in range(3):
        lines = [
            json.dumps({"id": i, "features": inputs[i].tolist(), "python": float(outputs[i, 0])})
            for i in range(part, len(inputs), 3)
        ]
        (directory / f"part-{part}.json").write_text("\n".join(lines) + "\n")
    return str(directory)


def score(distribution: Any, jars: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    library = next(jar for jar in jars if "exporter-spark-" in jar)
    return distribution.submit(
        LOCAL_CLUSTER,
        *("--jars", ",".join(jars), "--class", SCORE, library, *arguments),
        spark__task__maxFailures="1",
        # Spark 4.3 makes it in every application, in the working directory by default
        spark__sql__warehouse__dir=str(distribution.work / "local" / "warehouse"),
    )


def test_the_application_gives_what_python_gives(
    distribution: Any, exported: Any, jars: list[str], rows: str, tmp_path: Path
) -> None:
    arguments = ["--model", str(exported.model), "--input", rows, "--input-format", "json"]
    arguments += ["--schema", "id int, features array<float>, python float", "--map", "inputs=features"]
    arguments += [
        "--output",
        str(tmp_path / "out"),
        "--output-format",
        "json",
        "--metrics",
        str(tmp_path / "metrics.json"),
    ]
    done = score(distribution, jars, *arguments)
    assert done.returncode == 0, done.stderr
    scored = [json.loads(line) for part in (tmp_path / "out").glob("*.json") for line in part.read_text().splitlines()]
    assert sorted(row["id"] for row in scored) == list(range(len(exported.inputs["inputs"])))
    ours = np.array([row["outputs"] for row in scored], np.float32)
    python = np.array([row["python"] for row in scored], np.float32)
    np.testing.assert_allclose(ours, python, rtol=1e-5, atol=1e-6)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["rows"] == len(scored)
    assert 1 <= metrics["loads"] == len(metrics["executors"]) <= 2
    assert metrics["resident_peak_bytes"] > 2**27


def test_a_failing_task_is_one_line_and_no_output(
    distribution: Any, exported: Any, jars: list[str], rows: str, tmp_path: Path
) -> None:
    first = Path(rows) / "part-0.json"
    first.write_text(first.read_text() + '{"id": 999, "features": [1.0, null]}\n')
    arguments = ["--model", str(exported.model), "--input", rows, "--input-format", "json"]
    arguments += [
        "--schema",
        "id int, features array<float>",
        "--map",
        "inputs=features",
        "--output",
        str(tmp_path / "out"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    done = score(distribution, jars, *arguments)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("score: ")]
    assert len(said) == 1, done.stderr
    assert "features" in said[0]
    assert "null" in said[0]
    assert "\tat " not in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert set(left) - set(before) <= {"local", "worker"}
