package exporter.spark

import exporter.spark.TestSession._
import org.apache.spark.ml.linalg.Vectors
import org.apache.spark.sql.{DataFrame, Row}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test
import org.tensorflow.proto.DataType._

/** Arrays of other lengths than the model takes, or than the rows beside them. */
class RaggedTest {
  private def score(df: DataFrame, model: String, ragged: String, nulls: String = "error", batchSize: Int = 256): Seq[Row] =
    TensorFlowModel.load(model).setRagged(ragged).setNulls(nulls).setBatchSize(batchSize).transform(df).collect().toSeq

  private def lengths(counts: Int*): DataFrame =
    frame("x array<float>", counts.map(n => Row((1 to n).map(_.toFloat))): _*).coalesce(1)

  private def sums(counts: Int*): Seq[Float] = counts.map(n => n * (n + 1) / 2f)

  @Test def anotherLengthThanTheSignature(): Unit = {
    val df = frame("features array<float>", Row(Seq(1f, 2f)), Row(Seq(1f))).coalesce(1)
    val long = frame("features array<float>", Row(Seq(1f, 2f)), Row(Seq(1f, 2f, 3f))).coalesce(1)
    fails("column 'features', row 1 of partition 0: has 1 values, expected 2; set ragged=pad=<value>")(score(df, TestModels.linear, "error"))
    fails("row 1 of partition 0: has 3 values, expected 2")(score(long, TestModels.linear, "error"))
    // the length is fixed: other shapes cannot run, apart or not, and nothing is cut off
    fails("has 1 values, expected 2")(score(df, TestModels.linear, "bucket"))
    fails("has 3 values, expected 2")(score(long, TestModels.linear, "pad=0"))
    assertEquals(Seq(-3.25f, 0.5f - 20 + 0.25f), score(df, TestModels.linear, "pad=10").map(_.getFloat(1)))
  }

  @Test def lengthsThatTheSignatureLeavesOpen(): Unit = {
    // which rows meet in a batch is chance, so rows of different lengths fail even where they would not meet
    for (batchSize <- Seq(1, 2, 256)) {
      fails("column 'x', row 2 of partition 0: has 1 values where rows before have 3; set ragged=pad=<value> or ragged=bucket") {
        score(lengths(3, 3, 1, 2), TestModels.rowSums, "error", batchSize = batchSize)
      }
      assertEquals(sums(3, 3, 3), score(lengths(3, 3, 3), TestModels.rowSums, "error", batchSize = batchSize).map(_.getFloat(1)))
      val counts = Seq(3, 1, 0, 3, 5, 1, 1, 2, 3)
      for (policy <- Seq("pad=0", "bucket")) {
        assertEquals(sums(counts: _*), score(lengths(counts: _*), TestModels.rowSums, policy, batchSize = batchSize).map(_.getFloat(1)), policy)
      }
    }
  }

  @Test def aLengthOfItsOwn(): Unit = {
    def padded(df: DataFrame, length: Int) = TensorFlowModel.load(TestModels.identity("ragged-own", ("x", DT_FLOAT, Seq(-1L, -1L))))
      .setRagged("pad=0").setPadTo(length).setBatchSize(2).transform(df).collect().map(_.getSeq[Float](1).toSeq).toSeq
    assertEquals(Seq(Seq(1f, 0f, 0f), Seq(1f, 2f, 3f), Seq(0f, 0f, 0f)), padded(lengths(1, 3, 0), 3))
    fails("has 4 values, expected 3; nothing is cut off: leave such rows out, or raise padTo")(padded(lengths(1, 4), 3))
    // a length of its own can also stand for an array that is not there
    val model = TensorFlowModel.load(TestModels.rowSums).setRagged("pad=0").setPadTo(3).setNulls("default=2")
    assertEquals(6f, model.transform(frame("x array<float>", Row(null))).first().getFloat(1))
    fails("padTo is 3 and ragged is error; set ragged=pad=<value> as well")(model.setRagged("error").transform(lengths(1)))
  }

  @Test def rowsOfOneShapeRunTogether(): Unit = {
    val counts = Seq.tabulate(60)(i => i % 3 + 1)
    val query = TensorFlowModel.load(TestModels.rowSums).setRagged("bucket").setBatchSize(30).transform(lengths(counts: _*))
    assertEquals(sums(counts: _*), query.collect().map(_.getFloat(1)).toSeq)
    assertEquals(6, Plans.batches(query))
    val padded = TensorFlowModel.load(TestModels.rowSums).setRagged("pad=0").setBatchSize(30).transform(lengths(counts: _*))
    padded.collect()
    assertEquals(2, Plans.batches(padded))
  }

  @Test def nullsAmongThem(): Unit = {
    val df = frame("x array<float>", Row(Seq(1f)), Row(null), Row(Seq(1f, null)), Row(Seq(1f, 2f, 3f)), Row(Nil)).coalesce(1)
    for (policy <- Seq("pad=0", "bucket"); batchSize <- Seq(1, 2, 3, 256)) {
      val found = score(df, TestModels.rowSums, policy, "null", batchSize).map(_.get(1))
      assertEquals(Seq(1f, null, null, 6f, 0f), found, s"$policy $batchSize")
      fails("row 1 of partition 0: is null")(score(df, TestModels.rowSums, policy, "error", batchSize))
      fails("row 1 of partition 0: has a null at position 1") {
        score(df.filter("x is not null"), TestModels.rowSums, policy, "error", batchSize)
      }
    }
  }

  @Test def nestedArrays(): Unit = {
    val model = TestModels.identity("ragged-grid", ("x", DT_INT32, Seq(-1L, -1L, -1L)))
    val grids = Seq(Seq(Seq(1, 2), Seq(3, 4)), Seq(Seq(5), Seq(6)), Seq(), Seq(Seq(7, 8, 9)))
    val df = frame("x array<array<int>>", grids.map(Row(_)): _*).coalesce(1)
    assertEquals(grids, score(df, model, "bucket").map(_.get(1)))
    def filled(grid: Seq[Seq[Int]]) = (grid.map(_.padTo(3, 0)) ++ Seq.fill(2 - grid.size)(Seq(0, 0, 0)))
    assertEquals(grids.map(filled), score(df, model, "pad=0").map(_.get(1)))
    val jagged = frame("x array<array<int>>", Row(Seq(Seq(1, 2), Seq(3)))).coalesce(1)
    fails("row 0 of partition 0: has arrays of 2 and of 1 in one row")(score(jagged, model, "bucket"))
    assertEquals(Seq(Seq(Seq(1, 2), Seq(3, -1))), score(jagged, model, "pad=-1").map(_.get(1)))
  }

  @Test def otherColumns(): Unit = {
    val bytes = TestModels.identity("ragged-bytes", ("x", DT_UINT8, Seq(-1L, -1L)))
    val images = frame("x binary", Row(Array[Byte](1, -1)), Row(Array[Byte](3))).coalesce(1)
    assertEquals(Seq(Seq(1, 255), Seq(3)), score(images, bytes, "bucket").map(_.getSeq[Short](1).map(_.toInt)))
    assertEquals(Seq(Seq(1, 255), Seq(3, 9)), score(images, bytes, "pad=9").map(_.getSeq[Short](1).map(_.toInt)))
    val schema = new org.apache.spark.sql.types.StructType().add("x", org.apache.spark.ml.linalg.SQLDataTypes.VectorType)
    val vectors = spark
      .createDataFrame(Java.list(Seq(Row(Vectors.dense(1, 2)), Row(Vectors.sparse(4, Array(1), Array(5.0))))), schema)
      .coalesce(1)
    assertEquals(Seq(3f, 5f), score(vectors, TestModels.rowSums, "bucket").map(_.getFloat(1)))
    assertEquals(Seq(5f, 5f), score(vectors, TestModels.rowSums, "pad=1").map(_.getFloat(1)))
    val texts = TestModels.identity("ragged-texts", ("x", DT_STRING, Seq(-1L, -1L)))
    val words = frame("x array<string>", Row(Seq("a", "b")), Row(Seq("c"))).coalesce(1)
    assertEquals(Seq(Seq("a", "b"), Seq("c", "-")), score(words, texts, "pad=-").map(_.get(1)))
    assertEquals(Seq(Seq("a", "b"), Seq("c")), score(words, texts, "bucket").map(_.get(1)))
  }
}
