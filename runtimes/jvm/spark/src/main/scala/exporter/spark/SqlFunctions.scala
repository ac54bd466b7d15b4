package exporter.spark

import com.fasterxml.jackson.databind.ObjectMapper
import exporter.core.ModelException
import org.apache.spark.sql.{RuntimeConfig, SparkSession}
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo, Literal}
import org.apache.spark.sql.types.StringType

/**
 * The functions that make a [[TfPredict]]: `tfpredict` takes the model from the session's configuration, and
 * `exporter_score` from its first argument, which is how programs call a model that has no name in the session.
 */
private[spark] object SqlFunctions {
  val Predict = "tfpredict"
  val Score = "exporter_score"

  /** Path of the default model; that of others is below, by name. */
  val ModelKey = "spark.exporter.model"

  private val OptionPrefix = "spark.exporter."
  private val json = new ObjectMapper

  /** Name, description and builder, as extensions are given them. */
  val all: Seq[(FunctionIdentifier, ExpressionInfo, Seq[Expression] => Expression)] = Seq(
    (
      FunctionIdentifier(Predict),
      new ExpressionInfo(
        classOf[TfPredict].getName,
        null,
        Predict,
        "_FUNC_([model,] column, ...) - Scores rows with a model.",
        s"""
    Arguments:
      * model - a string literal: the name in $ModelKey.<name>; without it the model in $ModelKey
      * column - one per input of the model, in the order of their sorted names, or one struct with a field per input
  """),
      predicted _),
    (FunctionIdentifier(Score), new ExpressionInfo(classOf[TfPredict].getName, Score), score _))

  /** What is wrong with a call is an error of the analyzer, as what is wrong with its columns. */
  private def predicted(arguments: Seq[Expression]): Expression =
    try predict(arguments)
    catch { case e: ModelException => RefusedPredict(e.getMessage, arguments) }

  private def predict(arguments: Seq[Expression]): Expression = {
    // that of the session: SQLConf.get inside of a view has none but Spark's own settings
    val conf = SparkSession.active.conf
    def setting(key: String): Option[String] = conf.getOption(key)
    arguments match {
      case Seq(Literal(name, StringType), columns @ _*) if name != null =>
        val own = s"$ModelKey.$name"
        val source = setting(own).getOrElse {
          throw new ModelException(
            "no-model",
            s"no model is named '$name': found ${names(conf)}; set $own to its path, and give the name as the first argument")
        }
        checkNames(conf, s"$own.")
        checkNames(conf, OptionPrefix)
        val options = ScoreOptions.parse(option => setting(s"$own.$option").orElse(setting(OptionPrefix + option)))
        call(source, options, columns, Some(name.toString))
      case columns =>
        val source = setting(ModelKey).getOrElse {
          throw new ModelException(
            "no-model",
            s"tfpredict has no model: set $ModelKey to its path, or give the name of a model as a string literal before " +
              s"the columns, found ${names(conf)}")
        }
        checkNames(conf, OptionPrefix)
        call(source, ScoreOptions.parse(option => setting(OptionPrefix + option)), columns, None)
    }
  }

  /** A setting that is misspelt would leave the default in place without a word. */
  private def checkNames(conf: RuntimeConfig, prefix: String): Unit =
    conf.getAll.keys
      .filter(_.startsWith(prefix))
      .map(_.stripPrefix(prefix))
      .find(option => !ScoreOptions.Names.contains(option) && option != "model" && !option.startsWith("model."))
      .foreach { option =>
        throw new ModelException(
          "option", s"$prefix$option is no setting, expected ${ScoreOptions.Names.map(prefix + _).mkString(", ")}")
      }

  private def names(conf: RuntimeConfig): String = {
    val prefix = ModelKey + "."
    conf.getAll.keys.filter(_.startsWith(prefix)).map(_.stripPrefix(prefix)).filterNot(_.contains('.')).toSeq.sorted match {
      case Nil => "no names"
      case found => found.mkString(", ")
    }
  }

  /** The first argument of `exporter_score` for a model and options. */
  def describe(source: String, options: ScoreOptions): String =
    json.writeValueAsString(Java.map(options.texts + ("model" -> source)))

  private def score(arguments: Seq[Expression]): Expression = arguments match {
    case Seq(Literal(description, StringType), columns @ _*) if description != null =>
      val fields = json.readTree(description.toString)
      def text(name: String): Option[String] = Option(fields.get(name)).map(_.asText)
      call(text("model").getOrElse(throw invalid), ScoreOptions.parse(text), columns, None)
    case _ => throw invalid
  }

  private def invalid =
    new ModelException("arguments", s"""$Score expects {"model": "...", ...} as a string literal, then columns""")

  private def call(source: String, options: ScoreOptions, columns: Seq[Expression], name: Option[String]): Expression =
    TfPredict(ModelCatalog.model(SparkSession.active.sparkContext, source, options), options, columns, name)
}
