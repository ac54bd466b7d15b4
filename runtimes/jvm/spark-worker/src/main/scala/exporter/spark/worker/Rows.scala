package exporter.spark.worker

import java.nio.ByteBuffer

import exporter.core.{DType, HostTensor, Shapes, TensorBuffer, TensorSpec, Unsupported}
import org.apache.spark.sql.types._

/** Tensors as the columns of rows, and back: the first dimension counts rows, the others nest as arrays. */
private[worker] object Rows {

  /** The element types that a column holds without loss. Unsigned ones take the next larger signed type. */
  val Types: Map[DType, DataType] = Map(
    DType.BOOL -> BooleanType,
    DType.UINT8 -> ShortType,
    DType.UINT16 -> IntegerType,
    DType.INT32 -> IntegerType,
    DType.INT64 -> LongType,
    DType.FLOAT32 -> FloatType,
    DType.FLOAT64 -> DoubleType,
    DType.STRING -> BinaryType)

  /** The type of a column whose rows have `rank` dimensions. */
  def columnType(dtype: DType, rank: Int): DataType =
    Iterator.iterate(Types(dtype))(ArrayType(_, containsNull = false)).drop(rank).next()

  /** One value per row: a scalar, or nested sequences. */
  def values(tensor: TensorBuffer): Seq[Any] = {
    val shape = tensor.shape
    val element = reader(tensor)
    def nested(dim: Int, index: Int): Any =
      if (dim == shape.length) element(index)
      else (0 until shape(dim).toInt).map(i => nested(dim + 1, index * shape(dim).toInt + i))
    (0 until shape(0).toInt).map(nested(1, _))
  }

  /**
   * The tensor whose rows are these values.
   *
   * @param spec of the output; its open dimensions are as long as the arrays are
   * @throws Unsupported there are no rows to tell how long an open dimension is
   */
  def tensor(spec: TensorSpec, values: Seq[Any]): HostTensor = {
    // an output of shape [batch, 1] comes as a scalar
    def wrapped(value: Any, rank: Int): Any =
      if (rank > 0 && !value.isInstanceOf[collection.Seq[_]]) Seq(value) else value
    val rank = spec.shape.length - 1
    def lengths(value: Any, rank: Int): List[Long] =
      if (rank == 0) Nil
      else {
        val items = wrapped(value, rank).asInstanceOf[collection.Seq[Any]]
        items.length.toLong :: (if (items.isEmpty) List.fill(rank - 1)(0L) else lengths(items.head, rank - 1))
      }
    val row = values.headOption.fold(spec.shape.drop(1).toList)(lengths(_, rank))
    if (row.exists(_ < 0)) {
      throw new Unsupported(s"output $spec: without rows nothing tells the length of its open dimensions")
    }
    val shape = (values.length.toLong :: row).toArray
    val result = HostTensor.zeros(spec.dtype, shape: _*)
    val put = writer(result)
    var next = 0
    def flatten(value: Any, rank: Int): Unit =
      if (rank == 0) {
        put(next, value)
        next += 1
      } else wrapped(value, rank).asInstanceOf[collection.Seq[Any]].foreach(flatten(_, rank - 1))
    values.foreach(flatten(_, rank))
    require(next == Shapes.elements(shape), s"output $spec: $next elements for the shape ${shape.mkString(", ")}")
    result
  }

  private def reader(tensor: TensorBuffer): Int => Any = tensor.dtype match {
    case DType.STRING => tensor.string(_)
    case dtype =>
      val bytes = tensor.bytes
      dtype match {
        case DType.BOOL => i => bytes.get(i) != 0
        case DType.UINT8 => i => (bytes.get(i) & 0xff).toShort
        case DType.UINT16 => i => bytes.getShort(2 * i) & 0xffff
        case DType.INT32 => i => bytes.getInt(4 * i)
        case DType.INT64 => i => bytes.getLong(8 * i)
        case DType.FLOAT32 => i => bytes.getFloat(4 * i)
        case DType.FLOAT64 => i => bytes.getDouble(8 * i)
      }
  }

  private def writer(tensor: HostTensor): (Int, Any) => Unit = tensor.dtype match {
    case DType.STRING => (i, value) => tensor.string(i, value.asInstanceOf[Array[Byte]])
    case dtype =>
      val bytes: ByteBuffer = tensor.bytes
      dtype match {
        case DType.BOOL => (i, value) => bytes.put(i, if (value.asInstanceOf[Boolean]) 1.toByte else 0.toByte)
        case DType.UINT8 => (i, value) => bytes.put(i, value.asInstanceOf[Short].toByte)
        case DType.UINT16 => (i, value) => bytes.putShort(2 * i, value.asInstanceOf[Int].toShort)
        case DType.INT32 => (i, value) => bytes.putInt(4 * i, value.asInstanceOf[Int])
        case DType.INT64 => (i, value) => bytes.putLong(8 * i, value.asInstanceOf[Long])
        case DType.FLOAT32 => (i, value) => bytes.putFloat(4 * i, value.asInstanceOf[Float])
        case DType.FLOAT64 => (i, value) => bytes.putDouble(8 * i, value.asInstanceOf[Double])
      }
  }
}
