package exporter.spark

import exporter.spark.TestSession._
import org.apache.spark.sql.{AnalysisException, Row}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.{BeforeAll, Test, TestInstance}

/** Which argument of `tfpredict` goes to which input, and what is refused before any job. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ArgumentsTest {

  @BeforeAll
  def tables(): Unit = {
    spark.conf.set("spark.exporter.model", TestModels.linear)
    spark.conf.set("spark.exporter.model.minus", TestModels.twice)
    spark.conf.set("spark.exporter.model.minus.signature", "minus")
    spark.conf.set("spark.exporter.model.mixed", TestModels.mixed)
    frame("a float, b float, c float, n int, ids array<bigint>", Row(5f, 3f, 1f, 7, Seq(1L, 2L, 3L))).createOrReplaceTempView("one")
  }

  private def value(expression: String): Any = rows(s"select $expression from one").head.get(0)

  @Test def byPositionInTheOrderOfNames(): Unit = {
    assertEquals(2f, value("tfpredict('minus', a, b)"))
    assertEquals(4f, value("tfpredict('minus', a, c)"))
    assertEquals(-2f, value("tfpredict('minus', b + 0f, a + 0f)"))
  }

  @Test def byNameInAStruct(): Unit = {
    assertEquals(2f, value("tfpredict('minus', struct(b, a))"))
    assertEquals(-4f, value("tfpredict('minus', named_struct('b', a, 'a', c))"))
    assertEquals(2f, value("tfpredict('minus', struct(one.*))"))
    assertEquals(2f, value("tfpredict('minus', struct(A, B))"))
  }

  @Test def twoFieldsForOneInput(): Unit =
    for (struct <- Seq("struct(a, c as a, b)", "struct(a, c as A, b)")) {
      fails("are all given for the input 'a'; give one field of that name")(sql(s"select tfpredict('minus', $struct) from one"))
    }

  @Test def whatIsWrongWithACallIsAnErrorOfTheAnalyzer(): Unit =
    for (call <- Seq("tfpredict('nobody', a)", "tfpredict('minus', a)", "tfpredict('minus', n, a)")) {
      assertThrows(classOf[AnalysisException], () => sql(s"select $call from one"))
    }

  @Test def settingsThatThereAreNot(): Unit = {
    fails("spark.exporter.model.minus.batchsize is no setting, expected spark.exporter.model.minus.batchSize") {
      withConf("spark.exporter.model.minus.batchsize" -> "3")(sql("select tfpredict('minus', a, b) from one"))
    }
    for (call <- Seq("tfpredict(array(a, b))", "tfpredict('minus', a, b)")) {
      fails("spark.exporter.null is no setting") {
        withConf("spark.exporter.null" -> "null")(sql(s"select $call from one"))
      }
    }
    fails("outputs names 'total' twice") {
      withConf("spark.exporter.model.mixed.outputs" -> "total,total")(sql("select tfpredict('mixed', a, ids) from one"))
    }
    fails("batchSize is 1000000000, expected 1 to 1048576") {
      withConf("spark.exporter.batchSize" -> "1000000000")(sql("select tfpredict(array(a, b)) from one"))
    }
  }

  @Test def columnsAreNamedAsTheCall(): Unit = {
    withConf("spark.exporter.model.first" -> TestModels.linear, "spark.exporter.model.second" -> TestModels.linear) {
      val both = sql("select tfpredict('first', array(a, b)), tfpredict('second', array(a, b)), tfpredict(array(a, b)) from one")
      assertEquals(
        Seq("tfpredict('first', array(a, b))", "tfpredict('second', array(a, b))", "tfpredict(array(a, b))"), both.columns.toSeq)
      // one model under several names is run once
      both.collect()
      assertEquals(1, Plans.batches(both))
    }
  }

  @Test def aBundleIsNotAModel(): Unit = {
    val bundle = TestModels.directory("bundle")
    TestModels("bundle/artifacts/saved-model/model")(exporter.tensorflow.SavedModels.linear(_))
    java.nio.file.Files.writeString(bundle.resolve("bundle.json"), "{}")
    fails(s"give $bundle/artifacts/saved-model/model")(withConf("spark.exporter.model" -> bundle.toString) {
      sql("select tfpredict(array(a, b)) from one")
    })
  }

  @Test def structColumns(): Unit = {
    frame("s struct<b: float, a: float>", Row(Row(1f, 10f)), Row(null)).createOrReplaceTempView("structs")
    assertEquals(9f, rows("select tfpredict('minus', s) from structs where s is not null").head.get(0))
    withConf("spark.exporter.nulls" -> "null") {
      assertEquals(Set(Row(9f), Row(null)), rows("select tfpredict('minus', s) from structs").toSet)
    }
  }

  @Test def severalColumnsMakeAVector(): Unit = {
    assertEquals(2.5f - 6 + 0.25f, value("tfpredict(array(a, b))"))
    assertEquals(2.5f - 6 + 0.25f, value("tfpredict(struct(a, b))"))
    assertEquals(2.5f - 6 + 0.25f, value("tfpredict(struct(struct(a, b) as features))"))
    assertEquals(6L, value("tfpredict('mixed', struct(a as amount, struct(n as i, n as j, n as k) as ids)).total - 15L"))
  }

  @Test def severalOutputsAreAStruct(): Unit = {
    assertEquals(Row(false, 6L), value("tfpredict('mixed', a, ids)"))
    assertEquals(6L, value("tfpredict('mixed', a, ids).total"))
    withConf("spark.exporter.model.mixed.outputs" -> "total")(assertEquals(6L, value("tfpredict('mixed', a, ids)")))
    withConf("spark.exporter.model.mixed.outputs" -> "total, large") {
      assertEquals(Row(6L, false), value("tfpredict('mixed', a, ids)"))
    }
  }

  @Test def swappedColumnsAreRefused(): Unit =
    fails("column 'b' is given for input 'a'", "the order is a, b; to match by name use struct(a, b)") {
      sql("select tfpredict('minus', b, a) from one")
    }

  @Test def refusedAtAnalysis(): Unit = {
    fails("tfpredict got 1 argument for", "expected 2: a, b")(sql("select tfpredict('minus', a) from one"))
    fails("no field 'b' for the input of that name, found a, c")(sql("select tfpredict('minus', struct(a, c)) from one"))
    fails("column 'n' is int, expected array<float> of 2 or 2 columns of float for input features: float32 [?, 2]") {
      sql("select tfpredict(n) from one")
    }
    fails("column 'ids' is array<bigint>", "bigint to float32 can lose values; cast the column, or set narrow=true") {
      sql("select tfpredict(ids) from one")
    }
    fails("column 'a, b, c' is 3 columns")(sql("select tfpredict(struct(a, b, c)) from one"))
    fails("the model has no output 'sum', found large, total") {
      withConf("spark.exporter.model.mixed.outputs" -> "sum")(sql("select tfpredict('mixed', a, ids) from one"))
    }
  }

  @Test def modelsThatAreNotThere(): Unit = {
    fails("no model is named 'other': found minus, mixed", "set spark.exporter.model.other to its path") {
      sql("select tfpredict('other', a) from one")
    }
    fails("no model at '/nowhere/model'", "hdfs://", "archive:NAME") {
      withConf("spark.exporter.model" -> "/nowhere/model")(sql("select tfpredict(a) from one"))
    }
    fails(s"model '${TestModels.linear}' has no signature 'other', found serving_default") {
      withConf("spark.exporter.signature" -> "other")(sql("select tfpredict(array(a, b)) from one"))
    }
    fails("training", "serve") {
      withConf("spark.exporter.tags" -> "training")(sql("select tfpredict(array(a, b)) from one"))
    }
    fails("expected", "saved-model") {
      val empty = java.nio.file.Files.createTempDirectory("empty")
      withConf("spark.exporter.model" -> empty.toString)(sql("select tfpredict(array(a, b)) from one"))
    }
    fails("batchSize is '0x', expected a whole number") {
      withConf("spark.exporter.batchSize" -> "0x")(sql("select tfpredict(array(a, b)) from one"))
    }
  }
}
