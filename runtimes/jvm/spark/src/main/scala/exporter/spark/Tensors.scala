package exporter.spark

import exporter.core.{DType, Model, ModelException}
import org.apache.spark.unsafe.Platform

/**
 * The input tensors of one run. They are allocated for the largest batch before the first row is there, so that rows are
 * written to them as they arrive and are never kept on the heap.
 *
 * @param rows that there is space for
 * @param lengths of the arrays of one row, by input
 */
private[spark] final class Tensors(plan: ScorePlan, model: Model, val rows: Int, lengths: Array[Array[Long]])
    extends AutoCloseable {
  private val shapes = plan.inputs.zip(lengths).map { case (input, actual) => input.name -> Tensors.shape(input, rows, actual) }
  private val call = model.newCall(plan.signature, Java.map(shapes))

  val slots: Array[Slot] =
    try plan.inputs.map(input => new Slot(call.input(input.name))).toArray
    catch {
      case e: Throwable =>
        call.close()
        throw e
    }

  /** Runs the model on the first `used` rows, at least one, and returns the outputs of those. */
  def run(used: Int, work: Work): Array[OutputValues] =
    if (used == rows) {
      finish(used, work)
    } else plan.batching match {
      case Batching.Fixed(_) =>
        repeatFirst(used)
        finish(used, work)
      case _ =>
        val exact = new Tensors(plan, model, used, lengths)
        try {
          slots.indices.foreach(i => Tensors.copy(slots(i), 0, exact.slots(i), 0, used * elements(i)))
          exact.finish(used, work)
        } finally exact.close()
    }

  /** Of the first `used` rows one that the model fails on when it runs alone, if there is one. */
  def failing(used: Int): Option[Int] =
    if (plan.batching != Batching.Open) None
    else (0 until used).find { row =>
      val alone = new Tensors(plan, model, 1, lengths)
      try {
        slots.indices.foreach(i => Tensors.copy(slots(i), row * elements(i), alone.slots(i), 0, elements(i)))
        alone.call.run()
        false
      } catch { case _: ModelException => true }
      finally alone.close()
    }

  private def finish(used: Int, work: Work): Array[OutputValues] = {
    val start = System.nanoTime
    call.run()
    val ran = System.nanoTime
    val outputs = plan.outputs.map(output => OutputValues.read(output, call.output(output.name), rows, used)).toArray
    work.count(used, ran - start, System.nanoTime - ran)
    outputs
  }

  /** Any row will do to fill up a batch; one that is there already is one that the model takes. */
  private def repeatFirst(used: Int): Unit =
    slots.indices.foreach { i =>
      (used until rows).foreach(row => Tensors.copy(slots(i), 0, slots(i), row * elements(i), elements(i)))
    }

  private def elements(input: Int): Long = InputFiller.product(lengths(input), 0)

  override def close(): Unit = call.close()
}

private object Tensors {
  private def shape(input: InputPlan, rows: Int, lengths: Array[Long]): Array[Long] = {
    // a flat column has one length for all dimensions, and then they are all known
    val row = if (input.open) lengths else input.rowShape.toArray
    if (input.leading) rows.toLong +: row else row
  }

  private def copy(from: Slot, fromIndex: Long, to: Slot, toIndex: Long, count: Long): Unit =
    if (from.buffer.dtype == DType.STRING) {
      (0L until count).foreach { i =>
        to.buffer.string(Math.toIntExact(toIndex + i), from.buffer.string(Math.toIntExact(fromIndex + i)))
      }
    } else {
      val bytes = count * from.buffer.dtype.size
      Platform.copyMemory(null, from.address(fromIndex), null, to.address(toIndex), bytes)
    }
}
