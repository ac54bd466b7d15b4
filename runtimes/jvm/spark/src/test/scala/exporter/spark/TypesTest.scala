package exporter.spark

import java.nio.charset.StandardCharsets.UTF_8

import exporter.spark.TestSession._
import org.apache.spark.sql.{DataFrame, Row}
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test
import org.tensorflow.proto.DataType
import org.tensorflow.proto.DataType._

/** Every type there and back through TensorFlow, as scalars, arrays and nested arrays, and the checks of what does not fit. */
class TypesTest {
  private def identity(dataType: DataType, dims: Long*): String =
    TestModels.identity(s"types-$dataType-${dims.mkString("x")}", ("x", dataType, -1L +: dims))

  private def through(model: String, df: DataFrame, narrow: Boolean = false): Seq[Any] =
    TensorFlowModel.load(model).setNarrow(narrow).transform(df.coalesce(1)).collect().map(_.get(1)).toSeq

  private def roundTrip(dataType: DataType, column: String, values: Seq[Any]): Unit = {
    val scalars = frame(s"x $column", values.map(Row(_)): _*)
    assertEquals(values, through(identity(dataType), scalars), s"$dataType from $column")
    val arrays = frame(s"x array<$column>", Row(values), Row(values.reverse))
    assertEquals(Seq(values, values.reverse), through(identity(dataType, values.size), arrays), s"$dataType arrays")
    val nested = frame(s"x array<array<$column>>", Row(Seq(values, values.reverse)))
    assertEquals(Seq(Seq(values, values.reverse)), through(identity(dataType, 2, values.size), nested), s"$dataType nested")
    val flat = frame(s"x array<$column>", Row(values ++ values.reverse))
    assertEquals(Seq(Seq(values, values.reverse)), through(identity(dataType, 2, values.size), flat), s"$dataType flat")
  }

  @Test def everyTypeThereAndBack(): Unit = {
    roundTrip(DT_BOOL, "boolean", Seq(true, false, true))
    roundTrip(DT_INT32, "int", Seq(Int.MinValue, -1, 0, Int.MaxValue))
    roundTrip(DT_INT64, "bigint", Seq(Long.MinValue, -1L, 0L, Long.MaxValue))
    roundTrip(DT_UINT8, "smallint", Seq[Short](0, 1, 127, 128, 255))
    roundTrip(DT_UINT16, "int", Seq(0, 32767, 32768, 65535))
    roundTrip(DT_FLOAT, "float", Seq(0f, -1.5f, Float.MaxValue, Float.MinPositiveValue, Float.PositiveInfinity))
    roundTrip(DT_DOUBLE, "double", Seq(0d, -1.1d, Double.MaxValue, Double.NegativeInfinity))
    roundTrip(DT_HALF, "float", Seq(0f, -1.5f, 65504f, 6e-8f.round.toFloat))
    roundTrip(DT_BFLOAT16, "float", Seq(0f, -1.5f, 256f, 1e20f).map(v => Half.value(Half.bits(v, exporter.core.DType.BFLOAT16), exporter.core.DType.BFLOAT16)))
    roundTrip(DT_STRING, "string", Seq("", "a", "grüße", "日本\u0000語"))
  }

  @Test def widening(): Unit = {
    val df = frame("x tinyint", Row((-7).toByte))
    assertEquals(Seq(-7), through(identity(DT_INT32), df))
    assertEquals(Seq(-7L), through(identity(DT_INT64), df))
    assertEquals(Seq(-7f), through(identity(DT_FLOAT), df))
    assertEquals(Seq(-7d), through(identity(DT_DOUBLE), df))
    assertEquals(Seq(Int.MinValue.toDouble), through(identity(DT_DOUBLE), frame("x int", Row(Int.MinValue))))
    assertEquals(Seq(0.1f.toDouble), through(identity(DT_DOUBLE), frame("x float", Row(0.1f))))
    assertEquals(Seq(Seq(1L, 2L)), through(identity(DT_INT64, 2), frame("x array<smallint>", Row(Seq[Short](1, 2)))))
  }

  @Test def narrowing(): Unit = {
    fails("column 'x' is bigint, expected int for input x: int32 [?]", "set narrow=true")(through(identity(DT_INT32), frame("x bigint", Row(1L))))
    assertEquals(Seq(5), through(identity(DT_INT32), frame("x bigint", Row(5L)), narrow = true))
    fails("column 'x', row 1 of partition 0: 2147483648 is outside of the range of int32, -2147483648 to 2147483647") {
      through(identity(DT_INT32), frame("x bigint", Row(5L), Row(1L << 31)), narrow = true)
    }
    assertEquals(Seq(0.1f), through(identity(DT_FLOAT), frame("x double", Row(0.1)), narrow = true))
    fails("row 0 of partition 0: 1.0E39 is outside of the range of float32")(through(identity(DT_FLOAT), frame("x double", Row(1e39)), narrow = true))
    assertEquals(Seq(Float.PositiveInfinity), through(identity(DT_FLOAT), frame("x double", Row(Double.PositiveInfinity)), narrow = true))
    // to the nearest float32 of the integer, which the nearest of its float64 is not
    assertEquals(Seq(9007199791611905L.toFloat), through(identity(DT_FLOAT), frame("x bigint", Row(9007199791611905L)), narrow = true))
  }

  @Test def whatTheCarrierHoldsAndTheTensorDoesNot(): Unit = {
    fails("row 0 of partition 0: 256 is outside of the range of uint8, 0 to 255")(through(identity(DT_UINT8), frame("x smallint", Row(256.toShort))))
    fails("-1 is outside of the range of uint8")(through(identity(DT_UINT8, 2), frame("x array<tinyint>", Row(Seq(1.toByte, (-1).toByte)))))
    fails("0.1", "is no float16, the nearest is 0.099975586; set narrow=true to round")(through(identity(DT_HALF), frame("x float", Row(0.1f))))
    assertEquals(Seq(0.099975586f), through(identity(DT_HALF), frame("x float", Row(0.1f)), narrow = true))
    fails("is outside of the range of float16")(through(identity(DT_HALF), frame("x float", Row(70000f)), narrow = true))
  }

  @Test def stringsAndBytes(): Unit = {
    val broken = Array[Byte](-1, 0, 65)
    val df = frame("text binary", Row("grüße".getBytes(UTF_8)), Row(broken)).coalesce(1)
    val binary = TensorFlowModel.load(TestModels.strings).setStrings("binary").transform(df).collect()
    assertArrayEquals(broken, binary(1).getAs[Array[Byte]]("same"))
    assertArrayEquals(broken :+ '!'.toByte, binary(1).getAs[Array[Byte]]("marked"))
    fails("holds bytes that are no UTF-8; set strings=binary")(TensorFlowModel.load(TestModels.strings).transform(df).collect())
    val texts = frame("text string", (0 until 700).map(i => Row(s"ä$i" * (i % 5))): _*).coalesce(1)
    val marked = TensorFlowModel.load(TestModels.strings).setOutputs(Map("marked" -> "m")).transform(texts).collect()
    marked.foreach(row => assertEquals(row.getString(0) + "!", row.getString(1)))
  }

  @Test def bytesAsNumbers(): Unit = {
    val df = frame("x binary", Row(Array[Byte](0, 1, -1, -128)))
    assertEquals(Seq(Seq(Seq(0, 1), Seq(255, 128)).map(_.map(_.toShort))), through(identity(DT_UINT8, 2, 2), df))
    fails("has 4 values, expected 2")(through(identity(DT_UINT8, 2), df))
  }

  @Test def outputsOfOneElement(): Unit = {
    val df = frame("features array<float>", Row(Seq(1f, 2f)))
    assertEquals(Seq(Seq(-3.25f)), TensorFlowModel.load(TestModels.linear).setSqueeze(false).transform(df).collect().map(_.get(1)).toSeq)
  }

  @Test def typesThatTensorFlowJavaCannotCarry(): Unit =
    fails("int8", "tensorflow-java cannot carry this type")(through(identity(DT_INT8), frame("x tinyint", Row(1.toByte))))
}
