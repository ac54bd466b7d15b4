package exporter.spark

import exporter.core.DType.{BFLOAT16, FLOAT16}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test

/** 16-bit floats against their definition: all values there are, and the midpoints between neighbours. */
class HalfTest {

  /** All finite values that are not negative, in order. */
  private def values(dtype: exporter.core.DType): Seq[(Int, Double)] = {
    val fraction = if (dtype == FLOAT16) 10 else 7
    val (bias, exponents) = if (dtype == FLOAT16) (15, 31) else (127, 255)
    for (bits <- 0 until (exponents << fraction)) yield {
      val exponent = bits >> fraction
      val steps = bits & ((1 << fraction) - 1)
      val value =
        if (exponent == 0) steps * math.pow(2, 1 - bias - fraction)
        else ((1 << fraction) + steps) * math.pow(2, exponent - bias - fraction)
      (bits, value)
    }
  }

  @Test def everyValueBothWays(): Unit =
    for (dtype <- Seq(FLOAT16, BFLOAT16); (bits, value) <- values(dtype)) {
      assertEquals(value, Half.value(bits.toShort, dtype).toDouble, s"$dtype $bits")
      assertEquals(bits, Half.bits(value, dtype).toInt, s"$dtype $value")
      assertEquals(-value, Half.value((bits | 0x8000).toShort, dtype).toDouble, s"$dtype -$bits")
      assertEquals((bits | 0x8000).toShort, Half.bits(-value, dtype), s"$dtype -$value")
    }

  @Test def betweenTwoValuesTheNearest(): Unit =
    for (dtype <- Seq(FLOAT16, BFLOAT16); Seq((low, below), (high, above)) <- values(dtype).sliding(2)) {
      val middle = below + (above - below) / 2
      assertEquals(if (low % 2 == 0) low else high, Half.bits(middle, dtype).toInt, s"$dtype $middle")
      assertEquals(low, Half.bits(Math.nextDown(middle), dtype).toInt)
      assertEquals(high, Half.bits(Math.nextUp(middle), dtype).toInt)
    }

  @Test def theEnds(): Unit =
    for (dtype <- Seq(FLOAT16, BFLOAT16)) {
      val (bits, largest) = values(dtype).last
      val step = largest - values(dtype).init.last._2
      assertEquals(bits, Half.bits(largest + step / 2.0001, dtype).toInt)
      assertEquals(Float.PositiveInfinity, Half.value(Half.bits(largest + step / 2, dtype), dtype))
      assertEquals(Float.NegativeInfinity, Half.value(Half.bits(Double.MinValue, dtype), dtype))
      assertEquals(Float.PositiveInfinity, Half.value(Half.bits(Double.PositiveInfinity, dtype), dtype))
      assertTrue(Half.value(Half.bits(Double.NaN, dtype), dtype).isNaN)
      assertEquals(0, Half.bits(Double.MinPositiveValue, dtype).toInt)
    }
}
