package exporter.spark.app

import exporter.core.ModelException
import exporter.spark.ScoreOptions
import org.apache.hadoop.fs.Path

/**
 * Where rows come from.
 *
 * @param location a path, or the name of a table
 * @param schema in DDL, for formats that do not know their own
 */
private[app] final case class Source(
    location: String,
    format: String,
    schema: Option[String],
    options: Map[String, String])

/**
 * All that was asked for.
 *
 * @param map input -> the columns that it takes; empty: columns of the inputs' names
 * @param keep columns of the source to keep; None: all
 * @param names output -> the column that it becomes, where they differ
 * @param metrics path of the file for figures
 */
private[app] final case class Request(
    model: String,
    options: ScoreOptions,
    source: Source,
    target: Option[Target],
    map: Seq[(String, Seq[String])],
    keep: Option[Seq[String]],
    names: Map[String, String],
    metrics: Option[String],
    dryRun: Boolean)

private[app] object Request {
  private val formats = Seq("parquet", "orc", "json", "csv", "table")

  val flags: Seq[Flag] = Seq(
    Flag("model", "PATH", "a path, a URI such as hdfs://..., or archive:NAME of --archives x.zip#NAME", required = true),
    Flag("signature", "KEY", "entry point of the model; default: serving_default, or the only one"),
    Flag("tags", "TAG[,TAG]", "MetaGraph of a SavedModel; default: serve"),
    Flag("input", "PATH", "rows to score: a path or URI, or the name of a table", required = true),
    Flag("input-format", "FORMAT", s"${formats.mkString(", ")}; default: parquet"),
    Flag("schema", "DDL", "columns of json or csv, such as 'id bigint, x array<float>'; default: inferred"),
    Flag("read", "KEY=VALUE", "an option of Spark's reader; repeatable", repeats = true),
    Flag("output", "PATH", "where results go: a directory that is not there yet, or the name of a table"),
    Flag("output-format", "FORMAT", "the same formats; default: parquet"),
    Flag("write", "KEY=VALUE", "an option of Spark's writer; repeatable", repeats = true),
    Flag("mode", "MODE", s"when the output is there: ${Mode.all.map(_.name).mkString(", ")}; default: errorifexists"),
    Flag("map", "INPUT=COLUMN[,COLUMN]", "columns of an input; default: that of its name; repeatable", repeats = true),
    Flag("keep", "COLUMN[,COLUMN]|all", "columns of the input to keep; default: all"),
    Flag("outputs", "OUTPUT[=COLUMN][,...]", "outputs, and what their columns are called; default: all, by their names"),
    Flag("batch-size", "N", "most rows of one run; default: 256"),
    Flag("threads", "N", "threads inside one run; default: spark.task.cpus"),
    Flag("nulls", "POLICY", "error, null or default=VALUE; default: error"),
    Flag("ragged", "POLICY", "error, pad=VALUE or bucket; default: error"),
    Flag("pad-to", "N", "with pad=VALUE, what lengths that the model leaves open become; default: the longest of a batch"),
    Flag("narrow", "", "allow conversions that can lose digits, such as double to float"),
    Flag("strings", "KIND", "text or binary columns for strings of the model; default: text"),
    Flag("squeeze", "BOOL", "whether an output of shape [batch, 1] is a scalar column; default: true"),
    Flag("dry-run", "", "print which column goes where, and run nothing"),
    Flag("metrics", "FILE", "write figures of the run there, as JSON"),
    Flag("debug", "", "print stack traces"),
    Flag("help", "", "print this"))

  val usage: String =
    s"""usage: spark-submit [Spark's options] --class exporter.spark.app.Score JAR OPTION...
       |
       |Scores the rows of a file or table with a model and writes them with the results.
       |Exit status: 0 all rows are written, 1 the job failed and the output is as it was, 2 the command line is wrong.
       |
       |${CommandLine.help(flags)}""".stripMargin

  /**
   * @param id distinguishes this run from others that write beside the same output
   * @throws UsageException an option has a value that it cannot have
   */
  def of(line: CommandLine, id: String): Request = {
    CommandLine.demand(flags, line)
    val dryRun = line.has("dry-run")
    if (!dryRun && !line.has("output")) {
      throw new UsageException("missing --output PATH (or --dry-run)")
    }
    val inputFormat = choice(line, "input-format", formats, "parquet")
    val schema = line.get("schema")
    if (schema.isDefined && inputFormat != "json" && inputFormat != "csv") {
      throw new UsageException(s"--schema goes with json and csv; $inputFormat knows its own")
    }
    val (outputs, names) = outputColumns(line)
    Request(
      line.get("model").get,
      options(line, outputs),
      Source(line.get("input").get, inputFormat, schema, unique(line, "read").toMap),
      line.get("output").map(target(line, _, id)),
      unique(line, "map").map { case (input, columns) => input -> list("map", columns) },
      line.get("keep").filter(_ != "all").map(list("keep", _)),
      names,
      line.get("metrics"),
      dryRun)
  }

  private def options(line: CommandLine, outputs: Seq[String]): ScoreOptions = {
    val flagOf = Map("batchSize" -> "batch-size", "padTo" -> "pad-to")
    try {
      ScoreOptions.parse {
        case "narrow" => if (line.has("narrow")) Some("true") else None
        case "outputs" => if (outputs.isEmpty) None else Some(outputs.mkString(","))
        case name => line.get(flagOf.getOrElse(name, name))
      }
    } catch {
      case e: ModelException => throw new UsageException(e.getMessage)
    }
  }

  private def target(line: CommandLine, output: String, id: String): Target = {
    val mode = choice(line, "mode", Mode.all.map(_.name), Mode.ErrorIfExists.name)
    val chosen = Mode.all.find(_.name == mode).get
    val options = unique(line, "write").toMap
    choice(line, "output-format", formats, "parquet") match {
      case "table" => TableTarget(output, options, chosen, id)
      case _ if new Path(output).isRoot =>
        throw new UsageException(s"--output $output is the root of a file system; name a directory in it")
      case format => FileTarget(output, format, options, chosen, id)
    }
  }

  private def outputColumns(line: CommandLine): (Seq[String], Map[String, String]) = {
    val entries = line.get("outputs").toSeq.flatMap(list("outputs", _)).map { entry =>
      entry.split("=", 2) match {
        case Array(output, column) if output.nonEmpty && column.nonEmpty => output -> column
        case Array(output) => output -> output
        case _ => throw new UsageException(s"--outputs: found '$entry', expected OUTPUT or OUTPUT=COLUMN")
      }
    }
    (entries.map(_._1), entries.toMap)
  }

  private def choice(line: CommandLine, name: String, among: Seq[String], default: String): String = {
    val found = line.get(name).getOrElse(default)
    if (!among.contains(found)) {
      throw new UsageException(s"--$name is '$found', expected ${among.mkString(", ")}")
    }
    found
  }

  private def unique(line: CommandLine, name: String): Seq[(String, String)] = {
    val pairs = line.pairs(name)
    pairs.groupBy(_._1).collectFirst { case (key, several) if several.size > 1 => key }.foreach { key =>
      throw new UsageException(s"--$name $key=... is given twice; give it once")
    }
    pairs
  }

  private def list(name: String, text: String): Seq[String] = {
    val entries = text.split(',').toSeq.map(_.trim)
    if (entries.exists(_.isEmpty)) {
      throw new UsageException(s"--$name: found '$text', expected names between commas")
    }
    entries
  }
}
