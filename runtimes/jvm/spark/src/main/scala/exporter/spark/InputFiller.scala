package exporter.spark

import exporter.core.ModelException
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters
import org.apache.spark.sql.types.{DataType, DoubleType}
import org.apache.spark.sql.vectorized.ColumnarBatch

/** Writes one input of a row into its tensor. Belongs to one thread. */
private[spark] abstract class InputFiller(val plan: InputPlan, options: ScoreOptions) {
  private val onNull: Option[Constant] = InputFiller.constant(plan, options.nulls)
  protected val padding: Option[Constant] = InputFiller.padding(plan, options)

  /** Tells that the next rows are those of a batch. */
  def begin(batch: ColumnarBatch): Unit = ()

  /**
   * @param at position of the row in the tensor
   * @param lengths of the arrays of the column: those of the plan, with open ones replaced
   * @return false when the row has a null and its output is null therefore
   * @throws BadValue the row cannot be fed
   */
  def fill(row: InternalRow, to: Slot, at: Int, lengths: Array[Long]): Boolean

  /**
   * Lengths of the arrays of a row, for inputs that leave them open.
   *
   * @return null when the row has a null in place of an array and its output is null therefore
   */
  def lengths(row: InternalRow): Array[Long] = plan.lengths.toArray

  /** A null, in place of `count` elements. */
  protected def missing(to: Slot, index: Long, count: Long, what: String): Boolean = options.nulls match {
    case NullPolicy.NullOutput => false
    case NullPolicy.Default(_) =>
      onNull.get.put(to, index, count)
      true
    case NullPolicy.Fail => throw InputFiller.nullValue(what)
  }

  protected def value(from: SpecializedGetters, ordinal: Int, element: Element, to: Slot, index: Long): Boolean =
    if (from.isNullAt(ordinal)) missing(to, index, 1, "is null")
    else {
      element.put(from, ordinal, to, index)
      true
    }

  protected def checkLength(found: Long, expected: Long): Unit =
    if (found != expected && !(padding.isDefined && found < expected)) {
      val advice =
        if (padding.isEmpty) "set ragged=pad=<value>" + (if (plan.open) " or ragged=bucket" else "") + ", or leave such rows out"
        else "nothing is cut off: leave such rows out" + (if (options.padTo > 0) ", or raise padTo" else "")
      throw new BadValue("ragged", s"has $found values, expected $expected; $advice")
    }

  protected def pad(to: Slot, index: Long, from: Long, until: Long): Unit =
    if (from < until) {
      padding.get.put(to, index + from, until - from)
    }
}

private[spark] object InputFiller {

  /**
   * @param at where a leaf of the plan is in the rows that will be given
   */
  def of(plan: InputPlan, options: ScoreOptions, at: Leaf => Int): InputFiller = {
    def element(from: DataType, narrow: Boolean = options.narrow): Element =
      Element.of(from, plan.dtype, narrow).fold(why => throw new ModelException("schema", why), identity)
    plan.source match {
      case Source.Scalar(leaf) => new FieldsFiller(plan, options, Array(at(leaf)), Array(element(leaf.dataType)))
      case Source.Fields(leaves) =>
        new FieldsFiller(plan, options, leaves.map(at).toArray, leaves.map(leaf => element(leaf.dataType)).toArray)
      case Source.Arrays(leaf, _, from) => new ArrayFiller(plan, options, at(leaf), element(from))
      case Source.MlVector(leaf) => new VectorFiller(plan, options, at(leaf), element(DoubleType, narrow = true))
      case Source.Bytes(leaf) => new BytesFiller(plan, options, at(leaf))
    }
  }

  /**
   * Checks that the values of the policies are values of this input.
   *
   * @throws ModelException they are not
   */
  def check(plan: InputPlan, options: ScoreOptions): Unit = {
    constant(plan, options.nulls)
    padding(plan, options)
    options.nulls match {
      case NullPolicy.Default(value) if plan.open =>
        throw new ModelException(
          "option",
          s"nulls=default=$value cannot stand for a missing array of input '${plan.name}', whose length is open; " +
            "use nulls=error or nulls=null, or give it a length by padTo")
      case _ =>
    }
  }

  private def constant(plan: InputPlan, policy: NullPolicy): Option[Constant] = policy match {
    case NullPolicy.Default(value) => Some(parse(plan, value, "nulls=default"))
    case _ => None
  }

  private def padding(plan: InputPlan, options: ScoreOptions): Option[Constant] = options.ragged match {
    case RaggedPolicy.Pad(value) if plan.lengths.nonEmpty => Some(parse(plan, value, "ragged=pad"))
    case _ => None
  }

  private def parse(plan: InputPlan, value: String, option: String): Constant =
    Constant.parse(value, plan.dtype).getOrElse {
      throw new ModelException("option", s"$option=$value is no value of input '${plan.name}', which is ${plan.dtype}")
    }

  def nullValue(what: String): BadValue =
    new BadValue(
      "null",
      s"$what; set nulls=null for a null result, nulls=default=<value> to replace it, or leave such rows out")

  /** The lengths of an array that is not there. */
  def absent(options: ScoreOptions, what: String): Array[Long] =
    if (options.nulls == NullPolicy.Fail) throw nullValue(what) else null

  /** Elements in all dimensions from one on. */
  def product(lengths: Array[Long], from: Int): Long = {
    var count = 1L
    var i = from
    while (i < lengths.length) {
      count *= lengths(i)
      i += 1
    }
    count
  }

  def longest(one: Array[Long], other: Array[Long]): Array[Long] = one.zip(other).map { case (a, b) => math.max(a, b) }
}

/** One value from each of one or more columns. */
private final class FieldsFiller(plan: InputPlan, options: ScoreOptions, ordinals: Array[Int], elements: Array[Element])
    extends InputFiller(plan, options) {

  def fill(row: InternalRow, to: Slot, at: Int, lengths: Array[Long]): Boolean = {
    val first = at.toLong * ordinals.length
    var complete = true
    var i = 0
    try {
      while (i < ordinals.length) {
        complete = value(row, ordinals(i), elements(i), to, first + i) && complete
        i += 1
      }
    } catch {
      case e: BadValue => throw e.of(plan.source.leaves(i).name)
    }
    complete
  }
}
