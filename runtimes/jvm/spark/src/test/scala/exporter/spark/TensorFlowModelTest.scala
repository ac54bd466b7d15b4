package exporter.spark

import java.nio.file.{Files, Paths}

import exporter.spark.TestSession._
import exporter.tensorflow.SavedModels
import org.apache.spark.ml.{Pipeline, PipelineModel}
import org.apache.spark.ml.feature.VectorAssembler
import org.apache.spark.ml.param.ParamMap
import org.apache.spark.sql.{DataFrame, Row}
import org.apache.spark.sql.types._
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test

/** The transformer as users of Spark ML know transformers. */
class TensorFlowModelTest {
  private def people: DataFrame =
    frame("id int, a float, b float, col array<float>", Row(1, 1f, 2f, Seq(1f, 2f)), Row(2, 4f, 0f, Seq(4f, 0f))).coalesce(1)

  private def values(df: DataFrame, column: String): Seq[Any] = df.select(column).collect().map(_.get(0)).toSeq

  @Test def addsAColumn(): Unit = {
    val scored = TensorFlowModel.load(TestModels.linear).setInputs(Map("features" -> "col")).transform(people)
    assertEquals(Seq("id", "a", "b", "col", "outputs"), scored.columns.toSeq)
    assertEquals(Seq(-3.25f, 2.25f), values(scored, "outputs"))
    assertEquals(1, Plans.scores(scored).size)
    assertEquals(StructField("outputs", FloatType), scored.schema("outputs"))
  }

  @Test def severalColumnsAsAVector(): Unit = {
    val model = TensorFlowModel.load(TestModels.linear).setInputColumns("features", Seq("b", "a"))
    assertEquals(Seq(1f - 2 + 0.25f, -8f + 0.25f), values(model.transform(people), "outputs"))
  }

  @Test def outputsGetNamesAndEachBatchRunsOnce(): Unit = {
    val df = frame("amount float, n array<bigint>", Row(11f, Seq(1L, 2L, 3L))).coalesce(1)
    val model = TensorFlowModel.load(TestModels.mixed).setInputs(Map("ids" -> "n"))
    val all = model.transform(df)
    assertEquals(Seq(Row(11f, Seq(1L, 2L, 3L), true, 6L)), all.collect().toSeq)
    assertEquals(Seq("amount", "n", "large", "total"), all.columns.toSeq)
    assertEquals(1, Plans.batches(all))
    val some = model.setOutputs(Map("total" -> "sum of ids")).transform(df)
    assertEquals(Seq("amount", "n", "sum of ids"), some.columns.toSeq)
    assertEquals(Seq(6L), values(some, "`sum of ids`"))
    val both = model.setOutputs(Map("total" -> "t", "large" -> "l")).transform(df)
    assertEquals(Row(true, 6L), both.select("l", "t").head())
    assertEquals(1, Plans.batches { both.collect(); both })
  }

  @Test def nullsMakeAllOutputsNull(): Unit = {
    val df = frame("amount float, ids array<bigint>", Row(11f, null), Row(1f, Seq(1L, 1L, 1L))).coalesce(1)
    val scored = TensorFlowModel.load(TestModels.mixed).setNulls("null").transform(df)
    assertEquals(Seq(Row(null, null), Row(false, 3L)), scored.select("large", "total").collect().toSeq)
  }

  @Test def columnsWithStrangeNames(): Unit = {
    val df = people.withColumnRenamed("col", "my.col").selectExpr("*", "named_struct('inner', `my.col`) s")
    assertEquals(Seq(-3.25f, 2.25f), values(TensorFlowModel.load(TestModels.linear).setInputs(Map("features" -> "my.col")).transform(df), "outputs"))
    assertEquals(Seq(-3.25f, 2.25f), values(TensorFlowModel.load(TestModels.linear).setInputs(Map("features" -> "s.inner")).transform(df), "outputs"))
  }

  @Test def otherSignatures(): Unit = {
    val model = TensorFlowModel.load(TestModels.twice).setSignature("minus")
    assertEquals(Seq(-1f, 4f), values(model.transform(people), "difference"))
    fails("no signature 'plus', found minus, serving_default")(model.setSignature("plus").transform(people))
  }

  @Test def theSchemaIsKnownBeforehand(): Unit = {
    val model = TensorFlowModel.load(TestModels.linear).setInputs(Map("features" -> "col"))
    assertEquals(model.transform(people).schema, model.transformSchema(people.schema))
    fails("column 'id' is int, expected array<float> of 2")(model.setInputs(Map("features" -> "id")).transformSchema(people.schema))
  }

  @Test def mistakesAreFoundBeforeAnyJob(): Unit = {
    def model = TensorFlowModel.load(TestModels.linear)
    fails("no column 'features' for the input 'features', found id, a, b, col; name another with setInputs")(model.transform(people))
    fails("no column 'x' for the input 'features'")(model.setInputs(Map("features" -> "x")).transform(people))
    fails("the model has no input 'feature', found features; see setInputs")(model.setInputs(Map("feature" -> "col")).transform(people))
    fails("there is a column 'ID' already")(model.setInputs(Map("features" -> "col")).setOutputs(Map("outputs" -> "ID")).transform(people).columns)
    fails("the model has no output 'y', found outputs")(model.setInputs(Map("features" -> "col")).setOutputs(Map("y" -> "z")).transform(people))
    fails("batchSize")(model.setBatchSize(0))
    fails("ragged is 'cut', expected error, bucket or pad=<value>")(model.setRagged("cut"))
  }

  @Test def savedWithItsFiles(): Unit = {
    val source = Files.createTempDirectory("source").resolve("m")
    SavedModels.linear(source)
    val saved = Files.createTempDirectory("saved").resolve("transformer").toString
    val model = TensorFlowModel
      .load(source.toString)
      .setInputs(Map("features" -> "col"))
      .setOutputs(Map("outputs" -> "p"))
      .setNulls("default=1")
      .setBatchSize(7)
    model.write.overwrite().save(saved)
    model.write.overwrite().save(saved)
    fails("already exists")(model.write.save(saved))
    // the copy is complete: the source may go
    Fingerprint.entries(source).foreach(entry => Files.delete(entry.file))
    val loaded = TensorFlowModel.load(saved)
    assertEquals(model.uid, loaded.uid)
    assertEquals(model.options, loaded.options)
    assertEquals(Seq(-3.25f, 2.25f), values(loaded.transform(people), "p"))
    assertFalse(new String(Files.readAllBytes(Files.list(Paths.get(saved, "metadata")).filter(_.getFileName.toString.startsWith("part-")).findFirst.get)).contains(source.toString))
  }

  @Test def inAPipeline(): Unit = {
    val assembler = new VectorAssembler().setInputCols(Array("a", "b")).setOutputCol("features")
    val model = TensorFlowModel.load(TestModels.linear).setOutputs(Map("outputs" -> "p"))
    val fitted = new Pipeline().setStages(Array(assembler, model)).fit(people)
    assertEquals(Seq(-3.25f, 2.25f), values(fitted.transform(people), "p"))
    val saved = Files.createTempDirectory("pipeline").resolve("p").toString
    fitted.write.save(saved)
    assertEquals(Seq(-3.25f, 2.25f), values(PipelineModel.load(saved).transform(people), "p"))
  }

  @Test def copies(): Unit = {
    val model = TensorFlowModel.load(TestModels.linear).setInputs(Map("features" -> "col"))
    val copy = model.copy(ParamMap(model.outputs -> Map("outputs" -> Seq("p"))))
    assertEquals(Seq("p"), copy.transform(people).columns.toSeq.drop(4))
    assertEquals(Seq("outputs"), model.transform(people).columns.toSeq.drop(4))
  }

  @Test def twoTransformersInARow(): Unit = {
    val twice = TensorFlowModel.load(TestModels.twice).setInputs(Map("x" -> "outputs"))
    val scored = twice.transform(TensorFlowModel.load(TestModels.linear).setInputs(Map("features" -> "col")).transform(people))
    assertEquals(Seq(-6.5f, 4.5f), values(scored, "y"))
    assertEquals(Nil, Plans.fallbacks(scored))
  }
}
