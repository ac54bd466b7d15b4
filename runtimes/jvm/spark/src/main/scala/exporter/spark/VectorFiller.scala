package exporter.spark

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.unsafe.Platform

/** Vectors of Spark ML: a struct of kind, size, indices and values. */
private[spark] final class VectorFiller(plan: InputPlan, options: ScoreOptions, ordinal: Int, element: Element)
    extends InputFiller(plan, options) {
  private val zero = Constant.parse("0", plan.dtype).get

  def fill(row: InternalRow, to: Slot, at: Int, lengths: Array[Long]): Boolean = {
    val count = lengths(0)
    val first = at * count
    if (row.isNullAt(ordinal)) {
      missing(to, first, count, "is null")
    } else {
      val vector = row.getStruct(ordinal, 4)
      val values = vector.getArray(3)
      val found = size(vector)
      checkLength(found, count)
      pad(to, first, found, count)
      if (sparse(vector)) {
        zero.put(to, first, found)
        val indices = vector.getArray(2)
        var i = 0
        while (i < values.numElements()) {
          element.put(values, i, to, first + indices.getInt(i))
          i += 1
        }
      } else {
        var i = 0
        while (i < found) {
          element.put(values, i, to, first + i)
          i += 1
        }
      }
      true
    }
  }

  override def lengths(row: InternalRow): Array[Long] =
    if (!plan.open) plan.lengths.toArray
    else if (row.isNullAt(ordinal)) InputFiller.absent(options, "is null")
    else Array(size(row.getStruct(ordinal, 4)))

  private def sparse(vector: InternalRow): Boolean = vector.getByte(0) == 0

  private def size(vector: InternalRow): Long =
    if (sparse(vector)) vector.getInt(1).toLong else vector.getArray(3).numElements().toLong
}

/** The bytes of a binary column. */
private[spark] final class BytesFiller(plan: InputPlan, options: ScoreOptions, ordinal: Int) extends InputFiller(plan, options) {
  def fill(row: InternalRow, to: Slot, at: Int, lengths: Array[Long]): Boolean = {
    val count = lengths(0)
    if (row.isNullAt(ordinal)) {
      missing(to, at * count, count, "is null")
    } else {
      val bytes = row.getBinary(ordinal)
      checkLength(bytes.length, count)
      pad(to, at * count, bytes.length, count)
      Platform.copyMemory(bytes, Platform.BYTE_ARRAY_OFFSET, null, to.address(at * count), bytes.length)
      true
    }
  }

  override def lengths(row: InternalRow): Array[Long] =
    if (!plan.open) plan.lengths.toArray
    else if (row.isNullAt(ordinal)) InputFiller.absent(options, "is null")
    else Array(row.getBinary(ordinal).length.toLong)
}
