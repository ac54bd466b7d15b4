package exporter.spark

import org.apache.spark.TaskContext

/**
 * Pulls rows of a partition, as many as a batch has at most, scores them, and hands out results in their order. What the
 * entry points share; they differ in what they keep of a row and what they make of its results.
 *
 * @param chunk rows to pull before running
 * @param scorers all that score these rows
 * @param work that the scorers count
 * @param report is given the work of each chunk
 */
private[spark] abstract class ChunkedIterator[A, B](
    rows: Iterator[A],
    chunk: Int,
    scorers: Array[BatchScorer],
    work: Work,
    report: Counters => Unit)
    extends Iterator[B] {
  private var pulled = 0
  private var given = 0

  // a task that fails, is cancelled, or needs no more rows leaves a batch behind that was never run
  Option(TaskContext.get()).foreach(_.addTaskCompletionListener[Unit](_ => close()))

  /** Adds a row to the scorers, and keeps what [[result]] needs of it. The row itself may be reused by its producer. */
  protected def take(row: A): Unit

  /** The result of the row taken as number `i` since [[clear]]. */
  protected def result(i: Int): B

  /** Forgets what was kept. */
  protected def clear(): Unit

  override def hasNext: Boolean = given < pulled || (rows.hasNext && pull())

  override def next(): B = {
    if (!hasNext) {
      throw new NoSuchElementException("no rows are left")
    }
    given += 1
    result(given - 1)
  }

  private def pull(): Boolean = {
    val start = System.nanoTime
    clear()
    scorers.foreach(_.clear())
    pulled = 0
    given = 0
    while (pulled < chunk && rows.hasNext) {
      take(rows.next())
      pulled += 1
    }
    scorers.foreach(_.finish())
    work.spent(System.nanoTime - start)
    val done = work.take()
    ModelStore.count(done)
    report(done)
    true
  }

  private def close(): Unit = scorers.foreach(_.close())
}
