package exporter.spark.bench

import exporter.spark.{ModelCatalog, ScoreOptions, TfPredict, TfPredictRow}
import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo}

/** The library's own way for calls that cannot be taken out of their expression, where they could be. */
object RowByRow {

  /** Registers `name(column)`: the model, one row at a time. */
  def register(spark: SparkSession, name: String, path: String): Unit = {
    val model = ModelCatalog.model(spark.sparkContext, path, ScoreOptions())
    val build = (arguments: Seq[Expression]) => {
      val call = TfPredict(model, ScoreOptions(), arguments)
      TfPredictRow(model.handle, call.plan, call.leaves)
    }
    val function = FunctionIdentifier(name)
    spark.sessionState.functionRegistry.registerFunction(function, new ExpressionInfo(name, name), build)
  }
}
