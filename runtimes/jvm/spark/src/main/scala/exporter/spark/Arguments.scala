package exporter.spark

import exporter.core.{ModelException, TensorSpec}
import org.apache.spark.sql.catalyst.expressions.{CreateArray, CreateNamedStruct, Expression, GetStructField, NamedExpression}
import org.apache.spark.sql.types.{ArrayType, MapType, StructType}

/**
 * The arguments of a call as columns of the inputs.
 *
 * @param columns one per input, in the order of the signature; the leaves' ordinals are positions in `leaves`
 * @param leaves what has to be evaluated for a row
 */
private[spark] final case class Arguments(columns: Seq[InputColumns], leaves: Seq[Expression])

/**
 * Matches arguments to inputs: one struct by the names of its fields, otherwise by position in the order of sorted names.
 *
 * Structs and `array(…)` of scalars are taken apart, so that values go to the tensor without an array in between.
 */
private[spark] object Arguments {

  /**
   * @param arguments resolved
   * @throws ModelException they do not match the inputs
   */
  def of(model: ScoringModel, arguments: Seq[Expression]): Arguments = {
    val inputs = Java.seq[TensorSpec](model.signature.inputs.values)
    val matched: Map[String, Expression] = arguments match {
      case Seq(struct) if named(struct, inputs) => inputs.map(spec => spec.name -> field(struct, spec.name)).toMap
      case _ => byPosition(model, inputs.map(_.name).sorted, arguments)
    }
    val leaves = Seq.newBuilder[Expression]
    var count = 0
    val columns = inputs.map { spec =>
      val argument = matched(spec.name)
      val parts = partsOf(spec, argument)
      val own = parts.getOrElse(Seq(argument)).map { part =>
        leaves += part
        count += 1
        Leaf(label(part), part.dataType, count - 1)
      }
      InputColumns(own.map(_.name).mkString(", "), own, parts.isDefined)
    }
    Arguments(columns, leaves.result())
  }

  /** Whether an argument is a struct that names inputs; a struct without the name of the only input is its vector. */
  private def named(argument: Expression, inputs: Seq[TensorSpec]): Boolean = argument.dataType match {
    case struct: StructType => inputs.size > 1 || inputs.exists(spec => position(struct, spec.name).isDefined)
    case _ => false
  }

  private def byPosition(model: ScoringModel, names: Seq[String], arguments: Seq[Expression]): Map[String, Expression] = {
    val order = names.mkString(", ")
    if (arguments.size != names.size) {
      fail(
        s"tfpredict got ${arguments.size} argument${if (arguments.size == 1) "" else "s"} for model '${model.handle.ref.name}', expected ${names.size}: $order; " +
          "give them in this order, or one struct with fields of these names")
    }
    names.zip(arguments).foreach {
      case (name, column: NamedExpression)
          if !column.name.equalsIgnoreCase(name) && names.exists(_.equalsIgnoreCase(column.name)) =>
        fail(
          s"column '${column.name}' is given for input '$name', and there is an input '${column.name}'; the order is " +
            s"$order; to match by name use struct(${names.mkString(", ")})")
      case _ =>
    }
    names.zip(arguments).toMap
  }

  private def position(struct: StructType, name: String): Option[Int] = {
    val exact = struct.fieldNames.indexOf(name)
    if (exact >= 0) Some(exact)
    else Some(struct.fieldNames.indexWhere(_.equalsIgnoreCase(name))).filter(_ >= 0)
  }

  private def field(struct: Expression, name: String): Expression = {
    val dataType = struct.dataType.asInstanceOf[StructType]
    val same = dataType.fieldNames.filter(_.equalsIgnoreCase(name))
    if (same.length > 1) {
      fail(s"fields ${same.mkString(", ")} are all given for the input '$name'; give one field of that name")
    }
    val at = position(dataType, name).getOrElse {
      fail(s"no field '$name' for the input of that name, found ${dataType.fieldNames.mkString(", ")}")
    }
    fieldsOf(struct, dataType)(at)
  }

  private def fieldsOf(struct: Expression, dataType: StructType): Seq[Expression] = struct match {
    case made: CreateNamedStruct => made.valExprs
    case other => dataType.indices.map(i => GetStructField(other, i, Some(dataType(i).name)))
  }

  /** The columns that make up one input, if it is not a single one. */
  private def partsOf(spec: TensorSpec, argument: Expression): Option[Seq[Expression]] = (argument, argument.dataType) match {
    case (_, struct: StructType) => Some(fieldsOf(argument, struct))
    case (made: CreateArray, _) if made.children.nonEmpty && made.children.forall(scalar) && fills(spec, made.children.size) =>
      Some(made.children)
    case _ => None
  }

  private def scalar(expression: Expression): Boolean = expression.dataType match {
    case _: ArrayType | _: StructType | _: MapType => false
    case _ => true
  }

  /** Whether so many elements fill a row exactly; otherwise the policy for other lengths has to see an array. */
  private def fills(spec: TensorSpec, count: Int): Boolean =
    spec.batched && !spec.shape.drop(1).contains(TensorSpec.DYNAMIC) && spec.shape.length > 1 &&
      spec.shape.drop(1).product == count

  private def label(expression: Expression): String = expression match {
    case column: NamedExpression => column.name
    case other => other.sql
  }

  private def fail(message: String): Nothing = throw new ModelException("arguments", message)
}
