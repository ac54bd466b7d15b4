package exporter.spark.app

import java.io.IOException

import org.apache.hadoop.fs.{FileSystem, Path}
import org.apache.spark.sql.{DataFrame, SparkSession}
import org.apache.spark.sql.types.{ArrayType, DataType, MapType, StructType}

/** What is already there is kept (`ErrorIfExists`), replaced when the new is complete, or added to. */
private[app] sealed abstract class Mode(val name: String)

private[app] object Mode {
  case object ErrorIfExists extends Mode("errorifexists")
  case object Overwrite extends Mode("overwrite")
  case object Append extends Mode("append")

  val all: Seq[Mode] = Seq(ErrorIfExists, Overwrite, Append)
}

/** The job cannot be done, for a reason that the message gives: exit status 1. */
private[app] final class JobException(message: String, cause: Throwable = null) extends RuntimeException(message, cause)

/**
 * Where the rows go. They are written beside it and moved there when all of them are complete: a job that fails leaves
 * neither parts of its result nor anything less than before.
 */
private[app] sealed trait Target {

  /**
   * Everything that can be known before the job.
   *
   * @throws JobException the output is there and must not be, cannot be written, or cannot hold these columns
   */
  def check(spark: SparkSession, schema: StructType): Unit

  /**
   * That reading and writing do not meet.
   *
   * @throws JobException the output is the input, around it or in it
   */
  def checkApart(spark: SparkSession, source: Source): Unit

  /** Computes and writes the rows. */
  def write(rows: DataFrame): Unit
}

/** A directory of files. */
private[app] final case class FileTarget(
    path: String,
    format: String,
    options: Map[String, String],
    mode: Mode,
    id: String)
    extends Target {
  private val output = new Path(path)
  // Spark and Hadoop skip names that start with a dot, so no reader takes it for data
  private val staging = new Path(output.getParent, s".${output.getName}.$id")
  private val before = new Path(output.getParent, s".${output.getName}.$id.before")

  def check(spark: SparkSession, schema: StructType): Unit = {
    if (format == "csv") {
      schema.fields.find(field => FileTarget.nested(field.dataType)).foreach { field =>
        throw new JobException(
          s"column ${field.name} is ${field.dataType.catalogString}, which csv cannot hold; choose --output-format " +
            "parquet, orc or json, or leave it out with --keep or --outputs")
      }
    }
    val files = system(spark)
    if (files.exists(output) && files.getFileStatus(output).isFile) {
      throw new JobException(s"output $path is a file, and results are a directory of files; give another path")
    }
    if (files.exists(output)) {
      mode match {
        case Mode.ErrorIfExists =>
          throw new JobException(s"output $path exists; give another path, or --mode overwrite or append")
        case Mode.Append => checkAppend(spark, schema)
        case Mode.Overwrite =>
      }
    }
    try {
      if (!files.mkdirs(staging)) {
        throw new IOException(s"$staging was not created")
      }
      files.delete(staging, true)
    } catch {
      case e: IOException => throw new JobException(s"output $path cannot be written: ${e.getMessage}", e)
    }
  }

  def checkApart(spark: SparkSession, source: Source): Unit =
    if (source.format != "table") {
      def parts(file: Path): Seq[String] = {
        val qualified = file.getFileSystem(spark.sparkContext.hadoopConfiguration).makeQualified(file)
        qualified.toUri.getAuthority +: qualified.toUri.getPath.split('/').toSeq
      }
      // up to the first name that stands for several
      val input = parts(new Path(source.location)).takeWhile(name => name == null || !name.exists("*?[{".contains(_)))
      val ours = parts(output)
      if (input.startsWith(ours) || ours.startsWith(input)) {
        throw new JobException(s"output $path and input ${source.location} lie in each other; give another path")
      }
    }

  /** Only these formats say themselves what they hold. */
  private def checkAppend(spark: SparkSession, schema: StructType): Unit =
    if (format == "parquet" || format == "orc") {
      val found = FileTarget.columns(spark.read.format(format).load(path).schema)
      val written = FileTarget.columns(schema)
      if (found != written) {
        throw new JobException(
          s"output $path holds ${found.mkString(", ")} and the result is ${written.mkString(", ")}; give another path, " +
            "or choose the same columns with --keep and --outputs")
      }
    }

  def write(rows: DataFrame): Unit = {
    val files = system(rows.sparkSession)
    try {
      rows.write.format(format).options(options).save(staging.toString)
      publish(files)
    } finally files.delete(staging, true)
  }

  private def publish(files: FileSystem): Unit = {
    val exists = files.exists(output)
    mode match {
      case Mode.Append if exists =>
        files.listStatus(staging).filterNot(_.getPath.getName.startsWith("_")).foreach { file =>
          move(files, file.getPath, new Path(output, file.getPath.getName))
        }
      case Mode.ErrorIfExists if exists =>
        throw new JobException(s"output $path was made by someone else in the meantime; give another path")
      case _ if exists =>
        move(files, output, before)
        try move(files, staging, output)
        catch {
          case e: IOException =>
            move(files, before, output)
            throw e
        }
        files.delete(before, true)
      case _ => move(files, staging, output)
    }
  }

  private def move(files: FileSystem, from: Path, to: Path): Unit =
    if (!files.rename(from, to)) {
      throw new IOException(s"cannot rename $from to $to")
    }

  private def system(spark: SparkSession): FileSystem = output.getFileSystem(spark.sparkContext.hadoopConfiguration)
}

private[app] object FileTarget {
  def nested(kind: DataType): Boolean = kind match {
    case _: ArrayType | _: MapType | _: StructType => true
    case _ => false
  }

  /** Names and types, without what files do not keep. */
  def columns(schema: StructType): Seq[String] =
    schema.fields.toSeq.map(field => s"${field.name} ${field.dataType.catalogString}")
}

/** A table of the session's catalog. */
private[app] final case class TableTarget(name: String, options: Map[String, String], mode: Mode, id: String)
    extends Target {
  private val staging = name.stripSuffix("`") + s"_$id" + (if (name.endsWith("`")) "`" else "")

  def check(spark: SparkSession, schema: StructType): Unit =
    if (mode == Mode.ErrorIfExists && spark.catalog.tableExists(name)) {
      throw new JobException(s"table $name exists; give another name, or --mode overwrite or append")
    }

  def checkApart(spark: SparkSession, source: Source): Unit =
    if (source.format == "table" && source.location.equalsIgnoreCase(name)) {
      throw new JobException(s"table $name is read and written; give another name")
    }

  def write(rows: DataFrame): Unit = {
    val spark = rows.sparkSession
    try {
      rows.write.options(options).saveAsTable(staging)
      if (mode == Mode.Append && spark.catalog.tableExists(name)) {
        spark.table(staging).write.mode("append").saveAsTable(name)
      } else {
        if (mode == Mode.Overwrite) {
          spark.sql(s"DROP TABLE IF EXISTS $name")
        }
        spark.sql(s"ALTER TABLE $staging RENAME TO $name")
      }
    } finally spark.sql(s"DROP TABLE IF EXISTS $staging")
  }
}
