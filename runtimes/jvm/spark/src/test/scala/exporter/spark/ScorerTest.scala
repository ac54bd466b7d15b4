package exporter.spark

import exporter.spark.TestSession._
import exporter.tensorflow.SavedModels
import org.apache.spark.sql.Row
import org.apache.spark.sql.types.StructType
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test
import org.tensorflow.proto.DataType._

/** RDDs in, RDDs out. */
class ScorerTest {
  private def context = spark.sparkContext

  @Test def arraysToNumbers(): Unit = {
    val scorer = Scorer(context, TestModels.linear, ScoreOptions(batchSize = 3))
    val rdd = context.parallelize(0 until 20, 3).map(i => Array(i.toFloat, 1f))
    val scores = scorer.scorePartitions[Array[Float], Float](rdd)
    assertEquals(3, scores.getNumPartitions)
    assertEquals((0 until 20).map(0.5f * _ - 1.75f), scores.collect().toSeq)
    assertEquals(0, scorer.scorePartitions[Array[Float], Float](context.parallelize(Seq.empty[Array[Float]], 2)).count())
  }

  @Test def elementsKeepTheirKeys(): Unit = {
    val scorer = Scorer(context, TestModels.linear)
    val rdd = context.parallelize(Seq("a" -> Array(1f, 2f), "b" -> Array(4f, 0f)), 2)
    val scores = scorer.scoreBy[(String, Array[Float]), Array[Float], Float](rdd)(_._2)
    assertEquals(Map("a" -> -3.25f, "b" -> 2.25f), scores.map { case ((key, _), score) => key -> score }.collect().toMap)
  }

  @Test def everyKindOfValue(): Unit = {
    def same[T: Values: reflect.ClassTag](dataType: org.tensorflow.proto.DataType, dims: Seq[Long], values: T*): Unit = {
      val model = TestModels.identity(s"scorer-$dataType-${dims.size}", ("x", dataType, -1L +: dims))
      val found = Scorer(context, model).scorePartitions[T, T](context.parallelize(values, 1)).collect()
      assertArrayEquals(values.toArray[Any].asInstanceOf[Array[AnyRef]], found.toArray[Any].asInstanceOf[Array[AnyRef]])
    }
    same(DT_BOOL, Nil, true, false)
    same(DT_INT32, Nil, 1, -1)
    same(DT_INT64, Nil, 1L, -1L)
    same(DT_FLOAT, Nil, 1.5f)
    same(DT_DOUBLE, Nil, 1.5d)
    same(DT_STRING, Nil, "grüße", "")
    same(DT_INT32, Seq(2L), Array(1, -1))
    same(DT_INT64, Seq(2L), Array(1L, -1L))
    same(DT_FLOAT, Seq(2L), Array(1f, -1f))
    same(DT_DOUBLE, Seq(2L), Array(1d, -1d))
  }

  @Test def rowsWithASchema(): Unit = {
    val schema = StructType.fromDDL("id int, amount float, ids array<bigint>")
    val rdd = context.parallelize(Seq(Row(1, 11f, Seq(1L, 2L, 3L)), Row(2, 1f, Seq(0L, 0L, 7L))), 2)
    val scorer = Scorer(context, TestModels.mixed)
    assertEquals(Seq("amount", "ids"), scorer.inputs.map(_.name))
    assertEquals(Seq(Row(1, 11f, Seq(1L, 2L, 3L), true, 6L), Row(2, 1f, Seq(0L, 0L, 7L), false, 7L)), scorer.scorePartitions(rdd, schema).collect().toSeq)
    assertEquals("id,amount,ids,large,total", scorer.schema(schema).fieldNames.mkString(","))
    val vector = Scorer(context, TestModels.linear)
    val columns = StructType.fromDDL("b float, a float")
    val pairs = context.parallelize(Seq(Row(2f, 1f)), 1)
    assertEquals(Seq(Row(2f, 1f, -3.25f)), vector.scorePartitions(pairs, columns, Map("features" -> Seq("a", "b"))).collect().toSeq)
  }

  @Test def nullsInRows(): Unit = {
    val schema = StructType.fromDDL("amount float, ids array<bigint>")
    val rdd = context.parallelize(Seq(Row(null, Seq(1L, 2L, 3L)), Row(1f, Seq(0L, null, 7L)), Row(1f, Seq(0L, 1L, 7L))), 1)
    val scorer = Scorer(context, TestModels.mixed, ScoreOptions(nulls = NullPolicy.NullOutput))
    assertEquals(
      Seq(Seq(null, null), Seq(null, null), Seq(false, 8L)),
      scorer.scorePartitions(rdd, schema).collect().map(_.toSeq.drop(2)).toSeq)
    fails("column 'amount', row 0 of partition 0: is null")(Scorer(context, TestModels.mixed).scorePartitions(rdd, schema).count())
  }

  @Test def mistakes(): Unit = {
    val floats = context.parallelize(Seq(Array(1f, 2f)), 1)
    fails("the model gives float, expected array<float>")(Scorer(context, TestModels.linear).scorePartitions[Array[Float], Array[Float]](floats))
    fails("column 'features' is array<double>")(Scorer(context, TestModels.linear).scorePartitions[Array[Double], Float](context.parallelize(Seq(Array(1d)), 1)))
    fails("the model has the inputs amount", "score rows with a schema")(Scorer(context, TestModels.mixed).scorePartitions[Float, Long](context.parallelize(Seq(1f), 1)))
    fails("no column 'features' for the input 'features', found x")(Scorer(context, TestModels.linear).schema(StructType.fromDDL("x int")))
    fails("the model has no input 'y', found features")(Scorer(context, TestModels.linear).schema(StructType.fromDDL("x int"), Map("y" -> Seq("x"))))
  }
}
