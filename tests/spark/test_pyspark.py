"""`exporter.spark` in pip's PySpark: the JVM runs the model, and no Python worker is ever started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession, functions

from exporter import spark as library
from exporter.errors import ExporterError, UsageError


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    work = tmp_path_factory.mktemp("session")
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.executor.memory", "1g")
    builder = builder.config("spark.driver.memory", "1g").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.warehouse.dir", str(work / "warehouse")).config("spark.task.maxFailures", "1")
    found = library.configure(builder).getOrCreate()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def rows(session: SparkSession, exported: Any, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """The inputs that the model's reference outputs were computed for, with those outputs, from Parquet."""
    directory = tmp_path_factory.mktemp("rows")
    inputs, outputs = exported.inputs["inputs"].tolist(), exported.outputs["outputs"].tolist()
    # from a file: rows that Python makes would come through a Python worker
    lines = [json.dumps({"id": i, "x": x, "y": y, "python": outputs[i][0]}) for i, (x, y) in enumerate(inputs)]
    (directory / "rows.json").write_text("\n".join(lines))
    frame = session.read.schema("id int, x float, y float, python float").json(str(directory / "rows.json"))
    frame.repartition(3).withColumn("features", functions.array("x", "y")).write.parquet(str(directory / "rows"))
    return session.read.parquet(str(directory / "rows"))


def plan(df: DataFrame) -> str:
    return str(df._jdf.queryExecution().executedPlan().toString())


def assert_scored(df: DataFrame, column: str) -> None:
    """The values are Python's, the JVM's operator is in the plan, and nothing of Python's is."""
    found = df.orderBy("id").collect()
    assert len(found) > 0
    ours = np.array([row[column] for row in found], np.float32)
    np.testing.assert_allclose(ours, np.array([row["python"] for row in found], np.float32), rtol=1e-5, atol=1e-6)
    text = plan(df)
    assert "Score" in text
    assert "Python" not in text
    assert "TfPredictRow" not in text


def python_workers() -> list[str]:
    """Command lines of Python processes that Spark starts for rows."""
    lines = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [line for line in lines if "pyspark.daemon" in line or "pyspark.worker" in line]


def test_score_adds_the_outputs(session: SparkSession, rows: DataFrame, exported: Any) -> None:
    assert_scored(library.score(rows, exported.model, {"inputs": "features"}), "outputs")


def test_score_with_columns_names_and_options(session: SparkSession, rows: DataFrame, exported: Any) -> None:
    scored = library.score(
        rows,
        str(exported.model),
        {"inputs": ["x", "y"]},
        {"outputs": "price"},
        batch_size=3,
        tags=["serve"],
        nulls="null",
        ragged="pad=0",
        pad_to=2,
        signature="serving_default",
    )
    assert_scored(scored, "price")


def test_tfpredict_by_name_and_by_default(session: SparkSession, rows: DataFrame, exported: Any) -> None:
    library.register(session, "linear", exported.model, batch_size=4, outputs=["outputs"])
    assert_scored(rows.withColumn("p", library.tfpredict("features", model="linear")), "p")
    assert_scored(rows.withColumn("p", library.tfpredict(model="linear", inputs={"inputs": "features"})), "p")
    library.register(session, None, exported.model)
    assert_scored(rows.withColumn("p", library.tfpredict(functions.array("x", "y"))), "p")
    rows.createOrReplaceTempView("rows")
    assert_scored(
        session.sql("select *, tfpredict('linear', features) p from rows where tfpredict(features) < 1e9"), "p"
    )


def test_no_python_worker_was_started(session: SparkSession, rows: DataFrame, exported: Any) -> None:
    before = python_workers()
    library.score(rows, exported.model, {"inputs": "features"}).collect()
    assert python_workers() == before == []


def test_what_the_library_refuses_is_its_own_message(session: SparkSession, rows: DataFrame, exported: Any) -> None:
    for code, expected, call in (
        ("no-model", "no model at", lambda: library.score(rows, "/nowhere")),
        ("no-model", "no model at", lambda: library.register(session, "x", "/nowhere")),
        ("inputs", "the model has no input 'other'", lambda: library.score(rows, exported.model, {"other": "x"})),
        ("inputs", "no column 'z'", lambda: library.score(rows, exported.model, {"inputs": "z"})),
        ("no-signature", "sum", lambda: library.score(rows, exported.model, {"inputs": "features"}, signature="sum")),
    ):
        with pytest.raises(ExporterError, match=expected) as error:
            call()
        assert error.value.code == code
        assert "\n" not in str(error.value)
    with pytest.raises(AnalysisException, match=r"id.* is int"):
        library.score(rows, exported.model, {"inputs": "id"})


def test_wrong_options_are_told_before_the_jvm(session: SparkSession, rows: DataFrame, exported: Any) -> None:
    with pytest.raises(UsageError, match="unknown option 'batchsize', expected batch_size"):
        library.score(rows, exported.model, {"inputs": "features"}, batchsize=3)
    with pytest.raises(UsageError, match="batch_size is True, expected int"):
        library.score(rows, exported.model, {"inputs": "features"}, batch_size=True)
    with pytest.raises(UsageError, match="expected columns, or inputs by name"):
        library.tfpredict()


def test_a_session_that_runs_takes_no_jars(session: SparkSession) -> None:
    with pytest.raises(library.SparkError, match="runs already and takes no more jars"):
        library.configure(SparkSession.builder)


def run_python(program: str, **environment: str) -> str:
    """The last line of what a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


CATCH = """
from pyspark.sql import SparkSession
from exporter import spark
try:
    {call}
except Exception as error:
    print(type(error).__name__, error)
"""


def test_spark_connect_is_refused() -> None:
    call = "spark.configure(SparkSession.builder)"
    assert "SparkError found Spark Connect" in run_python(CATCH.format(call=call), SPARK_REMOTE="sc://localhost")
    remote = "spark.configure(SparkSession.builder.remote('sc://localhost'))"
    assert "SparkError found Spark Connect" in run_python(CATCH.format(call=remote))


def test_a_session_without_the_jars_is_told_so(exported: Any) -> None:
    call = "spark.register(SparkSession.builder.master('local[1]').getOrCreate(), 'x', 'y')"
    assert "SparkError the session was started without the library's jars" in run_python(CATCH.format(call=call))


def test_settings_that_were_there_stay() -> None:
    builder = "SparkSession.builder.config('spark.jars', 'a.jar').config('spark.sql.extensions', 'x.Y')"
    call = f"print(sorted(spark.configure({builder}, jars=['b.jar', 'a.jar'])._options.items()))"
    assert run_python(CATCH.format(call=call)) == str(
        [("spark.jars", "a.jar,b.jar"), ("spark.sql.extensions", "x.Y,exporter.spark.ExporterExtensions")]
    )


def test_without_pyspark_the_message_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyspark.py").write_text("raise ImportError('none here')\n")
    program = (
        "from exporter import spark\ntry:\n    spark.tfpredict('x')\nexcept Exception as error:\n    print(error)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    assert run_python(program, PYTHONPATH=path).startswith("PySpark is not installed in this environment; pip install")
