package exporter.spark.app

import exporter.spark.{NullPolicy, RaggedPolicy}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test

/** What the words of a command line mean, and what is said about those that mean nothing. */
class CommandLineTest {
  private val least = Seq("--model", "m", "--input", "in", "--output", "out")

  private def request(words: String*): Request = Request.of(CommandLine.parse(Request.flags, words), "id")

  private def refused(expected: String, words: String*): Unit = {
    val error = assertThrows(classOf[UsageException], () => request(words: _*))
    assertTrue(error.getMessage.contains(expected), error.getMessage)
  }

  @Test def leastThereIs(): Unit = {
    val found = request(least: _*)
    assertEquals("m", found.model)
    assertEquals(Source("in", "parquet", None, Map.empty), found.source)
    assertEquals(Some(FileTarget("out", "parquet", Map.empty, Mode.ErrorIfExists, "id")), found.target)
    assertEquals((Nil, None, Map.empty), (found.map, found.keep, found.names))
    assertFalse(found.dryRun)
  }

  @Test def everything(): Unit = {
    val found = request(
      least ++ Seq(
        "--signature=sum", "--tags", "a,b", "--input-format", "csv", "--schema", "x float",
        "--read", "sep=;", "--read", "nullValue=-", "--output-format=table", "--write", "path=p=q", "--mode", "overwrite",
        "--map", "a=x,y", "--map=b=z", "--keep", "id, x", "--outputs", "s=total,t",
        "--batch-size", "7", "--threads", "2", "--nulls", "default=-1", "--ragged", "pad=0", "--narrow",
        "--strings", "binary", "--squeeze", "false", "--metrics", "f.json"): _*)
    assertEquals(Source("in", "csv", Some("x float"), Map("sep" -> ";", "nullValue" -> "-")), found.source)
    assertEquals(Some(TableTarget("out", Map("path" -> "p=q"), Mode.Overwrite, "id")), found.target)
    assertEquals(Seq("a" -> Seq("x", "y"), "b" -> Seq("z")), found.map)
    assertEquals(Some(Seq("id", "x")), found.keep)
    assertEquals(Map("s" -> "total", "t" -> "t"), found.names)
    assertEquals(Some("f.json"), found.metrics)
    val options = found.options
    assertEquals(("sum", Seq("a", "b"), Seq("s", "t")), (options.signature, options.tags, options.outputs))
    assertEquals((7, 2, true), (options.batchSize, options.threads, options.narrow))
    assertEquals((false, false), (options.text, options.squeeze))
    assertEquals((NullPolicy.Default("-1"), RaggedPolicy.Pad("0")), (options.nulls, options.ragged))
  }

  @Test def aDryRunNeedsNoOutput(): Unit =
    assertTrue(request("--model", "m", "--input", "in", "--dry-run").dryRun)

  @Test def wordsThatMeanNothing(): Unit = {
    refused("missing --model PATH, --input PATH")
    refused("missing --output PATH", "--model", "m", "--input", "in")
    refused("unknown option --modle; did you mean --model or --mode?", "--modle", "m")
    refused("unknown option --frobnicate; --help lists what there is", "--frobnicate")
    refused("found 'stray', expected an option", least :+ "stray": _*)
    refused("--model is given twice", least ++ Seq("--model", "n"): _*)
    refused("--metrics needs a value: --metrics FILE", least :+ "--metrics": _*)
    refused("--nulls needs a value", least ++ Seq("--nulls", "--narrow"): _*)
    refused("--nulls needs a value", least :+ "--nulls=": _*)
    refused("--output needs a value", "--output", "", "--model", "m")
    refused("--narrow takes no value", least :+ "--narrow=false": _*)
    refused("--map x: expected two names around '='", least ++ Seq("--map", "x"): _*)
    refused("--map x=... is given twice", least ++ Seq("--map", "x=a", "--map", "x=b"): _*)
    refused("--keep: found 'a,,b', expected names between commas", least ++ Seq("--keep", "a,,b"): _*)
  }

  @Test def valuesThatAnOptionDoesNotHave(): Unit = {
    refused("--output / is the root of a file system", "--model", "m", "--input", "in", "--output", "/")
    refused("--input-format is 'avro', expected parquet, orc, ", least ++ Seq("--input-format", "avro"): _*)
    refused("--mode is 'ignore', expected errorifexists, overwrite, append", least ++ Seq("--mode", "ignore"): _*)
    refused("batchSize is 'many', expected a whole number", least ++ Seq("--batch-size", "many"): _*)
    refused("batchSize is 0, expected 1 to 1048576", least ++ Seq("--batch-size", "0"): _*)
    refused("nulls is 'skip', expected error, null or default=<value>", least ++ Seq("--nulls", "skip"): _*)
    refused("--schema goes with json and csv; parquet knows its own", least ++ Seq("--schema", "x float"): _*)
  }

  @Test def theHelpNamesEveryOption(): Unit =
    Request.flags.foreach(flag => assertTrue(Request.usage.contains(s"  --${flag.name}"), flag.name))

  @Test def distances(): Unit = {
    assertEquals(0, CommandLine.distance("map", "map"))
    assertEquals(1, CommandLine.distance("map", "maps"))
    assertEquals(2, CommandLine.distance("model", "modle"))
    assertEquals(3, CommandLine.distance("abc", ""))
  }
}
