package exporter.spark

import exporter.spark.TestSession._
import exporter.tensorflow.SavedModels
import org.apache.spark.sql.Row
import org.apache.spark.sql.functions.col
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test

/** Batches of every size and rows in every partition give one and the same answer. */
class BatchTest {
  private def linear(rows: Int, partitions: Int) =
    spark.range(0, rows, 1, partitions).selectExpr("id", "array(cast(id % 7 as float), cast(id % 11 as float)) features")

  private def expected(id: Long): Float = 0.5f * (id % 7) - 2 * (id % 11) + 0.25f

  @Test def lastBatchesOfEverySize(): Unit =
    for (batchSize <- Seq(1, 2, 3, 7, 8, 100); rows <- Seq(1, 6, 7, 8, 9, 14, 20)) {
      val query = TensorFlowModel.load(TestModels.linear).setBatchSize(batchSize).transform(linear(rows, 1)).select("id", "outputs")
      val found = query.queryExecution.toRdd.map(row => (row.getLong(0), row.getFloat(1))).collect().toSeq
      assertEquals((0L until rows).map(id => (id, expected(id))), found, s"$rows rows by $batchSize")
    }

  @Test def partitionsMakeNoDifference(): Unit = {
    val model = TensorFlowModel.load(TestModels("mlp")(SavedModels.mlp(_, 4, 8, 3)))
    val rows = spark.range(0, 500, 1, 2).selectExpr("id", "transform(sequence(1, 4), i -> cast(sin(id * i) as float)) features")
    def scored(partitions: Int, batchSize: Int) =
      model.setBatchSize(batchSize).transform(rows.repartition(partitions)).select("id", "outputs").collect()
        .map(row => row.getLong(0) -> row.getSeq[Float](1)).toMap
    val one = scored(1, 500)
    assertEquals(500, one.size)
    for (partitions <- Seq(2, 7); batchSize <- Seq(1, 64)) {
      // a kernel may add in another order in a batch of another size
      scored(partitions, batchSize).foreach { case (id, values) =>
        values.zip(one(id)).foreach { case (a, b) => assertEquals(b, a, 1e-5f, s"row $id in $partitions by $batchSize") }
      }
    }
  }

  @Test def emptyPartitionsLoadNothing(): Unit = {
    val model = ProbeEngine.model("never-loaded")
    val df = linear(0, 3).withColumnRenamed("features", "x").repartition(3)
    assertEquals(0, TensorFlowModel.load(model).transform(df).collect().length)
    val some = linear(2, 2).withColumnRenamed("features", "x").filter("id = 1")
    val query = TensorFlowModel.load(model).transform(some)
    assertEquals(1, query.collect().length)
    assertEquals(1, Plans.batches(query))
  }

  @Test def aFixedBatchIsFilledUpAndCut(): Unit = {
    val model = TestModels("fixed")(SavedModels.fixedBatch(_))
    for (rows <- 1 to 9) {
      val df = spark.range(0, rows, 1, 1).selectExpr("array(cast(id as float), cast(1 as float)) x")
      val query = TensorFlowModel.load(model).setBatchSize(6).transform(df)
      assertEquals((0 until rows).map(_ + 1f), query.collect().map(_.getFloat(1)).toSeq, s"$rows rows")
    }
    val texts = TestModels.identity("fixed-texts", ("x", org.tensorflow.proto.DataType.DT_STRING, Seq(4L)))
    val df = frame("x string", (0 until 6).map(i => Row(s"text $i")): _*).coalesce(1)
    assertEquals((0 until 6).map(i => s"text $i"), TensorFlowModel.load(texts).transform(df).collect().map(_.getString(1)).toSeq)
  }

  @Test def withoutADimensionForRowsEachRowRunsAlone(): Unit = {
    val df = spark.range(0, 5, 1, 1).selectExpr("cast(id as float) x")
    val query = TensorFlowModel.load(TestModels("scalar")(SavedModels.scalar(_))).transform(df)
    assertEquals((0 until 5).map(_ * 2f), query.collect().map(_.getFloat(1)).toSeq)
    assertEquals(5, Plans.batches(query))
  }

  @Test def rowsWithoutResultAreNotRun(): Unit = {
    val df = linear(100, 1).selectExpr("id", "if(id % 3 = 0, features, null) features")
    for (batchSize <- Seq(1, 10, 256)) {
      val query = TensorFlowModel.load(TestModels.linear).setNulls("null").setBatchSize(batchSize).transform(df)
      val found = query.collect().map(row => row.getLong(0) -> row.get(2)).toMap
      assertEquals((0L until 100).map(id => id -> (if (id % 3 == 0) expected(id) else null)).toMap, found)
      assertEquals(34, Plans.scoredRows(query))
    }
    val none = df.selectExpr("id", "cast(null as array<float>) features")
    val query = TensorFlowModel.load(TestModels.linear).setNulls("null").transform(none)
    assertEquals(100, query.filter(col("outputs").isNull).count())
  }

  @Test def wideRowsBesideAreKeptWhole(): Unit = {
    // more than the first buffer of a batch holds, and columns of every length
    val df = linear(600, 2).withColumn("beside", org.apache.spark.sql.functions.expr("repeat(cast(id as string), cast(id % 97 as int))"))
    val found = TensorFlowModel.load(TestModels.linear).transform(df).collect()
    assertEquals(600, found.length)
    found.foreach { row =>
      val id = row.getLong(0)
      assertEquals(id.toString * (id % 97).toInt, row.getAs[String]("beside"))
      assertEquals(expected(id), row.getAs[Float]("outputs"))
    }
  }

  @Test def nativeMemoryStaysFlat(): Unit = {
    def resident(): Long = {
      val pages = new String(java.nio.file.Files.readAllBytes(java.nio.file.Paths.get("/proc/self/statm"))).split(" ")(1).toLong
      pages * 4096
    }
    org.junit.jupiter.api.Assumptions.assumeTrue(java.nio.file.Files.exists(java.nio.file.Paths.get("/proc/self/statm")))
    org.junit.jupiter.api.Assumptions.assumeTrue(spark.sparkContext.isLocal)
    val scorer = Scorer(spark.sparkContext, TestModels("wide")(SavedModels.mlp(_, 1000, 4)), ScoreOptions(batchSize = 8))
    val texts = Scorer(spark.sparkContext, TestModels.strings, ScoreOptions(batchSize = 8, outputs = Seq("marked")))
    val row = Array.tabulate(1000)(i => (i % 3).toFloat)
    def batches(count: Int): Unit = {
      scorer.scorePartitions[Array[Float], Array[Float]](spark.sparkContext.range(0, count * 8L, 1, 2).map(_ => row)).count()
      texts.scorePartitions[String, String](spark.sparkContext.range(0, count * 8L, 1, 2).map(i => s"a string of more than a few bytes, $i")).count()
    }
    batches(1000)
    System.gc()
    val before = resident()
    batches(4000)
    System.gc()
    // one leaked input tensor per batch would be 128 MB
    assertTrue(resident() - before < (48L << 20), s"grew by ${(resident() - before) >> 20} MiB")
  }
}
