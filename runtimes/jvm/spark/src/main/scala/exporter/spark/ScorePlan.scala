package exporter.spark

import exporter.core.{DType, TensorSpec}
import org.apache.spark.sql.types._

/** Where the rows are in the tensors of a signature. */
private[spark] sealed trait Batching extends Serializable

private[spark] object Batching {

  /** The first dimension is open: any number of rows at once. */
  case object Open extends Batching

  /** The first dimension is this length: missing rows are made up, and their results dropped. */
  final case class Fixed(rows: Int) extends Batching

  /** Some tensor has no dimension for rows: one run per row, a first dimension that is open is 1. */
  case object None extends Batching
}

/**
 * One column that holds a value of an input, or a part of it.
 *
 * @param name for messages
 * @param ordinal in the rows that a scorer is given
 */
private[spark] final case class Leaf(name: String, dataType: DataType, ordinal: Int)

/** How the columns of one input become a tensor. */
private[spark] sealed trait Source extends Serializable {
  def leaves: Seq[Leaf]
}

private[spark] object Source {

  /** One value per row. */
  final case class Scalar(leaf: Leaf) extends Source {
    def leaves: Seq[Leaf] = Seq(leaf)
  }

  /** One value from each of several columns. */
  final case class Fields(leaves: Seq[Leaf]) extends Source

  /** Arrays in arrays, `levels` deep, of `element`. */
  final case class Arrays(leaf: Leaf, levels: Int, element: DataType) extends Source {
    def leaves: Seq[Leaf] = Seq(leaf)
  }

  /** A vector of Spark ML. */
  final case class MlVector(leaf: Leaf) extends Source {
    def leaves: Seq[Leaf] = Seq(leaf)
  }

  /** The bytes of a binary column as numbers. */
  final case class Bytes(leaf: Leaf) extends Source {
    def leaves: Seq[Leaf] = Seq(leaf)
  }
}

/**
 * @param name of the input
 * @param column what the user calls its source, for messages
 * @param rowShape dimensions of one row in the tensor, -1 where only the row says
 * @param lengths the dimensions as the column has them: those of `rowShape`, or its product for a flat column
 * @param leading whether the tensor has a dimension for rows before those of the row
 */
private[spark] final case class InputPlan(
    name: String,
    dtype: DType,
    column: String,
    rowShape: Seq[Long],
    lengths: Seq[Long],
    leading: Boolean,
    source: Source) {

  /** Whether only a row says how large it is. */
  val open: Boolean = rowShape.contains(TensorSpec.DYNAMIC)
}

/**
 * @param rowShape dimensions of one row, -1 where only the result says
 * @param leading whether the tensor has a dimension for rows before those of the row
 * @param dataType of the column; its depth of arrays is that of `rowShape`, or 0 where a single element is a scalar
 */
private[spark] final case class OutputPlan(
    name: String,
    dtype: DType,
    rowShape: Seq[Long],
    leading: Boolean,
    dataType: DataType) {

  /** Of the column, inside of all arrays. */
  val elementType: DataType = {
    def inner(dataType: DataType): DataType = dataType match {
      case ArrayType(element, _) => inner(element)
      case other => other
    }
    inner(dataType)
  }

  /** Whether values lie in memory as Spark has them in arrays. */
  val same: Boolean = Element.of(elementType, dtype, narrow = false).fold(_ => false, _.same)
}

/**
 * All that executors need to know to score rows, apart from the model itself.
 *
 * @param inputs in the order of the signature
 * @param outputs those to return
 */
private[spark] final case class ScorePlan(
    signature: String,
    batching: Batching,
    inputs: Seq[InputPlan],
    outputs: Seq[OutputPlan],
    options: ScoreOptions) {

  /** Of the result: that of the only output, or else a struct of all of them. */
  val dataType: DataType = outputs match {
    case Seq(only) => only.dataType
    case several => StructType(several.map(output => StructField(output.name, output.dataType)))
  }

  /** The most rows that one run gets. */
  def batchSize: Int = batching match {
    case Batching.Open => options.batchSize
    case Batching.Fixed(rows) => rows
    case Batching.None => 1
  }

  /** Whether the size of some tensor is only known once the rows of a batch are. */
  val gathers: Boolean = inputs.exists(_.open) && options.ragged != RaggedPolicy.Fail
}
