package exporter.spark

import exporter.spark.TestSession._
import exporter.tensorflow.SavedModels
import org.apache.spark.ml.linalg.Vectors
import org.apache.spark.sql.{DataFrame, Row}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test
import org.tensorflow.proto.DataType._

/** Nulls become what the policy says, and never 0: reading an array of floats as a whole turns its nulls into 0. */
class NullTest {
  private def score(df: DataFrame, nulls: String, model: String = TestModels.linear): Seq[Row] =
    TensorFlowModel.load(model).setNulls(nulls).transform(df).collect().toSeq

  /** Each way that an array comes to the operator in: as Parquet has it, from rows on the driver, out of an expression. */
  private def arrays(element: String): Seq[DataFrame] = {
    val rows = Seq(Row(0, Seq(1f, 2f)), Row(1, Seq(3f, null)), Row(2, null))
    val local = frame("id int, features array<float>", rows: _*)
    val file = TestModels.directory("nulls.parquet").toString
    local.coalesce(1).write.mode("overwrite").parquet(file)
    Seq(
      local.coalesce(1),
      spark.read.parquet(file),
      local.coalesce(1).selectExpr("id", "transform(features, x -> x) features"),
      local.coalesce(1).selectExpr("id", "if(features is null, null, array(features[0], features[1])) features"))
  }

  @Test def aNullElementFailsTheJobByDefault(): Unit =
    arrays("float").foreach { df =>
      fails("column 'features', row 1 of partition 0: has a null at position 1", "set nulls=null") {
        score(df.filter("id < 2"), "error")
      }
    }

  @Test def aNullArrayFailsTheJobByDefault(): Unit =
    arrays("float").foreach { df =>
      fails("column 'features', row 1 of partition 0: is null") {
        score(df.filter("id <> 1"), "error")
      }
    }

  @Test def aRowWithNullsHasANullResult(): Unit =
    arrays("float").foreach { df =>
      assertEquals(Seq(-3.25f, null, null), score(df, "null").map(_.get(2)))
    }

  @Test def theDefaultReplacesNullElementsAndNullArrays(): Unit =
    arrays("float").foreach { df =>
      assertEquals(Seq(-3.25f, 1.5f - 10 + 0.25f, 2.5f - 10 + 0.25f), score(df, "default=5").map(_.get(2)))
    }

  @Test def everyPositionIsSeen(): Unit = {
    // the bits are in words of 64
    val width = 130
    val model = TestModels("sum-130")(SavedModels.mlp(_, width, 1))
    val kernel = SavedModels.kernel(width, 1).map(_(0))
    for (position <- Seq(0, 63, 64, 129)) {
      val df = spark.range(1).selectExpr(s"transform(sequence(0, ${width - 1}), i -> if(i = $position, null, cast(1 as float))) features")
      fails(s"has a null at position $position")(score(df, "error", model))
      assertEquals(Seq(null), score(df, "null", model).map(_.get(1)))
      // sums of multiples of 1/256: exact
      assertEquals(kernel.sum + kernel(position), score(df, "default=2", model).head.getFloat(1), 0f, s"position $position")
    }
  }

  @Test def oneNullInManyBatchesOfAFile(): Unit =
    for (format <- Seq("parquet", "orc")) {
      val file = TestModels.directory(s"many-nulls.$format").toString
      spark.range(0, 12000, 1, 1)
        .selectExpr("id", "array(cast(id as float), if(id in (5000, 11999), null, cast(1 as float))) features")
        .write.mode("overwrite").format(format).save(file)
      val df = spark.read.format(format).load(file)
      val scored = TensorFlowModel.load(TestModels.linear).setNulls("null").transform(df)
      scored.collect().foreach { row =>
        val id = row.getLong(0)
        assertEquals(if (id == 5000 || id == 11999) null else 0.5f * id - 1.75f, row.get(2), s"$format $id")
      }
      // straight from the columns of the file
      assertTrue(Plans.scores(scored).exists(score => ColumnarRows.source(score.child).isDefined), format)
      fails("column 'features', row 5000 of partition 0: has a null at position 1")(score(df, "error"))
    }

  @Test def nullsInColumnsOfAVector(): Unit = {
    val df = frame("a float, b float", Row(1f, 2f), Row(null, 2f), Row(3f, null)).coalesce(1)
    def model = TensorFlowModel.load(TestModels.linear).setInputColumns("features", Seq("a", "b"))
    fails("column 'a', row 1 of partition 0: is null")(model.transform(df).collect())
    assertEquals(Seq(-3.25f, null, null), model.setNulls("null").transform(df).collect().map(_.get(2)).toSeq)
    assertEquals(
      Seq(-3.25f, -0.5f - 4 + 0.25f, 1.5f + 2 + 0.25f),
      model.setNulls("default=-1").transform(df).collect().map(_.get(2)).toSeq)
  }

  @Test def nullsOfEveryKindOfColumn(): Unit = {
    val model = TestModels.identity(
      "null-kinds",
      ("bool", DT_BOOL, Seq(-1L)),
      ("grid", DT_INT32, Seq(-1L, 2L, 2L)),
      ("long", DT_INT64, Seq(-1L)),
      ("text", DT_STRING, Seq(-1L, 2L)),
      ("vector", DT_FLOAT, Seq(-1L, 2L)))
    val complete = Row(true, Seq(Seq(1, 2), Seq(3, 4)), 5L, Seq("a", "b"), Vectors.dense(1, 2))
    val holes = Seq(
      Row(null, complete(1), 5L, complete(3), complete(4)),
      Row(true, null, 5L, complete(3), complete(4)),
      Row(true, Seq(null, Seq(3, 4)), 5L, complete(3), complete(4)),
      Row(true, Seq(Seq(1, 2), Seq(3, null)), 5L, complete(3), complete(4)),
      Row(true, complete(1), null, complete(3), complete(4)),
      Row(true, complete(1), 5L, Seq("a", null), complete(4)),
      Row(true, complete(1), 5L, complete(3), null))
    val schema = new org.apache.spark.sql.types.StructType()
      .add("bool", "boolean").add("grid", "array<array<int>>").add("long", "long").add("text", "array<string>")
      .add("vector", org.apache.spark.ml.linalg.SQLDataTypes.VectorType)
    val df = spark.createDataFrame(Java.list(complete +: holes), schema).coalesce(1)
    val scored = score(df, "null", model).map(row => (5 until 10).map(row.get))
    assertEquals(Seq(true, Seq(Seq(1, 2), Seq(3, 4)), 5L, Seq("a", "b"), Seq(1f, 2f)), scored.head)
    scored.tail.foreach(row => assertEquals(Seq.fill(5)(null), row))
    holes.foreach { hole =>
      fails("row 0 of partition 0: ", "null")(score(spark.createDataFrame(Java.list(Seq(hole)), schema), "error", model))
    }
  }

  @Test def aDefaultHasToBeAValueOfEveryInput(): Unit = {
    fails("nulls=default=x is no value of input 'features', which is float32") {
      score(frame("features array<float>", Row(Seq(1f, 2f))), "default=x")
    }
    for (value <- Seq("1e39", "3.5e38", "-1e300")) {
      fails(s"nulls=default=$value is no value of input 'features', which is float32") {
        score(frame("features array<float>", Row(Seq(1f, 2f))), s"default=$value")
      }
    }
    fails("ragged=pad=1e39 is no value of input 'features'") {
      TensorFlowModel.load(TestModels.linear).setRagged("pad=1e39").transform(frame("features array<float>", Row(Seq(1f))))
    }
    fails("length is open") {
      score(frame("x array<float>", Row(Seq(1f, 2f))), "default=1", TestModels.rowSums)
    }
    fails("nulls is 'zero', expected error, null or default=<value>")(TensorFlowModel.load(TestModels.linear).setNulls("zero"))
  }
}
