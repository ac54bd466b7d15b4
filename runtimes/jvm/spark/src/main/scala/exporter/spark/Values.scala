package exporter.spark

import org.apache.spark.sql.catalyst.expressions.UnsafeArrayData
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.types.UTF8String

/**
 * How values of a Scala type are those of a column, for RDDs that have no schema.
 *
 * @param dataType of the column
 */
sealed abstract class Values[T](val dataType: DataType) extends Serializable {
  private[spark] def toSpark(value: T): Any

  /** From the value of a column, which is never null. */
  private[spark] def fromSpark(value: Any): T
}

object Values {
  private def of[T](dataType: DataType)(to: T => Any)(from: Any => T): Values[T] = new Values[T](dataType) {
    private[spark] def toSpark(value: T): Any = to(value)
    private[spark] def fromSpark(value: Any): T = from(value)
  }

  private def primitive[T](dataType: DataType): Values[T] = of[T](dataType)(identity)(_.asInstanceOf[T])

  private def array[T](element: DataType)(to: T => ArrayData)(from: ArrayData => T): Values[T] =
    of[T](ArrayType(element, containsNull = false))(to)(value => from(value.asInstanceOf[ArrayData]))

  implicit val booleans: Values[Boolean] = primitive(BooleanType)
  implicit val ints: Values[Int] = primitive(IntegerType)
  implicit val longs: Values[Long] = primitive(LongType)
  implicit val floats: Values[Float] = primitive(FloatType)
  implicit val doubles: Values[Double] = primitive(DoubleType)
  implicit val bytes: Values[Array[Byte]] = of[Array[Byte]](BinaryType)(identity)(_.asInstanceOf[Array[Byte]])
  implicit val strings: Values[String] = of[String](StringType)(UTF8String.fromString)(_.toString)
  implicit val intArrays: Values[Array[Int]] = array(IntegerType)(UnsafeArrayData.fromPrimitiveArray(_: Array[Int]))(_.toIntArray())
  implicit val longArrays: Values[Array[Long]] = array(LongType)(UnsafeArrayData.fromPrimitiveArray(_: Array[Long]))(_.toLongArray())
  implicit val floatArrays: Values[Array[Float]] = array(FloatType)(UnsafeArrayData.fromPrimitiveArray(_: Array[Float]))(_.toFloatArray())
  implicit val doubleArrays: Values[Array[Double]] = array(DoubleType)(UnsafeArrayData.fromPrimitiveArray(_: Array[Double]))(_.toDoubleArray())
}
