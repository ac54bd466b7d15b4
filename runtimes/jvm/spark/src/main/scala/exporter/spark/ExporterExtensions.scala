package exporter.spark

import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}

/**
 * Adds `tfpredict` and its batched execution to sessions: `--conf spark.sql.extensions=exporter.spark.ExporterExtensions`.
 *
 * {{{
 * spark.exporter.model                  path, URI or archive:NAME of the default model
 * spark.exporter.model.<name>           of others
 * spark.exporter.<option>               options of all of them, see ScoreOptions
 * spark.exporter.model.<name>.<option>  of one
 * }}}
 */
final class ExporterExtensions extends (SparkSessionExtensions => Unit) {
  override def apply(extensions: SparkSessionExtensions): Unit = {
    SqlFunctions.all.foreach(extensions.injectFunction)
    // after predicates have been pushed to where they belong, before anything asks files which of them match
    extensions.injectPreCBORule(_ => ExtractPredictions)
    extensions.injectPlannerStrategy(_ => ScoreStrategy)
  }
}

object ExporterExtensions {

  /**
   * Adds the same to a session that was started without the configuration; does nothing when it is there.
   *
   * One thing differs: calls are moved last, after partitions of catalog tables were pruned, so a condition on a call
   * that reads nothing but partition columns fails to be pruned. Prefer the configuration.
   */
  def register(spark: SparkSession): Unit = synchronized {
    // as Spark adds functions of programs, by one name: since 4.3 its registry takes other names in three parts only
    if (!spark.catalog.functionExists(SqlFunctions.Score)) {
      val functions = spark.sessionState.functionRegistry
      SqlFunctions.all.foreach { case (name, _, builder) =>
        functions.createOrReplaceTempFunction(name.funcName, builder, "scala_udf")
      }
      spark.experimental.extraOptimizations :+= ExtractPredictions
      spark.experimental.extraStrategies :+= ScoreStrategy
    }
  }
}
