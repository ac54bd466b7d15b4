package exporter.spark

import java.nio.ByteBuffer
import java.nio.charset.{CharacterCodingException, StandardCharsets}

import exporter.core.{DType, ModelException, TensorBuffer, TensorSpec}
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData
import org.apache.spark.sql.catalyst.util.GenericArrayData
import org.apache.spark.sql.types.{ArrayType, BinaryType}
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String

/**
 * The rows of one output of one run, copied out of native memory: rows are pulled when Spark wants them, which may be
 * after the task has ended and from another thread, while the tensors are closed as soon as the model has run.
 */
private[spark] final class OutputValues(plan: OutputPlan, shape: Array[Long], bytes: Array[Byte], strings: Array[Array[Byte]]) {
  private val count = InputFiller.product(shape, 0).toInt
  private val size = plan.dtype.size
  private val scalar = !plan.dataType.isInstanceOf[ArrayType]

  /** Puts the value of a row into a field of a mutable row. */
  def put(row: Int, to: InternalRow, ordinal: Int): Unit =
    if (!scalar) to.update(ordinal, array(row.toLong * count, 0))
    else plan.dtype match {
      case DType.FLOAT32 => to.setFloat(ordinal, Platform.getFloat(bytes, at(row)))
      case DType.FLOAT64 => to.setDouble(ordinal, Platform.getDouble(bytes, at(row)))
      case DType.INT64 => to.setLong(ordinal, Platform.getLong(bytes, at(row)))
      case DType.INT32 => to.setInt(ordinal, Platform.getInt(bytes, at(row)))
      case _ => to.update(ordinal, element(row))
    }

  private def at(index: Long): Long = Platform.BYTE_ARRAY_OFFSET + index * size

  private def array(from: Long, level: Int): Any = {
    val length = shape(level).toInt
    if (level < shape.length - 1) {
      val stride = InputFiller.product(shape, level + 1)
      new GenericArrayData(Array.tabulate[Any](length)(i => array(from + i * stride, level + 1)))
    } else if (plan.same) {
      unsafe(from, length)
    } else {
      new GenericArrayData(Array.tabulate[Any](length)(i => element(from + i)))
    }
  }

  /** Spark's own layout: count, null bits, values, rounded up to whole words. */
  private def unsafe(from: Long, length: Int): UnsafeArrayData = {
    val header = UnsafeArrayData.calculateHeaderPortionInBytes(length)
    val values = length * size
    val target = new Array[Byte](header + (values + 7) / 8 * 8)
    Platform.putLong(target, Platform.BYTE_ARRAY_OFFSET, length.toLong)
    Platform.copyMemory(bytes, at(from), target, Platform.BYTE_ARRAY_OFFSET + header, values)
    val array = new UnsafeArrayData
    array.pointTo(target, Platform.BYTE_ARRAY_OFFSET, target.length)
    array
  }

  private def element(index: Long): Any = plan.dtype match {
    case DType.BOOL => Platform.getBoolean(bytes, at(index))
    case DType.INT8 => Platform.getByte(bytes, at(index))
    case DType.UINT8 => (Platform.getByte(bytes, at(index)) & 0xff).toShort
    case DType.INT16 => Platform.getShort(bytes, at(index))
    case DType.UINT16 => Platform.getShort(bytes, at(index)) & 0xffff
    case DType.INT32 => Platform.getInt(bytes, at(index))
    case DType.UINT32 => Platform.getInt(bytes, at(index)) & 0xffffffffL
    case DType.INT64 => Platform.getLong(bytes, at(index))
    case DType.FLOAT16 | DType.BFLOAT16 => Half.value(Platform.getShort(bytes, at(index)), plan.dtype)
    case DType.FLOAT32 => Platform.getFloat(bytes, at(index))
    case DType.FLOAT64 => Platform.getDouble(bytes, at(index))
    case DType.STRING if plan.elementType == BinaryType => strings(index.toInt)
    case DType.STRING => text(strings(index.toInt))
    case other => throw new IllegalStateException(s"$other has no Spark type")
  }

  private def text(value: Array[Byte]): UTF8String = {
    if (value.exists(_ < 0)) {
      try StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value))
      catch {
        case _: CharacterCodingException =>
          throw new ModelException(
            "text", s"output '${plan.name}' holds bytes that are no UTF-8; set strings=binary for a column of bytes")
      }
    }
    UTF8String.fromBytes(value)
  }
}

private[spark] object OutputValues {

  /**
   * Copies the first rows of an output.
   *
   * @param fed rows in the run
   * @param rows wanted of them
   * @throws ModelException the tensor is not what the signature says
   */
  def read(plan: OutputPlan, buffer: TensorBuffer, fed: Int, rows: Int): OutputValues = {
    val shape = buffer.shape
    val row = if (plan.leading) shape.drop(1) else shape
    val fits = row.length == plan.rowShape.length && (!plan.leading || shape.headOption.contains(fed.toLong)) &&
      row.zip(plan.rowShape).forall { case (found, declared) => declared == TensorSpec.DYNAMIC || found == declared }
    if (!fits || buffer.dtype != plan.dtype) {
      val declared = (if (plan.leading) Seq(fed.toLong) else Nil) ++ plan.rowShape
      throw new ModelException(
        "output-shape",
        s"output '${plan.name}' came back as ${TensorSpec.describe(buffer.dtype, shape)}, expected " +
          s"${TensorSpec.describe(plan.dtype, declared.toArray)} for a run of $fed rows")
    }
    val count = rows * InputFiller.product(row, 0)
    if (plan.dtype == DType.STRING) {
      new OutputValues(plan, row, null, Array.tabulate(Math.toIntExact(count))(buffer.string))
    } else {
      val size = count * plan.dtype.size
      if (size > Int.MaxValue - 16) {
        throw new ModelException("output-size", s"output '${plan.name}' of $rows rows is more than 2 GiB; lower batchSize")
      }
      val bytes = new Array[Byte](size.toInt)
      Platform.copyMemory(null, buffer.address, bytes, Platform.BYTE_ARRAY_OFFSET, size)
      new OutputValues(plan, row, bytes, null)
    }
  }
}
