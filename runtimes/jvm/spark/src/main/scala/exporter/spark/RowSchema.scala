package exporter.spark

import exporter.core.{DType, ModelException, TensorSpec}
import org.apache.spark.sql.types._

/**
 * What fills one input: a column, or several that make a vector.
 *
 * @param label what the user calls it
 */
private[spark] final case class InputColumns(label: String, leaves: Seq[Leaf], several: Boolean)

/**
 * The rules between columns and tensors. Pure: signature and column types in, plan or one message out.
 *
 * {{{
 * tensor            column                                         result
 * [rows]            scalar                                         scalar
 * [rows, 1]         scalar, or array of one                        scalar (squeeze=false: array of one)
 * [rows, d]         array, d columns, ML vector, bytes for uint8   array
 * [rows, d, e, …]   nested arrays, or a flat array of d*e*…        nested arrays
 * }}}
 *
 * Element types go to wider ones by themselves, see [[Element]]. Without a dimension for rows the same holds for the
 * whole tensor.
 */
private[spark] object RowSchema {

  /**
   * @param columns one per input, in the order of the signature
   */
  def plan(model: ScoringModel, columns: Seq[InputColumns], options: ScoreOptions): Either[String, ScorePlan] =
    try {
      val inputs = Java.seq[TensorSpec](model.signature.inputs.values)
      val outputs = chosen(model, options)
      // an engine refuses the whole signature for an output that nobody reads
      (inputs ++ Java.seq[TensorSpec](model.signature.outputs.values)).foreach { spec =>
        if (!model.dtypes(spec.dtype)) {
          fail(s"$spec: ${model.engine} cannot carry this type; cast it inside of the model")
        }
      }
      (inputs ++ outputs).foreach { spec =>
        if (!Element.sparkTypes.contains(spec.dtype)) {
          fail(s"$spec: Spark has no such type; cast it inside of the model")
        }
      }
      val attempts = batchings(inputs, outputs).map(attempt(model, inputs, columns, outputs, options, _))
      attempts.find(_.isRight).getOrElse(attempts.head)
    } catch {
      case e: ModelException => Left(e.getMessage)
    }

  private def attempt(
      model: ScoringModel,
      inputs: Seq[TensorSpec],
      columns: Seq[InputColumns],
      outputs: Seq[TensorSpec],
      options: ScoreOptions,
      batching: Batching): Either[String, ScorePlan] =
    try {
      val plan = ScorePlan(
        model.signature.key,
        batching,
        inputs.zip(columns).map { case (spec, column) => input(spec, column, batching, options) },
        outputs.map(output(_, batching, options)),
        options)
      plan.inputs.foreach(InputFiller.check(_, options))
      Right(plan)
    } catch {
      case e: ModelException => Left(e.getMessage)
    }

  /** How rows could lie in the tensors; the first way that fits the columns is taken. */
  private def batchings(inputs: Seq[TensorSpec], outputs: Seq[TensorSpec]): Seq[Batching] = {
    val first = (inputs ++ outputs).map(spec => Option(spec.shape).fold(Option(TensorSpec.DYNAMIC))(_.headOption)).distinct
    first match {
      case Seq(Some(TensorSpec.DYNAMIC)) => Seq(Batching.Open)
      case Seq(Some(rows)) if rows > 0 && rows <= Int.MaxValue => Seq(Batching.Fixed(rows.toInt), Batching.None)
      case _ => Seq(Batching.None)
    }
  }

  private def chosen(model: ScoringModel, options: ScoreOptions): Seq[TensorSpec] = {
    val all = model.signature.outputs
    if (options.outputs.isEmpty) Java.seq[TensorSpec](all.values)
    else options.outputs.map { name =>
      Option(all.get(name)).getOrElse {
        fail(s"the model has no output '$name', found ${Java.seq[String](all.keySet).mkString(", ")}")
      }
    }
  }

  private def leading(spec: TensorSpec, batching: Batching): Boolean =
    batching != Batching.None || spec.shape == null || spec.batched

  private def rowShape(spec: TensorSpec, batching: Batching): Seq[Long] =
    if (leading(spec, batching)) spec.shape.toSeq.drop(1) else spec.shape.toSeq

  private def output(spec: TensorSpec, batching: Batching, options: ScoreOptions): OutputPlan = {
    if (spec.shape == null) {
      fail(s"output $spec, so its column would have no type; name other outputs with the option outputs")
    }
    val shape = rowShape(spec, batching)
    val element = Element.sparkTypes(spec.dtype) match {
      case StringType if !options.text => BinaryType
      case other => other
    }
    val levels = if (options.squeeze && shape == Seq(1L)) 0 else shape.length
    val dataType = (0 until levels).foldLeft(element) { (inner, _) => ArrayType(inner, containsNull = false) }
    OutputPlan(spec.name, spec.dtype, shape, leading(spec, batching), dataType)
  }

  private def input(spec: TensorSpec, columns: InputColumns, batching: Batching, options: ScoreOptions): InputPlan = {
    val declared = Option(spec.shape).map(_ => rowShape(spec, batching))
    val (source, depth) = sourceOf(spec, columns)
    val open = declared.getOrElse(Seq.fill(depth)(TensorSpec.DYNAMIC))
    val shape = source match {
      case _: Source.Fields => open
      case _ => open.map(length => if (length == TensorSpec.DYNAMIC && options.padTo > 0) options.padTo.toLong else length)
    }
    val elements = if (shape.contains(TensorSpec.DYNAMIC)) None else Some(shape.product)
    val lengths = source match {
      case Source.Scalar(_) if elements.contains(1L) && shape.length <= 1 => Nil
      case Source.Scalar(_) => mismatch(spec, declared, columns, typeOf(columns))
      case Source.Fields(leaves) =>
        val fits = elements.fold(shape.length == 1)(_ == leaves.size) && shape.nonEmpty
        if (!fits) mismatch(spec, declared, columns, s"${leaves.size} columns")
        Seq(leaves.size.toLong)
      case _ if depth == shape.length => shape
      case _ if depth == 1 && shape.length > 1 && elements.isDefined => elements.toSeq
      case _ => mismatch(spec, declared, columns, typeOf(columns))
    }
    val known = source match {
      case Source.Fields(leaves) if elements.isEmpty => Seq(leaves.size.toLong)
      case _ => shape
    }
    elementTypes(source).foreach { case (leaf, from) =>
      Element.of(from, spec.dtype, options.narrow || source.isInstanceOf[Source.MlVector]).left.foreach { why =>
        fail(s"column '${leaf.name}' is ${leaf.dataType.catalogString}, expected ${expected(spec, declared)} for input $spec: $why")
      }
    }
    InputPlan(spec.name, spec.dtype, columns.label, known, lengths, leading(spec, batching), source)
  }

  private def sourceOf(spec: TensorSpec, columns: InputColumns): (Source, Int) =
    if (columns.several) {
      (Source.Fields(columns.leaves), 1)
    } else {
      val leaf = columns.leaves.head
      val numeric = spec.dtype == DType.UINT8 || spec.dtype == DType.INT8
      leaf.dataType match {
        case vector if isVector(vector) => (Source.MlVector(leaf), 1)
        case BinaryType if numeric => (Source.Bytes(leaf), 1)
        case other =>
          val (levels, element) = depth(other)
          (if (levels == 0) Source.Scalar(leaf) else Source.Arrays(leaf, levels, element), levels)
      }
    }

  private def elementTypes(source: Source): Seq[(Leaf, DataType)] = source match {
    case Source.Arrays(leaf, _, element) => Seq(leaf -> element)
    case Source.MlVector(leaf) => Seq(leaf -> DoubleType)
    case Source.Bytes(_) => Nil
    case other => other.leaves.map(leaf => leaf -> leaf.dataType)
  }

  private def depth(dataType: DataType): (Int, DataType) = dataType match {
    case ArrayType(inner, _) =>
      val (levels, element) = depth(inner)
      (levels + 1, element)
    case other => (0, other)
  }

  // by name: Spark without its ML jar scores as well
  private def isVector(dataType: DataType): Boolean =
    dataType.getClass.getName == "org.apache.spark.ml.linalg.VectorUDT"

  private def typeOf(columns: InputColumns): String = columns.leaves.head.dataType.catalogString

  private def mismatch(spec: TensorSpec, shape: Option[Seq[Long]], columns: InputColumns, found: String): Nothing =
    fail(s"column '${columns.label}' is $found, expected ${expected(spec, shape)} for input $spec")

  /** The column types that an input takes, in words. */
  private def expected(spec: TensorSpec, shape: Option[Seq[Long]]): String = {
    val element = Element.sparkTypes(spec.dtype).catalogString
    def nested(levels: Int) = "array<" * levels + element + ">" * levels
    shape match {
      case None => s"$element or arrays of it"
      case Some(Nil) => element
      case Some(Seq(1L)) => s"$element or array<$element> of 1"
      case Some(dims) =>
        val fixed = !dims.contains(TensorSpec.DYNAMIC)
        val size = dims.map(dim => if (dim == TensorSpec.DYNAMIC) "any" else dim.toString).mkString(" x ")
        s"${nested(dims.length)} of $size" +
          (if (fixed && dims.length > 1) s" or array<$element> of ${dims.product}" else "") +
          (if (fixed) s" or ${dims.product} columns of $element" else "")
    }
  }

  private def fail(message: String): Nothing = throw new ModelException("schema", message)
}
