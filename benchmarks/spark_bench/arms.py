"""The arms: every way of scoring that is compared, on the same rows and the same exported model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, DataType, FloatType, LongType, StructField, StructType

from exporter import spark as library

from . import python_arms, results
from .models import Case


@dataclass(frozen=True)
class Arm:
    """One way of scoring.

    Attributes:
        rows: which rows of the case it scores when it is timed.
        batched: whether it has a batch size.
        frame: (id, score) of rows, for a batch size; None for what computes no scores.
        run: the timed work on rows; returns how many they were.
        copies: of the model that are held now; None where there is no model.
    """

    name: str
    rows: str
    batched: bool
    frame: Callable[[DataFrame, int], DataFrame] | None
    run: Callable[[DataFrame, int, int], int]
    copies: Callable[[], int] | None


def discard(frame: DataFrame) -> None:
    """Compute every row and every column, and write them nowhere."""
    frame.write.format("noop").mode("overwrite").save()


def arms(spark: SparkSession, case: Case, threads: int) -> list[Arm]:
    """All arms, with everything registered that they need."""
    jvm = spark._jvm.exporter.spark.bench
    session = spark._jsparkSession
    plain = jvm.PlainModel.loaded
    found: list[Arm] = []

    def frames(
        name: str, rows: str, frame: Callable[[DataFrame, int], DataFrame], copies: Callable[[], int], batched: bool
    ) -> None:
        def run(source: DataFrame, count: int, batch: int) -> int:
            discard(frame(source, batch))
            return count

        found.append(Arm(name, rows, batched, frame, run, copies))

    def call(function: str) -> Callable[[DataFrame, int], DataFrame]:
        return lambda rows, batch: rows.selectExpr("id", f"{function}(features) score")

    def named(model: str) -> Callable[[DataFrame, int], DataFrame]:
        def frame(rows: DataFrame, batch: int) -> DataFrame:
            spark.conf.set(f"spark.exporter.model.{model}.batchSize", str(batch))
            rows.createOrReplaceTempView("rows")
            return spark.sql(f"SELECT id, tfpredict('{model}', features) AS score FROM rows")

        return frame

    def transformed(rows: DataFrame, batch: int) -> DataFrame:
        scored = library.score(
            rows, case.saved_model, {case.input: "features"}, {case.output: "score"}, batch_size=batch
        )
        return scored.select("id", "score")

    def ours() -> int:
        """Loads by the library in this JVM, of each of the models that it is given."""
        return int(spark._jvm.exporter.spark.ModelStore.counters().loads()) // (2 if case.onnx else 1)

    # the first session of a process decides about the threads inside of operations: one
    jvm.PlainModel.apply(case.saved_model)
    jvm.Tutorial.register(session, "tutorial", case.saved_model, case.text, False)
    jvm.Tutorial.register(session, "tutorial_closing", case.saved_model, case.text, True)
    frames(results.TUTORIAL, "single", call("tutorial"), jvm.PlainModel.loadedAsInTutorials, False)
    frames(results.CLOSING, "single", call("tutorial_closing"), jvm.PlainModel.loadedAsInTutorials, False)
    library.register(spark, "saved", case.saved_model)
    jvm.RowByRow.register(session, "by_row", case.saved_model)
    frames(results.FALLBACK, "single", call("by_row"), ours, False)
    frames(results.TRANSFORMER, "all", transformed, ours, True)
    frames(results.SQL, "all", named("saved"), ours, True)
    found.append(_by_hand(spark, case, plain))
    for name, make in ((results.PREDICT_BATCH, _predict_batch), (results.IN_PANDAS, _map_in_pandas)):
        frames(name, "python", make(case), lambda: python_copies(case), True)
    if case.onnx:
        library.register(spark, "onnx", case.onnx)
        frames(results.ONNX, "all", named("onnx"), ours, True)
    found.append(_bare(spark, case, plain, threads))

    def scan(rows: DataFrame, count: int, batch: int) -> int:
        discard(rows.select("id", "features"))
        return count

    found.append(Arm(results.SCAN, "all", False, None, scan, None))
    return found


def _by_hand(spark: SparkSession, case: Case, copies: Callable[[], int]) -> Arm:
    by_hand = spark._jvm.exporter.spark.bench.HandBatched

    def frame(rows: DataFrame, batch: int) -> DataFrame:
        return DataFrame(by_hand.frame(rows._jdf, case.saved_model, case.text, batch), spark)

    def run(rows: DataFrame, count: int, batch: int) -> int:
        by_hand.run(rows._jdf, case.saved_model, case.text, batch)
        return count

    return Arm(results.BY_HAND, "all", True, frame, run, copies)


def _bare(spark: SparkSession, case: Case, copies: Callable[[], int], threads: int) -> Arm:
    check = spark.read.parquet(case.data("check"))
    loops: dict[int, Any] = {}

    def loop(batch: int) -> Any:
        if batch not in loops:
            make = spark._jvm.exporter.spark.bench.BareLoop
            loops[batch] = make(check._jdf, case.saved_model, case.text, batch)
        return loops[batch]

    def frame(rows: DataFrame, batch: int) -> DataFrame:
        return DataFrame(loop(batch).frame(), spark)

    def run(rows: DataFrame, count: int, batch: int) -> int:
        return int(loop(batch).run(count, threads))

    return Arm(results.BARE, "all", True, frame, run, copies)


def _model(case: Case) -> Sequence[str]:
    return case.saved_model, case.input, case.output, f"{case.directory}/loads"


def python_copies(case: Case) -> int:
    """Python workers alive now that hold the model."""
    pids = Path(f"{case.directory}/loads").read_text().split()
    return sum(1 for pid in set(pids) if Path(f"/proc/{pid}").exists())


def _score_type(case: Case) -> DataType:
    return FloatType() if case.width == 1 else ArrayType(FloatType())


def _predict_batch(case: Case) -> Callable[[DataFrame, int], DataFrame]:
    functions: dict[int, Any] = {}

    def frame(rows: DataFrame, batch: int) -> DataFrame:
        # one function for each size: its model is cached by the function
        if batch not in functions:
            functions[batch] = predict_batch_udf(
                python_arms.batch_function(*_model(case)),
                return_type=_score_type(case),
                batch_size=batch,
                input_tensor_shapes=[list(case.shape)],
            )
        return rows.select("id", functions[batch]("features").alias("score"))

    return frame


def _map_in_pandas(case: Case) -> Callable[[DataFrame, int], DataFrame]:
    schema = StructType([StructField("id", LongType()), StructField("score", _score_type(case))])

    def frame(rows: DataFrame, batch: int) -> DataFrame:
        function = python_arms.frame_function(batch, case.shape, *_model(case))
        return rows.select("id", "features").mapInPandas(function, schema)

    return frame
