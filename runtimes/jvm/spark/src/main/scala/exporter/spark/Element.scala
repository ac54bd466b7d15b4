package exporter.spark

import exporter.core.{DType, TensorBuffer}
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.Platform

/** The memory of one input while it is filled. */
private[spark] final class Slot(val buffer: TensorBuffer) {
  // once per batch, where the check of every element would cost as much as the write
  private val base: Long = if (buffer.dtype == DType.STRING) 0 else buffer.address
  private val size: Int = buffer.dtype.size

  /** Native address of an element, in C order. */
  def address(index: Long): Long = base + index * size
}

/**
 * A value cannot be given to the model; says what and why, but not where: whoever knows column and row adds that.
 *
 * @param column where one input has several; else null
 */
private[spark] final class BadValue(val code: String, message: String, val column: String = null)
    extends RuntimeException(message, null, false, false) {
  def of(part: String): BadValue = new BadValue(code, message, part)
}

/**
 * Copies one value from a row or an array into a tensor.
 *
 * @param same whether a primitive array of such values has the very bytes of the tensor
 */
private[spark] abstract class Element(val same: Boolean) {

  /**
   * @param from is not null at `ordinal`
   * @throws BadValue the tensor's type cannot hold the value
   */
  def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit
}

/**
 * Which Spark type goes into which tensor type.
 *
 * Free are conversions that keep every value. Unsigned integers and 16-bit floats have no Spark type: the next larger one
 * carries them, both ways, and values that do not fit are errors. What may lose something needs `narrow`.
 */
private[spark] object Element {

  /** The Spark type of each element type, for outputs and for messages; others have none. */
  val sparkTypes: Map[DType, DataType] = Map(
    DType.BOOL -> BooleanType,
    DType.INT8 -> ByteType,
    DType.UINT8 -> ShortType,
    DType.INT16 -> ShortType,
    DType.UINT16 -> IntegerType,
    DType.INT32 -> IntegerType,
    DType.UINT32 -> LongType,
    DType.INT64 -> LongType,
    DType.FLOAT16 -> FloatType,
    DType.BFLOAT16 -> FloatType,
    DType.FLOAT32 -> FloatType,
    DType.FLOAT64 -> DoubleType,
    DType.STRING -> StringType)

  private val integers = Seq[DataType](ByteType, ShortType, IntegerType, LongType)

  // lowest and highest value, and the widest Spark type that goes there without narrow
  private val ranges: Map[DType, (Long, Long, DataType)] = Map(
    DType.INT8 -> ((Byte.MinValue.toLong, Byte.MaxValue.toLong, ByteType)),
    DType.INT16 -> ((Short.MinValue.toLong, Short.MaxValue.toLong, ShortType)),
    DType.INT32 -> ((Int.MinValue.toLong, Int.MaxValue.toLong, IntegerType)),
    DType.INT64 -> ((Long.MinValue, Long.MaxValue, LongType)),
    DType.UINT8 -> ((0L, 255L, ShortType)),
    DType.UINT16 -> ((0L, 65535L, IntegerType)),
    DType.UINT32 -> ((0L, 4294967295L, LongType)))

  // what a float type holds exactly, and what it holds with narrow
  private val floats: Map[DType, (Seq[DataType], Seq[DataType])] = Map(
    DType.FLOAT16 -> ((Seq(FloatType), Seq(DoubleType))),
    DType.BFLOAT16 -> ((Seq(FloatType), Seq(DoubleType))),
    DType.FLOAT32 -> ((Seq(FloatType, ByteType, ShortType), Seq(IntegerType, LongType, DoubleType))),
    DType.FLOAT64 -> ((Seq(DoubleType, FloatType, ByteType, ShortType, IntegerType), Seq(LongType))))

  /** Lowest and highest value of an integer type. */
  def range(dtype: DType): Option[(Long, Long)] = ranges.get(dtype).map { case (low, high, _) => (low, high) }

  /** The conversion, or why there is none and what to do. */
  def of(from: DataType, to: DType, narrow: Boolean): Either[String, Element] =
    (from, to) match {
      case (BooleanType, DType.BOOL) => Right(Booleans)
      case (_: StringType, DType.STRING) => Right(Text)
      case (BinaryType, DType.STRING) => Right(Binary)
      case (integer, _) if ranges.contains(to) && integers.contains(integer) =>
        val (low, high, widest) = ranges(to)
        if (narrow || integers.indexOf(integer) <= integers.indexOf(widest)) Right(integral(integer, to, low, high))
        else Left(narrowing(from, to))
      case (number, _) if floats.contains(to) && floats(to)._1.contains(number) => Right(floating(number, to, narrow))
      case (number, _) if floats.contains(to) && floats(to)._2.contains(number) =>
        if (narrow) Right(floating(number, to, narrow)) else Left(narrowing(from, to))
      case _ => Left(s"${from.catalogString} is not converted to $to; cast it, or choose another column")
    }

  private def narrowing(from: DataType, to: DType): String =
    s"${from.catalogString} to $to can lose values; cast the column, or set narrow=true"

  private def integral(from: DataType, to: DType, low: Long, high: Long): Element = (from, to) match {
    case (IntegerType, DType.INT32) => Ints
    case (LongType, DType.INT64) => Longs
    case (ByteType, DType.INT8) => new Integral(from, to, low, high, true)
    case (ShortType, DType.INT16) => new Integral(from, to, low, high, true)
    case _ => new Integral(from, to, low, high, false)
  }

  private def floating(from: DataType, to: DType, narrow: Boolean): Element = (from, to) match {
    case (FloatType, DType.FLOAT32) => Floats
    case (DoubleType, DType.FLOAT64) => Doubles
    case (_, DType.FLOAT64) => new ToDouble(from)
    case (_, DType.FLOAT32) => new ToFloat(from)
    case _ => new ToHalf(from, to, narrow)
  }

  private object Booleans extends Element(true) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit =
      Platform.putBoolean(null, to.address(index), from.getBoolean(ordinal))
  }

  private object Ints extends Element(true) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit =
      Platform.putInt(null, to.address(index), from.getInt(ordinal))
  }

  private object Longs extends Element(true) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit =
      Platform.putLong(null, to.address(index), from.getLong(ordinal))
  }

  private object Floats extends Element(true) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit =
      Platform.putFloat(null, to.address(index), from.getFloat(ordinal))
  }

  private object Doubles extends Element(true) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit =
      Platform.putDouble(null, to.address(index), from.getDouble(ordinal))
  }

  private object Text extends Element(false) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit = {
      // getBytes copies what lies inside of a row, whose memory the next row may take
      to.buffer.string(Math.toIntExact(index), from.getUTF8String(ordinal).getBytes)
    }
  }

  private object Binary extends Element(false) {
    def put(from: SpecializedGetters, ordinal: Int, to: Slot, index: Long): Unit =
      to.buffer.string(Math.toIntExact(index), from.getBinary(ordinal))
  }

  private def long(from: SpecializedGetters, ordinal: Int, dataType: DataType): Long = dataType match {
    case ByteType => from.getByte(ordinal).toLong
    case ShortType => from.getShort(ordinal).toLong
    case IntegerType => from.getInt(ordinal).toLong
    case _ => from.getLong(ordinal)
  }

  private def double(from: SpecializedGetters, ordinal: Int, dataType: DataType): Double = dataType match {
    case DoubleType => from.getDouble(ordinal)
    case FloatType => from.getFloat(ordinal).toDouble
    case _ => long(from, ordinal, dataType).toDouble
  }

  private final class Integral(from: DataType, to: DType, low: Long, high: Long, same: Boolean) extends Element(same) {
    def put(row: SpecializedGetters, ordinal: Int, slot: Slot, index: Long): Unit = {
      val value = long(row, ordinal, from)
      if (value < low || value > high) {
        throw new BadValue("range", s"$value is outside of the range of $to, $low to $high")
      }
      Bits.put(slot, index, to.size, value)
    }
  }

  private final class ToDouble(from: DataType) extends Element(false) {
    def put(row: SpecializedGetters, ordinal: Int, slot: Slot, index: Long): Unit =
      Platform.putDouble(null, slot.address(index), double(row, ordinal, from))
  }

  private final class ToFloat(from: DataType) extends Element(false) {
    def put(row: SpecializedGetters, ordinal: Int, slot: Slot, index: Long): Unit = {
      val value = from match {
        case DoubleType =>
          val double = row.getDouble(ordinal)
          if (double.toFloat.isInfinite && !double.isInfinite) {
            throw new BadValue("range", s"$double is outside of the range of float32")
          }
          double.toFloat
        // straight from the integer: by way of a double it would be rounded twice
        case _ => long(row, ordinal, from).toFloat
      }
      Platform.putFloat(null, slot.address(index), value)
    }
  }

  private final class ToHalf(from: DataType, to: DType, narrow: Boolean) extends Element(false) {
    def put(row: SpecializedGetters, ordinal: Int, slot: Slot, index: Long): Unit = {
      val value = double(row, ordinal, from)
      val bits = Half.bits(value, to)
      val back = Half.value(bits, to)
      if (back.isInfinite && !value.isInfinite) {
        throw new BadValue("range", s"$value is outside of the range of $to")
      }
      if (!narrow && back.toDouble != value && !value.isNaN) {
        throw new BadValue("range", s"${value.toFloat} is no $to, the nearest is $back; set narrow=true to round")
      }
      Platform.putShort(null, slot.address(index), bits)
    }
  }
}
