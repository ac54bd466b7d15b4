package exporter.spark

/**
 * Work done.
 *
 * @param loads models opened
 * @param batches runs of a model
 * @param rows in those batches; rows that a null kept out of them do not count
 * @param fillNanos writing rows to tensors, and waiting for those rows
 * @param runNanos inside the engine
 * @param readNanos copying results out of tensors
 */
final case class Counters(
    loads: Long,
    batches: Long,
    rows: Long,
    fillNanos: Long,
    runNanos: Long,
    readNanos: Long) {
  def -(before: Counters): Counters =
    Counters(
      loads - before.loads,
      batches - before.batches,
      rows - before.rows,
      fillNanos - before.fillNanos,
      runNanos - before.runNanos,
      readNanos - before.readNanos)
}

/** Counts while it happens; belongs to one thread. */
private[spark] final class Work {
  private var batches = 0L
  private var rows = 0L
  private var fillNanos = 0L
  private var runNanos = 0L
  private var readNanos = 0L

  /** One run. */
  def count(scored: Int, run: Long, read: Long): Unit = {
    batches += 1
    rows += scored
    runNanos += run
    readNanos += read
  }

  /** All time that was spent, of which runs are a part. */
  def spent(nanos: Long): Unit = fillNanos += nanos

  /** What was done since the last call. */
  def take(): Counters = {
    val done = Counters(0, batches, rows, math.max(0, fillNanos - runNanos - readNanos), runNanos, readNanos)
    batches = 0
    rows = 0
    fillNanos = 0
    runNanos = 0
    readNanos = 0
    done
  }
}
