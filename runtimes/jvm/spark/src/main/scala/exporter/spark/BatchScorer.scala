package exporter.spark

import java.util

import scala.collection.mutable

import exporter.core.{Model, ModelException}
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Scores the rows of one partition, chunk by chunk: add rows, finish, take the results, clear. A chunk is run in as many
 * batches as the model, the policies and the shapes of the rows ask for; results keep the order of the rows.
 *
 * Belongs to one thread, but for [[close]]: a task may end while another thread still pulls rows (Spark feeds Python in
 * this way), and native memory must not be written after it was freed. Hence the lock, which nobody else holds.
 *
 * @param at where a leaf of the plan is in the rows given
 * @param where for messages, such as `partition 3`
 * @param work counts the runs
 */
private[spark] final class BatchScorer(plan: ScorePlan, model: Model, at: Leaf => Int, where: String, work: Work)
    extends AutoCloseable {
  private val fillers = plan.inputs.map(InputFiller.of(_, plan.options, at)).toArray
  private val capacity = plan.batchSize
  private val gathers = plan.gathers
  private val open = plan.inputs.map(_.open).toArray

  // lengths of arrays that the first row of the partition decides, where nothing else does
  private val lengths: Array[Array[Long]] =
    plan.inputs.map(input => if (input.open) null else input.lengths.toArray).toArray

  private val runs = new mutable.ArrayBuffer[Array[OutputValues]]
  private var runOf = new Array[Int](math.min(plan.options.batchSize, 1024))
  private var positionOf = new Array[Int](runOf.length)
  private val gathered = new mutable.ArrayBuffer[Gathered]
  private var tensors: Tensors = _
  private var used = 0
  private var count = 0
  private var before = 0L
  private var closed = false

  private final class Gathered(val index: Int, val row: InternalRow, val lengths: Array[Array[Long]])

  /** Rows since the last [[clear]]. */
  def size: Int = count

  /** Tells that the next rows are those of a batch. */
  def begin(batch: ColumnarBatch): Unit = fillers.foreach(_.begin(batch))

  /**
   * Takes a row; it is not kept.
   *
   * @throws ModelException the row cannot be fed; names column and row
   */
  def add(row: InternalRow): Unit = synchronized {
    if (closed) {
      throw new IllegalStateException("the task has ended")
    }
    if (count == runOf.length) {
      runOf = util.Arrays.copyOf(runOf, count * 2)
      positionOf = util.Arrays.copyOf(positionOf, count * 2)
    }
    val index = count
    count += 1
    runOf(index) = BatchScorer.NoRun
    if (gathers) {
      measured(row, index).foreach(gathered += _)
    } else if (ready(row, index)) {
      write(row, index, lengths)
    }
  }

  /** Runs what has not run yet. */
  def finish(): Unit = synchronized {
    groups().foreach { group =>
      val widest = group.map(_.lengths).reduce { (one, other) =>
        one.zip(other).map { case (a, b) => InputFiller.longest(a, b) }
      }
      group.foreach(member => write(member.row, member.index, widest))
      run()
    }
    gathered.clear()
    run()
  }

  /** Rows that run together: all of them where short ones are filled up, else those of one shape. */
  private def groups(): Seq[Seq[Gathered]] =
    if (gathered.isEmpty) Nil
    else if (plan.options.ragged != RaggedPolicy.Bucket) Seq(gathered.toVector)
    else {
      val shapes = new mutable.LinkedHashMap[Seq[Seq[Long]], mutable.ArrayBuffer[Gathered]]
      gathered.foreach { member =>
        shapes.getOrElseUpdate(member.lengths.toVector.map(_.toVector), new mutable.ArrayBuffer[Gathered]) += member
      }
      shapes.values.map(_.toVector).toVector
    }

  private def measured(row: InternalRow, index: Int): Option[Gathered] = {
    val found = fillers.indices.map(i => located(i, index)(fillers(i).lengths(row))).toArray
    // all inputs before the verdict: the first error of a row does not depend on another column being null
    if (found.contains(null)) None else Some(new Gathered(index, row.copy(), found))
  }

  /** Whether the lengths of this row are known to be those of all others; false when it has no output. */
  private def ready(row: InternalRow, index: Int): Boolean = {
    var i = 0
    var complete = true
    while (i < fillers.length) {
      if (open(i)) {
        val found = located(i, index)(fillers(i).lengths(row))
        if (found == null) {
          complete = false
        } else if (lengths(i) == null) {
          lengths(i) = found
        } else if (!util.Arrays.equals(lengths(i), found)) {
          located(i, index) {
            throw new BadValue(
              "ragged",
              s"has ${found.mkString(" x ")} values where rows before have ${lengths(i).mkString(" x ")}; set " +
                "ragged=pad=<value> or ragged=bucket, or leave such rows out")
          }
        }
      }
      i += 1
    }
    complete
  }

  private def write(row: InternalRow, index: Int, sizes: Array[Array[Long]]): Unit = {
    if (tensors == null) {
      tensors = new Tensors(plan, model, capacity, sizes)
      used = 0
    }
    var complete = true
    var i = 0
    try {
      while (i < fillers.length) {
        complete = fillers(i).fill(row, tensors.slots(i), used, sizes(i)) && complete
        i += 1
      }
    } catch {
      case e: BadValue => throw describe(e, i, index)
    }
    if (complete) {
      runOf(index) = runs.length
      positionOf(index) = used
      used += 1
      if (used == capacity) {
        run()
      }
    }
  }

  private def located[T](input: Int, index: Int)(body: => T): T =
    try body
    catch { case e: BadValue => throw describe(e, input, index) }

  private def describe(e: BadValue, input: Int, index: Int): ModelException = {
    val column = Option(e.column).getOrElse(plan.inputs(input).column)
    new ModelException(e.code, s"column '$column', row ${before + index} of $where: ${e.getMessage}")
  }

  private def run(): Unit =
    if (tensors != null) {
      try {
        if (used > 0) {
          runs += tensors.run(used, work)
        }
      } catch {
        case e: ModelException => throw new ModelException(e.code, s"${rows(tensors.failing(used))} of $where: ${e.getMessage}", e)
      } finally release()
    }

  /** The rows of the current batch in words, or the one of them that fails. */
  private def rows(failing: Option[Int]): String = {
    val batch = (0 until count).filter(runOf(_) == runs.length)
    failing.map(batch) match {
      case Some(row) => s"row ${before + row}"
      case None if batch.size == 1 => s"row ${before + batch.head}"
      case None => s"rows ${before + batch.head} to ${before + batch.last}"
    }
  }

  private def release(): Unit =
    if (tensors != null) {
      tensors.close()
      tensors = null
    }

  /** Whether a row has a result; it has none where a null made it null. */
  def has(row: Int): Boolean = runOf(row) != BatchScorer.NoRun

  /**
   * Puts a value of a row that has a result into a field of a mutable row.
   *
   * @param output position in the plan
   */
  def put(row: Int, output: Int, to: InternalRow, ordinal: Int): Unit =
    runs(runOf(row))(output).put(positionOf(row), to, ordinal)

  /** Forgets rows and results, and a batch that did not get to run. */
  def clear(): Unit = synchronized {
    before += count
    count = 0
    runs.clear()
    gathered.clear()
    release()
  }

  /** Frees native memory for good; safe to call twice. */
  override def close(): Unit = synchronized {
    closed = true
    release()
  }
}

private object BatchScorer {
  val NoRun: Int = -1
}
