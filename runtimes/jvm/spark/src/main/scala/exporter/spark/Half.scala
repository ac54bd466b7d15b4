package exporter.spark

import exporter.core.DType

/** The two 16-bit floats, which Java 11 has no type for: float16 of IEEE 754, and bfloat16, the upper half of a float32. */
private[spark] object Half {

  /** The exact value. */
  def value(bits: Short, dtype: DType): Float =
    if (dtype == DType.BFLOAT16) java.lang.Float.intBitsToFloat(bits << 16)
    else {
      val sign = if (bits < 0) -1f else 1f
      val exponent = (bits >> 10) & 0x1f
      val fraction = bits & 0x3ff
      exponent match {
        case 0 => sign * fraction * Math.scalb(1f, -24)
        case 31 if fraction == 0 => sign * Float.PositiveInfinity
        case 31 => Float.NaN
        case _ => sign * Math.scalb((1024 + fraction).toFloat, exponent - 25)
      }
    }

  /** The nearest 16-bit float; of two, the even one; infinite where the value is too large. */
  def bits(value: Double, dtype: DType): Short = {
    val (fractionBits, lowest, largest) =
      if (dtype == DType.BFLOAT16) (7, -126, 127) else (10, -14, 15)
    val signBit = if (java.lang.Double.doubleToRawLongBits(value) < 0) 0x8000 else 0
    val infinity = (largest - lowest + 2) << fractionBits
    val magnitude =
      if (value.isNaN) infinity | (1 << (fractionBits - 1))
      else if (value.isInfinite) infinity
      else {
        // in steps of the last bit: rint rounds halves to even, and a carry runs over into the exponent as it must
        val exponent = Math.max(Math.getExponent(value), lowest)
        val steps = Math.rint(Math.scalb(Math.abs(value), fractionBits - exponent)).toLong
        Math.min(steps + ((exponent - lowest).toLong << fractionBits), infinity.toLong).toInt
      }
    (signBit | magnitude).toShort
  }
}
