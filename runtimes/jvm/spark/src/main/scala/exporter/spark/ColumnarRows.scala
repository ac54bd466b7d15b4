package exporter.spark

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.execution.{ColumnarToRowExec, InputAdapter, SparkPlan, WholeStageCodegenExec}
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * The rows of columnar batches, as files and caches give them. Each is a view of its batch, valid until the next one.
 *
 * Spark puts an operator in between that writes every row, and every element of its arrays one by one, into memory of its
 * own. Here the elements go from the column to the tensor at once.
 */
private[spark] final class ColumnarRows(batches: Iterator[ColumnarBatch]) extends Iterator[InternalRow] {
  private var batch: ColumnarBatch = _
  private var given = 0
  private var listener = (_: ColumnarBatch) => ()

  /** Tells of every batch before its rows, and of the one that has begun. */
  def listen(begins: ColumnarBatch => Unit): Unit = {
    listener = begins
    if (batch != null) {
      begins(batch)
    }
  }

  override def hasNext: Boolean = {
    while ((batch == null || given == batch.numRows) && batches.hasNext) {
      batch = batches.next()
      given = 0
      listener(batch)
    }
    batch != null && given < batch.numRows
  }

  override def next(): InternalRow = {
    if (!hasNext) {
      throw new NoSuchElementException("no rows are left")
    }
    given += 1
    batch.getRow(given - 1)
  }
}

private[spark] object ColumnarRows {

  /** What gives the batches, where nothing but the change to rows is above of it. */
  def source(plan: SparkPlan): Option[SparkPlan] = plan match {
    case WholeStageCodegenExec(ColumnarToRowExec(InputAdapter(batches))) => Some(batches)
    case ColumnarToRowExec(batches) => Some(batches)
    case _ => None
  }
}
