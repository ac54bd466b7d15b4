package exporter.spark

import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Attribute, Expression, UnsafeProjection}
import org.apache.spark.sql.vectorized.ColumnarBatch

/** What a task needs of a call. */
private[spark] final case class ScoreProgram(handle: ModelHandle, plan: ScorePlan, leaves: Seq[Expression]) {

  /**
   * A scorer of rows from which the leaves are computed.
   *
   * @param input of the rows that come
   */
  def open(input: Seq[Attribute], work: Work): Feed = {
    val positions = leaves.map {
      case column: Attribute => input.indexWhere(_.exprId == column.exprId)
      case _ => -1
    }
    // gathered rows are copied: then the columns of this call alone
    if (!positions.contains(-1) && !plan.gathers) new Feed(scorer(leaf => positions(leaf.ordinal), work), null)
    else new Feed(open(work), UnsafeProjection.create(leaves, input))
  }

  /** A scorer of rows that hold the leaves. */
  def open(work: Work): BatchScorer = scorer(_.ordinal, work)

  private def scorer(at: Leaf => Int, work: Work): BatchScorer = {
    val where = s"partition ${Option(TaskContext.get()).fold(0)(_.partitionId())}"
    new BatchScorer(plan, handle.open(), at, where, work)
  }
}

/**
 * A scorer behind what gives it its rows.
 *
 * @param projection from the rows that come; null where they have the columns themselves
 */
private[spark] final class Feed(val scorer: BatchScorer, projection: UnsafeProjection) {
  def add(row: InternalRow): Unit = scorer.add(if (projection == null) row else projection(row))

  /** Tells that the next rows are those of a batch. */
  def begin(batch: ColumnarBatch): Unit =
    if (projection == null) {
      scorer.begin(batch)
    }
}
