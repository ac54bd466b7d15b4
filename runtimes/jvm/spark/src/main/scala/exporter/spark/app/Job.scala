package exporter.spark.app

import java.io.IOException
import java.nio.charset.StandardCharsets.UTF_8

import com.fasterxml.jackson.databind.ObjectMapper
import exporter.core.TensorSpec
import exporter.spark.{Java, ModelCatalog, ScoreExec, ScoringModel, TensorFlowModel}
import org.apache.hadoop.fs.{ChecksumFileSystem, Path}
import org.apache.spark.sql.{DataFrame, SparkSession}
import org.apache.spark.sql.functions.col

/** One request, carried out. Making it resolves everything that can be known without computing rows. */
private[app] final class Job(spark: SparkSession, request: Request) {
  private val context = spark.sparkContext
  private val rows = read()
  private val model: ScoringModel = ModelCatalog.model(context, request.model, request.options)
  private val scored: DataFrame = keep(transformer.transform(rows))
  request.target.foreach { target =>
    target.checkApart(spark, request.source)
    target.check(spark, scored.schema)
  }
  request.metrics.foreach(checkMetrics)

  private def read(): DataFrame = {
    val source = request.source
    val reader = spark.read.options(Job.defaults(source.format) ++ source.options)
    source.schema.foreach(reader.schema)
    if (source.format == "table") reader.table(source.location) else reader.format(source.format).load(source.location)
  }

  private def transformer: TensorFlowModel = {
    val options = request.options.texts
    val transformer = new TensorFlowModel()
      .setModel(request.model)
      .setSignature(request.options.signature)
      .setTags(request.options.tags)
      .setBatchSize(request.options.batchSize)
      .setThreads(request.options.threads)
      .setNulls(options("nulls"))
      .setRagged(options("ragged"))
      .setNarrow(request.options.narrow)
      .setStrings(options("strings"))
      .setSqueeze(request.options.squeeze)
      .setOutputs(request.names)
    request.map.foldLeft(transformer) {
      case (made, (input, Seq(column))) => made.setInputs(Map(input -> column))
      case (made, (input, columns)) => made.setInputColumns(input, columns)
    }
  }

  /** The columns to keep, and the results behind them in the order in which they were asked for. */
  private def keep(all: DataFrame): DataFrame = {
    val results = {
      val added = all.columns.drop(rows.columns.length).toSeq
      if (request.names.isEmpty) added else request.options.outputs.map(request.names)
    }
    val kept = request.keep.getOrElse(rows.columns.toSeq)
    kept.filterNot(name => rows.columns.exists(_.equalsIgnoreCase(name))).foreach { name =>
      throw new JobException(s"no column '$name' to keep, found ${rows.columns.mkString(", ")}")
    }
    all.select((kept ++ results).map(name => col(s"`$name`")): _*)
  }

  /** What goes where, for people. */
  def describe: String = {
    val inputs = Java.seq[TensorSpec](model.signature.inputs.values).map { spec =>
      val columns = request.map.toMap.getOrElse(spec.name, Seq(spec.name))
      val types = columns.map(name => s"$name ${rows.select(name).schema.head.dataType.catalogString}")
      s"input   $spec <- ${types.mkString(", ")}"
    }
    val results = scored.schema.fields.takeRight(scored.columns.length - request.keep.fold(rows.columns.length)(_.size))
    val asked = if (request.names.isEmpty) results.map(_.name).toSeq else request.options.outputs
    val outputs = asked.zip(results).map { case (output, field) =>
      s"output  ${model.signature.outputs.get(output)} -> ${field.name} ${field.dataType.catalogString}"
    }
    val columns = FileTarget.columns(scored.schema).mkString(", ")
    (Seq(s"model   ${request.model}, signature ${model.signature.key}, ${model.engine}") ++ inputs ++ outputs :+
      s"columns $columns").mkString("\n")
  }

  /** Scores and writes. */
  def run(): Unit = {
    val target = request.target.get
    val watch = new Watch
    context.addSparkListener(watch)
    try {
      val start = System.nanoTime()
      target.write(scored)
      val wall = System.nanoTime() - start
      request.metrics.foreach { file =>
        watch.settle(context)
        write(file, figures(watch, wall))
      }
    } finally context.removeSparkListener(watch)
  }

  private def figures(watch: Watch, wall: Long): String = {
    val executors = Survey.executors(context, watch.executors)
    val figures = new java.util.LinkedHashMap[String, Any]
    figures.put("model", request.model)
    figures.put("sha256", model.handle.ref.hash)
    figures.put("signature", model.signature.key)
    figures.put("rows", watch.sum(ScoreExec.Rows))
    figures.put("batches", watch.sum(ScoreExec.Batches))
    figures.put("fill_ns", watch.sum(ScoreExec.Fill))
    figures.put("run_ns", watch.sum(ScoreExec.Run))
    figures.put("read_ns", watch.sum(ScoreExec.Read))
    figures.put("wall_ns", wall)
    figures.put("loads", executors.map(_.loads).sum)
    figures.put("resident_peak_bytes", (0L +: executors.map(_.residentPeak)).max)
    figures.put("executors", executors.map { executor =>
      val facts = new java.util.LinkedHashMap[String, Any]
      facts.put("id", executor.id)
      facts.put("host", executor.host)
      facts.put("loads", executor.loads)
      facts.put("resident_peak_bytes", executor.residentPeak)
      facts
    }.toArray)
    figures.put("spark", spark.version)
    new ObjectMapper().writerWithDefaultPrettyPrinter().writeValueAsString(figures) + "\n"
  }

  private def checkMetrics(name: String): Unit = {
    val path = new Path(name)
    val parent = Option(path.getParent).getOrElse(new Path("."))
    try {
      val files = path.getFileSystem(context.hadoopConfiguration)
      if (files.exists(path) && !files.getFileStatus(path).isFile) {
        throw new IOException("it is a directory")
      }
      files.mkdirs(parent)
    } catch {
      case e: IOException => throw new JobException(s"metrics file $name cannot be written: ${e.getMessage}", e)
    }
  }

  private def write(name: String, text: String): Unit =
    try {
      val path = new Path(name)
      val out = (path.getFileSystem(context.hadoopConfiguration) match {
        case local: ChecksumFileSystem => local.getRawFileSystem // no .crc beside it
        case other => other
      }).create(path, true)
      try out.write(text.getBytes(UTF_8))
      finally out.close()
    } catch {
      case e: IOException =>
        throw new JobException(s"the rows are written, the metrics file $name is not: ${e.getMessage}", e)
    }
}

private object Job {
  /** Spark's own defaults take the names of columns for a row. */
  def defaults(format: String): Map[String, String] =
    if (format == "csv") Map("header" -> "true", "inferSchema" -> "true") else Map.empty
}
