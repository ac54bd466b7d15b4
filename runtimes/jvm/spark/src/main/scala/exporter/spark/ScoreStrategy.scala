package exporter.spark

import org.apache.spark.sql.catalyst.expressions.{Alias, Attribute, AttributeSet, NamedExpression}
import org.apache.spark.sql.catalyst.plans.logical.{Filter, LogicalPlan, Project}
import org.apache.spark.sql.execution.{FilterExec, ProjectExec, SparkPlan, SparkStrategy}

/** Plans [[ScoreRows]]: with the projection above of it, which says what has to be kept of a row while its batch runs. */
private[spark] object ScoreStrategy extends SparkStrategy {
  override def apply(plan: LogicalPlan): Seq[SparkPlan] = plan match {
    case Project(list, rows: ScoreRows) if list.forall(renamed) => Seq(score(rows, list))
    case Project(list, rows: ScoreRows) => Seq(ProjectExec(list, keeping(rows, AttributeSet(list.flatMap(_.references)))))
    // column pruning puts no projection between a filter and what is below
    case Project(list, Filter(condition, rows: ScoreRows)) =>
      val needed = AttributeSet(list.flatMap(_.references)) ++ condition.references
      Seq(ProjectExec(list, FilterExec(condition, keeping(rows, needed))))
    case rows: ScoreRows => Seq(score(rows, rows.output))
    case _ => Nil
  }

  private def renamed(column: NamedExpression): Boolean = column match {
    case _: Attribute => true
    case Alias(_: Attribute, _) => true
    case _ => false
  }

  private def keeping(rows: ScoreRows, needed: AttributeSet): SparkPlan = score(rows, rows.output.filter(needed.contains))

  private def score(rows: ScoreRows, list: Seq[NamedExpression]): SparkPlan =
    ScoreExec(rows.calls, rows.results, list, planLater(rows.child))
}
