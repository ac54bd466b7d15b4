package exporter.spark.app

import java.io.{ByteArrayOutputStream, PrintStream}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Path}

import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
import exporter.spark.{Java, TestModels, TestSession}
import exporter.tensorflow.SavedModels
import org.apache.spark.sql.{DataFrame, SparkSession}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The application from its command line to its files, exit status and words. */
class ScoreTest {
  @TempDir var directory: Path = _

  private def spark: SparkSession = TestSession.spark

  private def path(name: String): String = directory.resolve(name).toString

  private case class Done(status: Int, out: String, err: String)

  private def score(words: String*): Done = run(words, spark)

  private def run(words: Seq[String], open: => SparkSession): Done = {
    val out, err = new ByteArrayOutputStream
    def printer(stream: ByteArrayOutputStream) = new PrintStream(stream, true, "UTF-8")
    Done(Score.run(words, open, printer(out), printer(err), _ => ()), out.toString(UTF_8), err.toString(UTF_8))
  }

  private def succeeds(words: String*): Done = {
    val done = score(words: _*)
    assertEquals((0, ""), (done.status, done.err))
    done
  }

  /** Fails with one line, and leaves nothing that was not there. */
  private def fails(expected: String, words: String*): Unit = {
    val before = files
    val done = score(words: _*)
    assertEquals(1, done.status, done.err)
    assertTrue(done.err.startsWith("score: ") && done.err.contains(expected), done.err)
    assertEquals(1, done.err.linesIterator.size, done.err)
    assertFalse(done.err.contains("DATATYPE_MISMATCH"), done.err)
    assertEquals(before, files)
  }

  /** All files with their contents. */
  private def files: Map[String, Seq[Byte]] =
    Java
      .seq[Path](Files.walk(directory))
      .map { file =>
        val bytes: Seq[Byte] = if (Files.isRegularFile(file)) Files.readAllBytes(file).toSeq else Nil
        directory.relativize(file).toString -> bytes
      }
      .toMap

  /** 20 rows: id, features [2], x, y, and the expected score. */
  private def rows: DataFrame = spark.range(0, 20, 1, 3).selectExpr(
    "id",
    "array(cast(id as float), cast(id % 3 as float)) features",
    "cast(id as float) x",
    "cast(id % 3 as float) y",
    "cast(0.5 * id - 2 * (id % 3) + 0.25 as float) expected")

  private def in(format: String, data: DataFrame = rows): String = {
    data.write.format(format).option("header", "true").save(path("in"))
    path("in")
  }

  private def linear(words: String*): Seq[String] = Seq("--model", TestModels.linear) ++ words

  private def checked(result: DataFrame, column: String = "outputs"): Unit =
    assertEquals((20L, 0L), (result.count(), result.where(s"$column <> expected or $column is null").count()))

  @Test def theInputIsNeverTheOutput(): Unit = {
    val input = in("parquet")
    for (mode <- Seq("overwrite", "append"); output <- Seq(input, path("in/below"), path("in/../in"), directory.toString)) {
      fails("lie in each other", linear("--input", input, "--output", output, "--mode", mode): _*)
    }
    fails("lie in each other", linear("--input", path("in/*.parquet"), "--output", input, "--mode", "overwrite"): _*)
    Files.write(directory.resolve("file"), Array[Byte](1))
    fails("is a file", linear("--input", input, "--output", path("file"), "--mode", "overwrite"): _*)
    // a name that only begins like the input's
    succeeds(linear("--input", input, "--output", path("inside")): _*)
  }

  @Test def parquetToParquetWithFigures(): Unit = {
    val metrics = Seq("--metrics", path("m/figures.json"), "--batch-size", "4")
    succeeds(linear("--input", in("parquet"), "--output", path("out")) ++ metrics: _*)
    val result = spark.read.parquet(path("out"))
    assertEquals("id features x y expected outputs", result.columns.mkString(" "))
    checked(result)
    val figures: JsonNode = new ObjectMapper().readTree(Files.readAllBytes(directory.resolve("m/figures.json")))
    assertEquals("figures.json", directory.resolve("m").toFile.list().mkString(" "))
    assertEquals(20, figures.get("rows").asLong)
    assertTrue(figures.get("batches").asLong >= 5, figures.toString)
    Seq("fill_ns", "run_ns", "read_ns", "wall_ns", "loads", "resident_peak_bytes").foreach { name =>
      assertTrue(figures.get(name).asLong > 0, s"$name in $figures")
    }
    val slots = spark.sparkContext.defaultParallelism
    assertTrue(figures.get("run_ns").asLong < slots * figures.get("wall_ns").asLong, figures.toString)
    assertFalse(figures.get("executors").isEmpty, figures.toString)
    assertEquals(64, figures.get("sha256").asText.length)
  }

  @Test def severalColumnsAsOneVectorAndOtherNames(): Unit = {
    succeeds(
      linear("--input", in("orc"), "--input-format", "orc", "--output", path("out"), "--output-format", "orc", "--map",
        "features=x,y", "--keep", "expected,id", "--outputs", "outputs=score"): _*)
    val result = spark.read.orc(path("out"))
    assertEquals("expected id score", result.columns.mkString(" "))
    checked(result, "score")
  }

  @Test def csvNeedsNoMoreThanItsSchema(): Unit = {
    val schema = "id long, x float, y float, expected float"
    val csv = in("csv", rows.drop("features"))
    val words = linear("--input", csv, "--input-format", "csv", "--map", "features=x,y", "--output", path("out"))
    fails("column 'x' is double", words: _*)
    succeeds(words ++ Seq("--schema", schema, "--output-format", "csv", "--write", "header=true"): _*)
    checked(spark.read.option("header", "true").schema(s"$schema, outputs float").csv(path("out")))
  }

  @Test def jsonNarrowsOnlyWhenTold(): Unit = {
    val json = in("json")
    val words = linear("--input", json, "--input-format", "json", "--output", path("out"), "--output-format", "json")
    fails("give --narrow", words: _*)
    succeeds(words :+ "--narrow": _*)
    checked(spark.read.json(path("out")))
  }

  @Test def tables(): Unit = {
    rows.write.mode("overwrite").saveAsTable("score_in")
    try {
      val from = Seq("--input", "score_in", "--input-format", "table")
      val words = linear(from ++ Seq("--output", "score_out", "--output-format", "table"): _*)
      succeeds(words: _*)
      checked(spark.table("score_out"))
      fails("table score_out exists", words: _*)
      succeeds(words ++ Seq("--mode", "append"): _*)
      assertEquals(40, spark.table("score_out").count())
      succeeds(words ++ Seq("--mode", "overwrite"): _*)
      checked(spark.table("score_out"))
      assertEquals(
        Seq("score_in", "score_out"),
        spark.catalog.listTables().collect().map(_.name).filter(_.startsWith("score_")).sorted.toSeq)
    } finally Seq("score_in", "score_out").foreach(name => spark.sql(s"drop table if exists $name"))
  }

  @Test def whatIsThereStaysUnlessTheModeSaysOtherwise(): Unit = {
    val words = linear("--input", in("parquet"), "--output", path("out"))
    succeeds(words: _*)
    fails(s"output ${path("out")} exists; give another path, or --mode overwrite or append", words: _*)
    succeeds(words ++ Seq("--mode", "append"): _*)
    assertEquals(40, spark.read.parquet(path("out")).count())
    fails("holds id bigint", words ++ Seq("--mode", "append", "--keep", "id"): _*)
    succeeds(words ++ Seq("--mode", "overwrite"): _*)
    checked(spark.read.parquet(path("out")))
    assertEquals(Seq("in", "out"), directory.toFile.list.sorted.toSeq)
  }

  @Test def aFailureInTheMiddleLeavesEverythingAsItWas(): Unit = {
    val bad = rows.selectExpr("id", "if(id = 19, array(1f, cast(null as float)), features) features")
    val input = in("parquet", bad)
    val message = "null at position 1; set --nulls null for a null result"
    fails(message, linear("--input", input, "--output", path("out")): _*)
    rows.selectExpr("id", "features", "expected outputs").write.parquet(path("old"))
    fails(message, linear("--input", input, "--output", path("old"), "--mode", "overwrite"): _*)
    fails(message, linear("--input", input, "--output", path("old"), "--mode", "append"): _*)
    succeeds(linear("--input", input, "--output", path("out"), "--nulls", "null"): _*)
    assertEquals(1, spark.read.parquet(path("out")).where("outputs is null").count())
  }

  @Test def aDryRunSaysWhatGoesWhereAndWritesNothing(): Unit = {
    val mixed = TestModels("mixed")(SavedModels.mixed(_))
    val input = in("parquet", spark.range(3).selectExpr("id", "1.5f price", "array(id, id, id) ids"))
    val before = files
    val done = succeeds(
      "--model", mixed, "--input", input, "--output", path("out"), "--dry-run",
      "--map", "amount=price", "--keep", "id", "--outputs", "total=sum,large")
    assertEquals(
      s"""model   $mixed, signature serving_default, tensorflow-java
         |input   amount: float32 [?] <- price float
         |input   ids: int64 [?, 3] <- ids array<bigint>
         |output  total: int64 [?] -> sum bigint
         |output  large: bool [?] -> large boolean
         |columns id bigint, sum bigint, large boolean
         |""".stripMargin,
      done.out)
    assertEquals(before, files)
  }

  @Test def whatCanBeKnownBeforeTheJobIsSaidBeforeTheJob(): Unit = {
    val input = in("parquet")
    val to = Seq("--output", path("out"))
    fails("no model", Seq("--model", path("nothing"), "--input", input) ++ to: _*)
    fails("no signature 'other'", linear("--input", input, "--signature", "other") ++ to: _*)
    fails("train", linear("--input", input, "--tags", "train") ++ to: _*)
    fails("Path does not exist", linear("--input", path("nothing")) ++ to: _*)
    fails("no column 'nothing'", linear("--input", input, "--map", "features=nothing") ++ to: _*)
    fails("no input 'nothing'", linear("--input", input, "--map", "nothing=x") ++ to: _*)
    fails("no column 'nothing' to keep", linear("--input", input, "--keep", "nothing") ++ to: _*)
    fails("no output 'nothing'", linear("--input", input, "--outputs", "nothing") ++ to: _*)
    fails("bigint", linear("--input", input, "--map", "features=id") ++ to: _*)
    fails("there is a column 'x' already", linear("--input", input, "--outputs", "outputs=x") ++ to: _*)
    fails("which csv cannot hold", linear("--input", input, "--output-format", "csv") ++ to: _*)
    Files.createFile(directory.resolve("file"))
    fails("cannot be written", linear("--input", input, "--output", path("file/out")): _*)
    fails("cannot be written", linear("--input", input, "--metrics", path("in")) ++ to: _*)
  }

  @Test def misuseIsStatusTwoAndOpensNoSession(): Unit = {
    def opened = throw new AssertionError("a session was opened")
    val advice = "score: unknown option --modle; did you mean --model or --mode?\nscore: --help lists the options\n"
    assertEquals(Done(2, "", advice), run(Seq("--modle"), opened))
    val help = run(Seq("--help"), opened)
    assertEquals((0, ""), (help.status, help.err))
    assertTrue(help.out.startsWith("usage: spark-submit"))
  }

  @Test def debugPrintsTheStackTrace(): Unit = {
    val done = score(linear("--input", path("nothing"), "--output", path("out"), "--debug"): _*)
    assertEquals(1, done.status)
    assertTrue(done.err.contains("\tat "), done.err)
  }
}
