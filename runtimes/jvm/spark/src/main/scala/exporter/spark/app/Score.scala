package exporter.spark.app

import java.io.PrintStream
import java.util.UUID

import exporter.core.{ModelException, Unsupported}
import exporter.spark.ExporterExtensions
import org.apache.logging.log4j.Level
import org.apache.logging.log4j.core.config.Configurator
import org.apache.spark.{SparkConf, SparkThrowable}
import org.apache.spark.sql.SparkSession

/**
 * Scores a file or table with a model and writes the result, as an application for spark-submit: no program is needed
 * around the library. The options and the exit status are those of [[Request.usage]].
 */
object Score {
  private val Failed = 1
  private val Misused = 2

  // what these report when a task fails is the stack trace of what is then told in one line
  private val storytellers = Seq(
    "org.apache.spark.executor.Executor",
    "org.apache.spark.scheduler.TaskSetManager",
    "org.apache.spark.sql.execution.datasources.FileFormatWriter",
    "org.apache.spark.sql.execution.datasources.BasicWriteJobStatsTracker",
    "org.apache.spark.util.Utils")

  // after a failure executors still answer for tasks that were running, and these print a
  // stack trace for each answer that no scheduler is there to take any more
  private val correspondents = Seq("org.apache.spark.network", "org.apache.spark.rpc")

  def main(words: Array[String]): Unit = {
    val status = run(words.toSeq, session, System.out, System.err, spark => spark.stop())
    if (status != 0) {
      sys.exit(status)
    }
  }

  private def session: SparkSession = {
    val conf = new SparkConf()
    conf.setIfMissing("spark.app.name", "exporter score")
    conf.setIfMissing("spark.log.level", "WARN")
    val extensions = conf.get("spark.sql.extensions", "").split(',').filter(_.nonEmpty)
    val ours = classOf[ExporterExtensions].getName
    conf.set("spark.sql.extensions", (extensions.filter(_ != ours) :+ ours).mkString(","))
    SparkSession.builder().config(conf).getOrCreate()
  }

  /**
   * All but the end of the process.
   *
   * @param open only called when the command line is understood
   * @return the exit status
   */
  private[app] def run(
      words: Seq[String],
      open: => SparkSession,
      out: PrintStream,
      err: PrintStream,
      close: SparkSession => Unit): Int = {
    val debug = words.contains("--debug")
    try {
      if (words.contains("--help")) {
        out.println(Request.usage)
      } else {
        val request = Request.of(CommandLine.parse(Request.flags, words), UUID.randomUUID().toString.take(8))
        val spark = open
        try {
          if (!debug) {
            silence(storytellers)
          }
          val job = new Job(spark, request)
          if (request.dryRun) out.println(job.describe) else job.run()
        } finally {
          if (!debug) {
            silence(correspondents)
          }
          close(spark)
        }
      }
      0
    } catch {
      case e: UsageException =>
        err.println(s"score: ${e.getMessage}\nscore: --help lists the options")
        Misused
      case e: Exception =>
        err.println(s"score: ${Explanation.of(e)}")
        if (debug) {
          e.printStackTrace(err)
        }
        Failed
    }
  }

  private def silence(loggers: Seq[String]): Unit = loggers.foreach(Configurator.setLevel(_, Level.OFF))
}

/** One line that says what is wrong, out of what Spark makes of it on its way to the driver. */
private[app] object Explanation {
  // the end of a message that came as text, with the stack trace of a task behind it
  private val Sent = """(?s).*\bexporter\.core\.(?:ModelException|Unsupported): ([^\n]*).*""".r

  // what the library says of columns, as the analyzer passes it on
  private val Analyzed = """(?s).*due to data type mismatch: ([^\n]*).*""".r

  def of(failure: Throwable): String = {
    val chain = Iterator.iterate(failure)(_.getCause).takeWhile(_ != null).toVector
    chain.reverse
      .collectFirst { case ours @ (_: ModelException | _: Unsupported | _: JobException) => ours.getMessage }
      .orElse(chain.map(_.getMessage).collectFirst {
        case Sent(message) => message
        case Analyzed(message) => message.replaceFirst(" SQLSTATE.*$", "").replaceFirst("[.;]+$", "")
      })
      .fold(foreign(chain.last))(asOptions)
  }

  /** The library advises settings; here they are options. */
  private def asOptions(message: String): String =
    message
      .replace("set narrow=true", "give --narrow")
      .replace("with setOutputs", "with --outputs")
      .replaceAll("\\b(nulls|ragged)=", "--$1 ")

  private def foreign(cause: Throwable): String = {
    val text = Option(cause.getMessage).fold("")(_.trim.takeWhile(_ != '\n'))
    cause match {
      case _: SparkThrowable if text.nonEmpty => text
      case other => s"${other.getClass.getSimpleName}${if (text.isEmpty) "" else ": " + text}; --debug prints where"
    }
  }
}
