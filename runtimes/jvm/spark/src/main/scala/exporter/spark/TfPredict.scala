package exporter.spark

import exporter.core.ModelException
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.analysis.TypeCheckResult
import org.apache.spark.sql.catalyst.analysis.TypeCheckResult.{TypeCheckFailure, TypeCheckSuccess}
import org.apache.spark.sql.catalyst.expressions.{Expression, GenericInternalRow, Literal, Unevaluable}
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.types.{DataType, NullType}

/**
 * A call of a model in a query. It cannot be evaluated, so that Spark neither folds it to a constant nor runs it row by
 * row on the driver where the rows are local; [[ExtractPredictions]] replaces every call, by a column that [[ScoreExec]]
 * computes in batches, or where there is no way to that by [[TfPredictRow]].
 *
 * @param name of the model in the query, if it has one: it is a part of the name of the result's column
 */
private[spark] final case class TfPredict(
    model: ScoringModel,
    options: ScoreOptions,
    children: Seq[Expression],
    name: Option[String])
    extends Expression
    with Unevaluable {

  /** What executors do for this call, or why it cannot be done. Only once the arguments are resolved. */
  @transient private lazy val planned: Either[String, (ScorePlan, Arguments)] =
    try {
      val arguments = Arguments.of(model, children)
      RowSchema.plan(model, arguments.columns, options).map(_ -> arguments)
    } catch {
      case e: ModelException => Left(e.getMessage)
    }

  private def valid: (ScorePlan, Arguments) = planned.fold(why => throw new ModelException("schema", why), identity)

  def plan: ScorePlan = valid._1

  /** The expressions that the plan's leaves count. */
  def leaves: Seq[Expression] = valid._2.leaves

  override def checkInputDataTypes(): TypeCheckResult = planned.fold(TypeCheckFailure, _ => TypeCheckSuccess)

  override def dataType: DataType = plan.dataType

  override def nullable: Boolean = true

  override def prettyName: String = "tfpredict"

  override def toString: String = children.mkString(s"tfpredict($model; ", ", ", ")")

  override def sql: String = (name.map(Literal(_)).toSeq ++ children).map(_.sql).mkString("tfpredict(", ", ", ")")

  // one model under two names runs once
  override lazy val canonicalized: Expression = copy(children = children.map(_.canonicalized), name = None)

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): Expression =
    copy(children = newChildren)
}

/** A call that cannot be made into a [[TfPredict]], for a reason that the analyzer gives. */
private[spark] final case class RefusedPredict(message: String, children: Seq[Expression])
    extends Expression
    with Unevaluable {
  override def checkInputDataTypes(): TypeCheckResult = TypeCheckFailure(message)

  override def dataType: DataType = NullType

  override def nullable: Boolean = true

  override def prettyName: String = "tfpredict"

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): Expression =
    copy(children = newChildren)
}

/**
 * The same, one row at a time: correct anywhere, and slow. It remains where a call sees columns of both sides of an outer
 * join, or the variable of a lambda function.
 *
 * @param children the leaves of the plan, in order
 */
private[spark] final case class TfPredictRow(handle: ModelHandle, plan: ScorePlan, children: Seq[Expression])
    extends Expression
    with CodegenFallback {

  @transient private lazy val work = new Work
  @transient private lazy val scorer = new BatchScorer(plan, handle.open(), _.ordinal, "a row-by-row evaluation", work)

  override def dataType: DataType = plan.dataType

  override def nullable: Boolean = true

  // a constant would be computed on the driver
  override def foldable: Boolean = false

  override def prettyName: String = "tfpredict"

  override def eval(input: InternalRow): Any = synchronized {
    scorer.clear()
    try {
      scorer.add(new GenericInternalRow(children.map(_.eval(input)).toArray[Any]))
      scorer.finish()
    } catch {
      case e: Throwable =>
        scorer.clear()
        throw e
    }
    ModelStore.count(work.take())
    if (!scorer.has(0)) {
      null
    } else {
      val values = new GenericInternalRow(plan.outputs.length)
      plan.outputs.indices.foreach(i => scorer.put(0, i, values, i))
      if (plan.outputs.length == 1) values.get(0, dataType) else values
    }
  }

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): Expression =
    copy(children = newChildren)
}
