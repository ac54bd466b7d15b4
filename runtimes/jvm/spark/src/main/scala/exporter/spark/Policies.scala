package exporter.spark

import exporter.core.ModelException

/** What to do with a null where a model needs a value: a null column, or a null element of an array. */
sealed trait NullPolicy extends Serializable

object NullPolicy {

  /** The job fails; the message names the column and the row. */
  case object Fail extends NullPolicy

  /** The outputs of that row are null, and the row is not run. */
  case object NullOutput extends NullPolicy

  /** The value takes the place of every null; read as the type of the input it goes to. */
  final case class Default(value: String) extends NullPolicy

  /** Reads `error`, `null` or `default=<value>`. */
  def parse(text: String): NullPolicy = text match {
    case "error" => Fail
    case "null" => NullOutput
    case value if value.startsWith("default=") => Default(value.stripPrefix("default="))
    case other => throw Policies.unknown("nulls", other, "error, null or default=<value>")
  }

  def show(policy: NullPolicy): String = policy match {
    case Fail => "error"
    case NullOutput => "null"
    case Default(value) => s"default=$value"
  }
}

/** What to do with arrays whose lengths differ from what the model takes, or from row to row. */
sealed trait RaggedPolicy extends Serializable

object RaggedPolicy {

  /** The job fails; the message names the column, the row and both shapes. */
  case object Fail extends RaggedPolicy

  /** Short rows are filled up: to the length in the signature, or else to the longest of the batch. */
  final case class Pad(value: String) extends RaggedPolicy

  /** Rows of one shape run together; the order of the rows stays. */
  case object Bucket extends RaggedPolicy

  /** Reads `error`, `bucket` or `pad=<value>`. */
  def parse(text: String): RaggedPolicy = text match {
    case "error" => Fail
    case "bucket" => Bucket
    case value if value.startsWith("pad=") => Pad(value.stripPrefix("pad="))
    case other => throw Policies.unknown("ragged", other, "error, bucket or pad=<value>")
  }

  def show(policy: RaggedPolicy): String = policy match {
    case Fail => "error"
    case Bucket => "bucket"
    case Pad(value) => s"pad=$value"
  }
}

private[spark] object Policies {
  def unknown(option: String, found: String, expected: String): ModelException =
    new ModelException("option", s"$option is '$found', expected $expected")
}
