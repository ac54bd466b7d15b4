package exporter.spark

import org.apache.spark.sql.{DataFrame, Row, SparkSession}
import org.apache.spark.sql.types.StructType
import org.junit.jupiter.api.Assertions.{assertThrows, assertTrue}

/**
 * The one session of all suites. It runs on `local[2]`, on the master in the property `exporter.test.master`, or as the
 * application that it is submitted in.
 */
object TestSession {
  lazy val spark: SparkSession = {
    val builder = SparkSession.builder().appName("exporter tests")
    if (!sys.props.contains("spark.master")) {
      builder.master(sys.props.getOrElse("exporter.test.master", "local[2]"))
    }
    builder
      .config("spark.ui.enabled", "false")
      .config("spark.task.maxFailures", "1")
      .config("spark.sql.shuffle.partitions", "3")
      .withExtensions(new ExporterExtensions)
      .config("spark.sql.warehouse.dir", TestModels.directory("warehouse").toString)
      .getOrCreate()
  }

  /** Runs with settings of the session, and puts the old ones back. */
  def withConf[T](settings: (String, String)*)(body: => T): T = {
    val before = settings.map { case (key, _) => key -> spark.conf.getOption(key) }
    settings.foreach { case (key, value) => spark.conf.set(key, value) }
    try body
    finally before.foreach {
      case (key, Some(value)) => spark.conf.set(key, value)
      case (key, None) => spark.conf.unset(key)
    }
  }

  def sql(text: String): DataFrame = spark.sql(text)

  def rows(text: String): Seq[Row] = sql(text).collect().toSeq

  def frame(schema: String, rows: Row*): DataFrame =
    spark.createDataFrame(Java.list(rows), StructType.fromDDL(schema))

  /** Asserts that something fails with a message, of the exception or of a cause, that has all of these parts. */
  def fails(parts: String*)(body: => Any): Unit = {
    val error = assertThrows(classOf[Throwable], () => body)
    val messages = Iterator.iterate[Throwable](error)(_.getCause).takeWhile(_ != null).map(_.toString).mkString("\n")
    parts.foreach(part => assertTrue(messages.contains(part), s"'$part' is not in\n$messages"))
  }
}
