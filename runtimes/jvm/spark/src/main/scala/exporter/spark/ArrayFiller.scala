package exporter.spark

import exporter.core.{DType, TensorSpec}
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.execution.vectorized.WritableColumnVector
import org.apache.spark.sql.vectorized.{ColumnarArray, ColumnarBatch}
import org.apache.spark.unsafe.Platform

/** Arrays in arrays. */
private[spark] final class ArrayFiller(plan: InputPlan, options: ScoreOptions, ordinal: Int, element: Element)
    extends InputFiller(plan, options) {
  private val size = plan.dtype.size
  private val flat = plan.source.isInstanceOf[Source.Arrays] && plan.lengths.length == 1

  // whether no array of the current batch has a null inside; its arrays do not tell that of themselves
  private var complete = false

  // vectors of other makers, such as ORC's, do not all show their elements, and are read one by one
  override def begin(batch: ColumnarBatch): Unit = complete = flat && (batch.column(ordinal) match {
    case column: WritableColumnVector => !column.getChild(0).hasNull
    case _ => false
  })

  def fill(row: InternalRow, to: Slot, at: Int, lengths: Array[Long]): Boolean = {
    val count = InputFiller.product(lengths, 0)
    if (row.isNullAt(ordinal)) missing(to, at * count, count, "is null")
    else fill(row.getArray(ordinal), to, at * count, lengths, 0)
  }

  private def fill(array: ArrayData, to: Slot, index: Long, lengths: Array[Long], level: Int): Boolean = {
    val found = array.numElements()
    checkLength(found, lengths(level))
    if (level == lengths.length - 1) {
      pad(to, index, found, lengths(level))
      copy(array, found, to, index)
    } else {
      val stride = InputFiller.product(lengths, level + 1)
      var complete = true
      var i = 0
      while (i < found) {
        val at = index + i * stride
        complete =
          (if (array.isNullAt(i)) missing(to, at, stride, s"has a null in place of an array at position $i")
           else fill(array.getArray(i), to, at, lengths, level + 1)) && complete
        i += 1
      }
      pad(to, index, found * stride, lengths(level) * stride)
      complete
    }
  }

  private def copy(array: ArrayData, count: Int, to: Slot, index: Long): Boolean = array match {
    case bytes: UnsafeArrayData if element.same && !ArrayFiller.hasNull(bytes, count) =>
      val values = bytes.getBaseOffset + UnsafeArrayData.calculateHeaderPortionInBytes(count)
      Platform.copyMemory(bytes.getBaseObject, values, null, to.address(index), count.toLong * size)
      true
    case column: ColumnarArray if element.same && complete =>
      ArrayFiller.copy(column, count, plan.dtype, to.address(index))
      true
    case other =>
      var complete = true
      var i = 0
      while (i < count) {
        complete =
          (if (other.isNullAt(i)) missing(to, index + i, 1, s"has a null at position $i")
           else {
             element.put(other, i, to, index + i)
             true
           }) && complete
        i += 1
      }
      complete
  }

  override def lengths(row: InternalRow): Array[Long] =
    if (!plan.open) {
      plan.lengths.toArray
    } else if (row.isNullAt(ordinal)) {
      InputFiller.absent(options, "is null")
    } else {
      measure(row.getArray(ordinal), 0)
    }

  /** Lengths from a level on; inner arrays have to agree, or the longest counts where rows are filled up. */
  private def measure(array: ArrayData, level: Int): Array[Long] = {
    val found = array.numElements().toLong
    val here = if (plan.lengths(level) == TensorSpec.DYNAMIC) found else plan.lengths(level)
    if (level == plan.lengths.length - 1) {
      Array(here)
    } else {
      var inner: Array[Long] = null
      var i = 0
      while (i < found) {
        val next =
          if (array.isNullAt(i)) InputFiller.absent(options, s"has a null in place of an array at position $i")
          else measure(array.getArray(i), level + 1)
        if (next == null) {
          return null
        }
        inner = if (inner == null) next else merge(inner, next)
        i += 1
      }
      here +: (if (inner == null) plan.lengths.drop(level + 1).map(math.max(_, 0L)).toArray else inner)
    }
  }

  private def merge(one: Array[Long], other: Array[Long]): Array[Long] =
    if (java.util.Arrays.equals(one, other)) one
    else if (padding.isDefined) InputFiller.longest(one, other)
    else throw new BadValue(
      "ragged",
      s"has arrays of ${one.mkString(" x ")} and of ${other.mkString(" x ")} in one row; set ragged=pad=<value>, or leave such rows out")
}

private object ArrayFiller {

  /** Copies a part of a column. */
  def copy(array: ColumnarArray, count: Int, dtype: DType, address: Long): Unit = {
    val (values, offset) = dtype match {
      case DType.FLOAT32 => (array.toFloatArray, Platform.FLOAT_ARRAY_OFFSET)
      case DType.FLOAT64 => (array.toDoubleArray, Platform.DOUBLE_ARRAY_OFFSET)
      case DType.INT64 => (array.toLongArray, Platform.LONG_ARRAY_OFFSET)
      case DType.INT32 => (array.toIntArray, Platform.INT_ARRAY_OFFSET)
      case DType.INT16 => (array.toShortArray, Platform.SHORT_ARRAY_OFFSET)
      case DType.BOOL => (array.toBooleanArray, Platform.BOOLEAN_ARRAY_OFFSET)
      case _ => (array.toByteArray, Platform.BYTE_ARRAY_OFFSET)
    }
    Platform.copyMemory(values, offset, null, address, count.toLong * dtype.size)
  }

  /**
   * Whether an array has a null: its bits follow the count of elements, 64 in a word. Reading such an array as a whole
   * gives 0 for a null, whatever the type says about nulls.
   */
  def hasNull(array: UnsafeArrayData, count: Int): Boolean = {
    val end = array.getBaseOffset + UnsafeArrayData.calculateHeaderPortionInBytes(count)
    var word = array.getBaseOffset + 8L
    while (word < end) {
      if (Platform.getLong(array.getBaseObject, word) != 0) {
        return true
      }
      word += 8
    }
    false
  }
}
