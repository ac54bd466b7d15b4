"""One model in one Spark application: starts it, writes the rows, checks that all arms agree, and times them.

usage: python -m spark_bench.session DIRECTORY ROUNDS        DIRECTORY as `models.prepare` leaves it

Runs in the environment with PySpark and with the variables that `environment` says; leaves `result.json` in DIRECTORY.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

import exporter.spark
from exporter.runtimes import _jvm

from .arms import Arm, arms
from .measure import Spent, measured
from .models import Case, load
from .results import COMMON

SLOTS = 2  # task slots, and threads of the bare loop
FILES = 4  # of each table, so that both slots have the same to do
SWEPT = 3  # rounds in which other batch sizes are timed
GATE = 1e-4  # of the float32 runtimes: |a-b| <= GATE * S + GATE * |b|, S the root mean square of the reference
JAVACPP = {"maxPhysicalBytes": "0", "maxBytes": "0", "noPointerGC": "true"}


def start(top: Path) -> SparkSession:
    """local[2] with the library, the ONNX engine and what the library is compared with."""
    worker = top / _jvm.WORKER
    names = ("exporter-onnxruntime", "onnxruntime", "jna")
    others = [str(jar) for name in names for jar in worker.glob(f"{name}-[0-9]*.jar")]
    bench = top / "bench" / "target" / "exporter-spark-bench.jar"
    if not bench.exists():
        sys.exit(f"no {bench}; run: make bench-spark")
    flags = " ".join(f"-Dorg.bytedeco.javacpp.{name}={value}" for name, value in JAVACPP.items())
    builder: Any = SparkSession.builder
    builder = (
        builder.master(f"local[{SLOTS}]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.extraJavaOptions", flags)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.files.openCostInBytes", "0")
        .config("spark.sql.files.minPartitionNum", str(FILES))
    )
    jars = [*exporter.spark.jars(), *others, str(bench)]
    spark: SparkSession = exporter.spark.configure(builder, jars).getOrCreate()
    return spark


def write_rows(case: Case) -> None:
    """The first rows of the case for each kind of arm, in files of equal size."""
    rows = np.load(Path(case.directory) / "rows.npy", mmap_mode="r")
    for kind, count in case.rows.items():
        Path(case.data(kind)).mkdir(exist_ok=True)
        for part, index in enumerate(np.array_split(np.arange(count), FILES)):
            values = rows[index[0] : index[-1] + 1]
            flat = pa.array(values.reshape(-1).tolist() if case.text else values.reshape(-1))
            features = pa.ListArray.from_arrays(np.arange(len(index) + 1, dtype=np.int32) * values.shape[1], flat)
            table = pa.table({"id": index, "features": features})
            pq.write_table(table, f"{case.data(kind)}/{part}.parquet", compression="none", use_dictionary=case.text)


def check(case: Case, arm: Arm, spark: SparkSession, batch: int) -> float:
    """The largest share of the allowed error that an arm takes. Ends the program where it is too much."""
    assert arm.frame is not None
    found = arm.frame(spark.read.parquet(case.data("check")), batch).orderBy("id").collect()
    expected = case.expected()
    if [row[0] for row in found] != list(range(len(expected))):
        sys.exit(f"{arm.name} with batches of {batch} did not return every row once: found {len(found)} rows")
    scores = np.array([row[1] for row in found], np.float64).reshape(expected.shape)
    scale = float(np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
    worst = float(np.max(np.abs(scores - expected) / (GATE * scale + GATE * np.abs(expected))))
    if not worst <= 1:
        sys.exit(f"{arm.name} with batches of {batch} is {worst:.3g} times further from Keras than the gate allows")
    return worst


def time_all(case: Case, spark: SparkSession, found: list[Arm], rounds: int) -> list[dict[str, Any]]:
    """Microseconds per row by arm and batch size, in rounds that time each once; the first is not counted."""
    tables = {kind: spark.read.parquet(case.data(kind)) for kind in case.rows}
    timed = [(arm, batch) for arm in found for batch in ((COMMON, *case.batches) if arm.batched else (COMMON,))]
    spent: list[list[Spent]] = [[] for _ in timed]
    order = random.Random(len(timed))
    for number in range(rounds + 1):
        turns = [i for i, (_, batch) in enumerate(timed) if batch == COMMON or number <= SWEPT]
        order.shuffle(turns)
        for i in turns:
            arm, batch = timed[i]
            # what is idle for a minute ends, and a Python worker takes its model with it
            arm.run(tables["check"], case.rows["check"], batch)
            spark._jvm.java.lang.System.gc()
            count = 0

            def work() -> None:
                nonlocal count
                count = arm.run(tables[arm.rows], case.rows[arm.rows], batch)  # noqa: B023

            took = measured(work)
            if number:
                spent[i].append(Spent(took.wall / count * 1e6, took.cpu / count * 1e6))
        print(f"bench-spark: {case.name}: round {number} of {rounds}", flush=True)
    return [
        {
            "arm": arm.name,
            "batch": batch if arm.batched else None,
            "rows": case.rows[arm.rows],
            "wall": [each.wall for each in times],
            "cpu": [each.cpu for each in times],
            "copies": arm.copies() if arm.copies else None,
        }
        for (arm, batch), times in zip(timed, spent, strict=True)
    ]


def versions(spark: SparkSession) -> dict[str, str]:
    import pandas as pd
    import pyspark
    import tensorflow as tf

    jvm = spark._jvm
    (onnxruntime,) = (_jvm.jars_directory() / _jvm.WORKER).glob("onnxruntime-*.jar")
    return {
        "Spark": spark.version,
        "PySpark": pyspark.__version__,
        "Scala": jvm.scala.util.Properties.versionNumberString(),
        "Java": jvm.java.lang.System.getProperty("java.runtime.version"),
        "TensorFlow inside TensorFlow Java": jvm.org.tensorflow.TensorFlow.version(),
        "ONNX Runtime Java": onnxruntime.stem.rpartition("-")[2],
        "Python": sys.version.split()[0],
        "TensorFlow in Python": tf.__version__,
        "pandas": pd.__version__,
        "pyarrow": pa.__version__,
    }


def main(directory: Path, rounds: int) -> None:
    case = load(directory)
    (directory / "loads").write_text("")
    write_rows(case)
    spark = start(_jvm.jars_directory())
    try:
        found = arms(spark, case, SLOTS)
        checked = {arm.name: check(case, arm, spark, COMMON) for arm in found if arm.frame}
        times = time_all(case, spark, found, rounds)
        result = {"case": json.loads((directory / "case.json").read_text()), "checked": checked, "times": times}
        (directory / "result.json").write_text(json.dumps({**result, "versions": versions(spark)}, indent=1))
    finally:
        spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
