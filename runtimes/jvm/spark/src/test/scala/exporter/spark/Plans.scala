package exporter.spark

import org.apache.spark.sql.DataFrame
import org.apache.spark.sql.catalyst.expressions.Expression
import org.apache.spark.sql.execution.{ReusedSubqueryExec, SparkPlan}
import org.apache.spark.sql.execution.adaptive.{AdaptiveSparkPlanExec, QueryStageExec}
import org.apache.spark.sql.execution.exchange.ReusedExchangeExec

/** What ran, from the plan that ran. */
object Plans {

  /** All operators of a query after it ran, also those in adaptive stages and in subqueries. */
  def executed(query: DataFrame): Seq[SparkPlan] = operators(query.queryExecution.executedPlan)

  private def operators(plan: SparkPlan): Seq[SparkPlan] = {
    val inner = plan match {
      case adaptive: AdaptiveSparkPlanExec => Seq(adaptive.executedPlan)
      case stage: QueryStageExec => Seq(stage.plan)
      case reused: ReusedExchangeExec => Seq(reused.child)
      case other => other.children
    }
    val subqueries = plan.subqueries.flatMap {
      case reused: ReusedSubqueryExec => Seq(reused.child)
      case other => Seq(other)
    }
    plan +: (inner ++ subqueries).flatMap(operators)
  }

  def scores(query: DataFrame): Seq[ScoreExec] = executed(query).collect { case score: ScoreExec => score }

  /** Calls in a plan that are evaluated row by row. */
  def fallbacks(query: DataFrame): Seq[Expression] =
    executed(query).flatMap(_.expressions).flatMap(_.collect { case row: TfPredictRow => row })

  def batches(query: DataFrame): Long = scores(query).distinct.map(_.metrics(ScoreExec.Batches).value).sum

  def scoredRows(query: DataFrame): Long = scores(query).distinct.map(_.metrics(ScoreExec.Rows).value).sum
}
