package exporter.spark

import java.nio.charset.StandardCharsets.UTF_8

import exporter.core.DType
import org.apache.spark.unsafe.Platform

/** Writes the low bytes of a number. */
private[spark] object Bits {
  def put(slot: Slot, index: Long, size: Int, bits: Long): Unit = {
    val address = slot.address(index)
    size match {
      case 1 => Platform.putByte(null, address, bits.toByte)
      case 2 => Platform.putShort(null, address, bits.toShort)
      case 4 => Platform.putInt(null, address, bits.toInt)
      case 8 => Platform.putLong(null, address, bits)
    }
  }
}

/** A value that stands for nulls, or fills up short rows. */
private[spark] sealed abstract class Constant {

  /** Writes it `count` times. */
  def put(slot: Slot, from: Long, count: Long): Unit
}

private[spark] object Constant {
  private final class Number(size: Int, bits: Long) extends Constant {
    def put(slot: Slot, from: Long, count: Long): Unit =
      if (size == 1 || bits == 0) {
        Platform.setMemory(slot.address(from), bits.toByte, count * size)
      } else {
        var i = 0L
        while (i < count) {
          Bits.put(slot, from + i, size, bits)
          i += 1
        }
      }
  }

  private final class Text(bytes: Array[Byte]) extends Constant {
    def put(slot: Slot, from: Long, count: Long): Unit =
      (0L until count).foreach(i => slot.buffer.string(Math.toIntExact(from + i), bytes))
  }

  /** The constant that a text is for tensors of this type, if it is one. */
  def parse(text: String, dtype: DType): Option[Constant] = {
    def integer(low: Long, high: Long): Option[Long] =
      try Some(text.trim.toLong).filter(value => low <= value && value <= high)
      catch { case _: NumberFormatException => None }
    // a number that is finite as text must not become infinite in the tensor
    def float(stored: Double => Double): Option[Double] =
      try Some(text.trim.toDouble).filter(value => !stored(value).isInfinite || text.contains("Infinity"))
      catch { case _: NumberFormatException => None }
    def number(bits: Option[Long]) = bits.map(new Number(dtype.size, _))
    dtype match {
      case DType.STRING => Some(new Text(text.getBytes(UTF_8)))
      case DType.BOOL => number(Map("true" -> 1L, "false" -> 0L).get(text.trim))
      case DType.FLOAT64 => number(float(identity).map(java.lang.Double.doubleToRawLongBits))
      case DType.FLOAT32 =>
        number(float(_.toFloat.toDouble).map(value => java.lang.Float.floatToRawIntBits(value.toFloat).toLong))
      case DType.FLOAT16 | DType.BFLOAT16 =>
        number(float(value => Half.value(Half.bits(value, dtype), dtype).toDouble).map(Half.bits(_, dtype).toLong))
      case other => Element.range(other).flatMap { case (low, high) => number(integer(low, high)) }
    }
  }
}
