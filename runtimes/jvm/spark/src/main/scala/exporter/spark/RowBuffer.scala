package exporter.spark

import java.util

import exporter.core.ModelException
import org.apache.spark.sql.catalyst.expressions.UnsafeRow
import org.apache.spark.unsafe.Platform

/**
 * Rows of one batch, one after the other in one array that the next batch uses again: keeping a row costs a copy of its
 * bytes and makes no garbage.
 *
 * @param fields in a row
 */
private[spark] final class RowBuffer(fields: Int) {
  private var bytes = new Array[Byte](1 << 14)
  private var ends = new Array[Int](256)
  private var count = 0
  private val view = new UnsafeRow(fields)

  def add(row: UnsafeRow): Unit = {
    val begin = end(count - 1)
    val size = row.getSizeInBytes
    grow(begin.toLong + size)
    Platform.copyMemory(row.getBaseObject, row.getBaseOffset, bytes, Platform.BYTE_ARRAY_OFFSET + begin, size)
    if (count == ends.length) {
      ends = util.Arrays.copyOf(ends, count * 2)
    }
    ends(count) = begin + size
    count += 1
  }

  /** The row taken as number `i` since [[clear]]; the same object for all, valid until the next call. */
  def apply(i: Int): UnsafeRow = {
    val begin = end(i - 1)
    view.pointTo(bytes, Platform.BYTE_ARRAY_OFFSET + begin, ends(i) - begin)
    view
  }

  def clear(): Unit = count = 0

  private def end(i: Int): Int = if (i < 0) 0 else ends(i)

  private def grow(needed: Long): Unit =
    if (needed > bytes.length) {
      if (needed > RowBuffer.Most) {
        throw new ModelException(
          "batch-size", s"the columns beside a batch are more than 2 GiB after $count rows; lower batchSize")
      }
      bytes = util.Arrays.copyOf(bytes, math.min(RowBuffer.Most, math.max(needed, bytes.length * 2L)).toInt)
    }
}

private object RowBuffer {
  val Most: Long = Int.MaxValue - 16L
}
