package exporter.spark

import exporter.core.ModelException

/**
 * How rows become batches and results become columns. Immutable; the same names are used by the setters of
 * [[TensorFlowModel]], by `spark.exporter.<name>` and by `spark.exporter.model.<model>.<name>`.
 *
 * @param signature key of the entry point; empty: `serving_default`, or the only one there is
 * @param tags the MetaGraph of a SavedModel
 * @param outputs the outputs to return, in this order; empty: all of them
 * @param batchSize the most rows that one run of the model gets
 * @param threads inside one run; 0: as many as `spark.task.cpus`
 * @param nulls what becomes of nulls
 * @param ragged what becomes of arrays of other lengths
 * @param narrow whether values may be converted to types that hold less (int64 to int32, float64 to float32); integers
 *   are checked against the range, and finite numbers must not become infinite
 * @param text whether string outputs are `string` (checked to be UTF-8) or `binary`
 * @param squeeze whether an output of shape [batch, 1] is a scalar and not an array of one
 * @param padTo with `ragged=pad`, what every length becomes that the model leaves open, so that no result depends on the
 *   rows beside it; 0: the longest of the batch
 */
final case class ScoreOptions(
    signature: String = "",
    tags: Seq[String] = Seq("serve"),
    outputs: Seq[String] = Nil,
    batchSize: Int = 256,
    threads: Int = 0,
    nulls: NullPolicy = NullPolicy.Fail,
    ragged: RaggedPolicy = RaggedPolicy.Fail,
    narrow: Boolean = false,
    text: Boolean = true,
    squeeze: Boolean = true,
    padTo: Int = 0) {
  ScoreOptions.require(
    batchSize >= 1 && batchSize <= ScoreOptions.LargestBatch,
    s"batchSize is $batchSize, expected 1 to ${ScoreOptions.LargestBatch}")
  outputs.diff(outputs.distinct).headOption.foreach { output =>
    ScoreOptions.require(false, s"outputs names '$output' twice; name it once")
  }
  ScoreOptions.require(padTo >= 0, s"padTo is $padTo, expected 1 or more, or 0 for the longest row of a batch")
  ScoreOptions.require(
    padTo == 0 || ragged.isInstanceOf[RaggedPolicy.Pad],
    s"padTo is $padTo and ragged is ${RaggedPolicy.show(ragged)}; set ragged=pad=<value> as well")
  ScoreOptions.require(threads >= 0, s"threads is $threads, expected 1 or more, or 0 for spark.task.cpus")

  /** The options as text by name, for [[ScoreOptions.parse]]. */
  def texts: Map[String, String] = Map(
    "signature" -> signature,
    "tags" -> tags.mkString(","),
    "outputs" -> outputs.mkString(","),
    "batchSize" -> batchSize.toString,
    "threads" -> threads.toString,
    "nulls" -> NullPolicy.show(nulls),
    "ragged" -> RaggedPolicy.show(ragged),
    "narrow" -> narrow.toString,
    "strings" -> (if (text) "text" else "binary"),
    "squeeze" -> squeeze.toString,
    "padTo" -> padTo.toString)
}

object ScoreOptions {

  /** Memory for a batch is taken before its rows are known. */
  val LargestBatch: Int = 1 << 20

  /** The names of the options, as configuration spells them. */
  val Names: Seq[String] = ScoreOptions().texts.keys.toSeq.sorted

  /**
   * Reads options from text, such as configuration.
   *
   * @param value the text of an option by its name, if it is given
   * @throws ModelException with code `option`: a text is none that the option takes
   */
  def parse(value: String => Option[String]): ScoreOptions = {
    val default = ScoreOptions()
    ScoreOptions(
      value("signature").getOrElse(default.signature),
      value("tags").fold(default.tags)(list),
      value("outputs").fold(default.outputs)(list),
      value("batchSize").fold(default.batchSize)(int("batchSize", _)),
      value("threads").fold(default.threads)(int("threads", _)),
      value("nulls").fold(default.nulls)(NullPolicy.parse),
      value("ragged").fold(default.ragged)(RaggedPolicy.parse),
      value("narrow").fold(default.narrow)(boolean("narrow", _)),
      value("strings").fold(default.text)(strings),
      value("squeeze").fold(default.squeeze)(boolean("squeeze", _)),
      value("padTo").fold(default.padTo)(int("padTo", _)))
  }

  private[spark] def require(condition: Boolean, message: => String): Unit =
    if (!condition) {
      throw new ModelException("option", message)
    }

  /** Names between commas. */
  private[spark] def list(text: String): Seq[String] = text.split(',').toSeq.map(_.trim).filter(_.nonEmpty)

  private def int(name: String, text: String): Int =
    try text.trim.toInt
    catch { case _: NumberFormatException => throw Policies.unknown(name, text, s"a whole number up to ${Int.MaxValue}") }

  private def boolean(name: String, text: String): Boolean = text match {
    case "true" => true
    case "false" => false
    case other => throw Policies.unknown(name, other, "true or false")
  }

  private[spark] def strings(text: String): Boolean = text match {
    case "text" => true
    case "binary" => false
    case other => throw Policies.unknown("strings", other, "text or binary")
  }
}
