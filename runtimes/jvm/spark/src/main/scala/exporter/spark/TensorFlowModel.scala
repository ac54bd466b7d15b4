package exporter.spark

import com.fasterxml.jackson.databind.ObjectMapper
import exporter.core.{ModelException, TensorSpec}
import org.apache.hadoop.fs.{FileSystem, Path => HadoopPath}
import org.apache.spark.ml.Transformer
import org.apache.spark.ml.param.{BooleanParam, IntParam, Param, ParamMap, StringArrayParam}
import org.apache.spark.ml.util.{DefaultParamsReadable, DefaultParamsWritable, Identifiable, MLReadable, MLReader, MLWriter}
import org.apache.spark.sql.{Column, DataFrame, Dataset, Row, SparkSession}
import org.apache.spark.sql.functions.{call_function, col, lit, struct}
import org.apache.spark.sql.types.StructType

/**
 * Adds the outputs of a model to a DataFrame, as a stage of a Spark ML pipeline or alone:
 * {{{
 * TensorFlowModel.load("model").setInputs(Map("features" -> "col")).transform(df)
 * }}}
 * It is a call of the same function as `tfpredict` in SQL, run in batches by the same operator. A saved transformer holds
 * the files of its model.
 */
final class TensorFlowModel(override val uid: String) extends Transformer with DefaultParamsWritable {
  import TensorFlowModel.{checked, NamesParam}

  def this() = this(Identifiable.randomUID("tensorflow"))

  /** Path, URI of a Hadoop file system, or `archive:NAME`. */
  val model = new Param[String](this, "model", "path, URI or archive:NAME of the model")

  /** By input the columns that fill it, one or several that make a vector; others are filled by the column of their name. */
  val inputs = new NamesParam(this, "inputs", "by input the columns that fill it")

  /** By output the column that it becomes; without any, all outputs become columns of their names. */
  val outputs = new NamesParam(this, "outputs", "by output the column that it becomes")
  val signature = new Param[String](this, "signature", "key of the entry point")
  val tags = new StringArrayParam(this, "tags", "the MetaGraph of a SavedModel")
  val batchSize = new IntParam(this, "batchSize", "the most rows that one run gets", (rows: Int) => rows >= 1)
  val threads = new IntParam(this, "threads", "inside one run; 0 for spark.task.cpus", (count: Int) => count >= 0)
  val nulls = new Param[String](this, "nulls", "error, null or default=<value>", checked(NullPolicy.parse) _)
  val ragged = new Param[String](this, "ragged", "error, bucket or pad=<value>", checked(RaggedPolicy.parse) _)
  val narrow = new BooleanParam(this, "narrow", "whether values may go to types that hold less")
  val strings = new Param[String](this, "strings", "text or binary", checked(ScoreOptions.strings) _)
  val squeeze = new BooleanParam(this, "squeeze", "whether an output of one element per row is a scalar")

  val padTo = new IntParam(this, "padTo", "what lengths that the model leaves open are filled up to", (n: Int) => n >= 0)

  private val default = ScoreOptions()
  setDefault(
    inputs -> Map.empty,
    outputs -> Map.empty,
    signature -> default.signature,
    tags -> default.tags.toArray,
    batchSize -> default.batchSize,
    threads -> default.threads,
    nulls -> NullPolicy.show(default.nulls),
    ragged -> RaggedPolicy.show(default.ragged),
    narrow -> default.narrow,
    strings -> "text",
    squeeze -> default.squeeze,
    padTo -> default.padTo)

  def setModel(path: String): this.type = set(model, path)

  /** One column for each of these inputs. */
  def setInputs(columns: Map[String, String]): this.type =
    set(inputs, $(inputs) ++ columns.map { case (input, column) => input -> Seq(column) })

  /** Several columns that make the vector of one input, in this order. */
  def setInputColumns(input: String, columns: Seq[String]): this.type = set(inputs, $(inputs) + (input -> columns))

  def setOutputs(columns: Map[String, String]): this.type =
    set(outputs, columns.map { case (output, column) => output -> Seq(column) })
  def setSignature(key: String): this.type = set(signature, key)
  def setTags(names: Seq[String]): this.type = set(tags, names.toArray)
  def setBatchSize(rows: Int): this.type = set(batchSize, rows)
  def setThreads(count: Int): this.type = set(threads, count)
  def setNulls(policy: String): this.type = set(nulls, policy)
  def setRagged(policy: String): this.type = set(ragged, policy)
  def setNarrow(allowed: Boolean): this.type = set(narrow, allowed)
  def setStrings(as: String): this.type = set(strings, as)
  def setSqueeze(scalars: Boolean): this.type = set(squeeze, scalars)
  def setPadTo(length: Int): this.type = set(padTo, length)

  /** What the parameters say about batches and policies. */
  def options: ScoreOptions = ScoreOptions(
    $(signature),
    $(tags).toSeq,
    // sorted, so that two transformers of the same outputs make the same call
    $(outputs).keys.toSeq.sorted,
    $(batchSize),
    $(threads),
    NullPolicy.parse($(nulls)),
    RaggedPolicy.parse($(ragged)),
    $(narrow),
    ScoreOptions.strings($(strings)),
    $(squeeze),
    $(padTo))

  /**
   * @throws ModelException the model cannot be used, or the names of inputs, outputs and columns do not fit
   * @throws org.apache.spark.sql.AnalysisException the type of a column does not fit; names column and both types
   */
  override def transform(dataset: Dataset[_]): DataFrame = {
    val spark = dataset.sparkSession
    ExporterExtensions.register(spark)
    val found = ModelCatalog.model(spark.sparkContext, $(model), options)
    val names = Java.seq[TensorSpec](found.signature.inputs.values).map(_.name)
    $(inputs).keys.find(!names.contains(_)).foreach { name =>
      throw new ModelException("inputs", s"the model has no input '$name', found ${names.mkString(", ")}; see setInputs")
    }
    val arguments = names.map { name =>
      $(inputs).getOrElse(name, Seq(name)) match {
        case Seq(one) => column(dataset, name, one).as(name)
        case several => struct(several.map(column(dataset, name, _)): _*).as(name)
      }
    }
    val call = call_function(SqlFunctions.Score, lit(SqlFunctions.describe($(model), options)), struct(arguments: _*))
    val selected = if (options.outputs.isEmpty) Java.seq[TensorSpec](found.signature.outputs.values).map(_.name) else options.outputs
    val added = selected.map { output =>
      val name = $(outputs).get(output).fold(output)(_.head)
      if (dataset.columns.exists(_.equalsIgnoreCase(name))) {
        throw new ModelException("outputs", s"there is a column '$name' already; name another for the output '$output' with setOutputs")
      }
      (if (selected.size == 1) call else call.getField(output)).as(name)
    }
    dataset.select(col("*") +: added: _*)
  }

  private def column(dataset: Dataset[_], input: String, name: String): Column =
    if (dataset.columns.exists(_.equalsIgnoreCase(name)) && !name.contains('`')) col(s"`$name`")
    else if (name.contains('.')) col(name)
    else throw new ModelException(
      "inputs", s"no column '$name' for the input '$input', found ${dataset.columns.mkString(", ")}; name another with setInputs")

  override def transformSchema(schema: StructType): StructType = {
    val spark = SparkSession.active
    transform(spark.createDataFrame(new java.util.ArrayList[Row], schema)).schema
  }

  override def copy(extra: ParamMap): TensorFlowModel = defaultCopy(extra)

  override def write: MLWriter = new TensorFlowModel.Writer(this)

  private def parametersWriter: MLWriter = super.write
}

/** Loads models and saved transformers. */
object TensorFlowModel extends MLReadable[TensorFlowModel] {
  private val Files = "model"

  /**
   * A transformer for a model, or one that was saved.
   *
   * @param path of a model (also a URI, or `archive:NAME`) or of a saved transformer
   * @throws ModelException there is neither
   */
  override def load(path: String): TensorFlowModel = read.load(path)

  override def read: MLReader[TensorFlowModel] = new MLReader[TensorFlowModel] {
    override def load(path: String): TensorFlowModel =
      if (path.startsWith("archive:")) {
        unsaved(path)
      } else {
        val directory = new HadoopPath(path)
        val system = directory.getFileSystem(sparkSession.sparkContext.hadoopConfiguration)
        if (system.exists(new HadoopPath(directory, "metadata")) && system.exists(new HadoopPath(directory, Files))) {
          Parameters.load(path).setModel(located(system, new HadoopPath(directory, Files)))
        } else unsaved(path)
      }

    private def unsaved(path: String): TensorFlowModel = {
      Distribution.resolve(sparkSession.sparkContext, path)
      new TensorFlowModel().setModel(path)
    }
  }

  /** Files on the driver's own disk have to be distributed, so they must not look like those of a shared file system. */
  private def located(system: FileSystem, path: HadoopPath): String = {
    val qualified = system.makeQualified(path)
    if (qualified.toUri.getScheme == "file") qualified.toUri.getPath else qualified.toString
  }

  private object Parameters extends DefaultParamsReadable[TensorFlowModel]

  private final class Writer(instance: TensorFlowModel) extends MLWriter {
    override protected def saveImpl(path: String): Unit = {
      val files = Distribution.resolve(sc, instance.getOrDefault(instance.model)).files
      instance.copy(ParamMap.empty).setModel(Files).parametersWriter.session(sparkSession).save(path)
      val target = new HadoopPath(path, Files)
      val system = target.getFileSystem(sc.hadoopConfiguration)
      system.mkdirs(target)
      Fingerprint.entries(files).foreach { entry =>
        val to = new HadoopPath(target, entry.name)
        system.mkdirs(to.getParent)
        system.copyFromLocalFile(new HadoopPath(entry.file.toUri), to)
      }
    }
  }

  private def checked(parse: String => Any)(text: String): Boolean = {
    parse(text)
    true
  }

  /** Names by name. */
  final class NamesParam(parent: Identifiable, name: String, doc: String)
      extends Param[Map[String, Seq[String]]](parent, name, doc) {
    override def jsonEncode(value: Map[String, Seq[String]]): String =
      NamesParam.json.writeValueAsString(Java.map(value.map { case (key, names) => key -> names.toArray }))

    override def jsonDecode(text: String): Map[String, Seq[String]] = {
      val names = NamesParam.json.readValue(text, classOf[java.util.Map[String, java.util.List[String]]])
      Java.seq[String](names.keySet).map(key => key -> Java.seq[String](names.get(key))).toMap
    }
  }

  private object NamesParam {
    val json = new ObjectMapper
  }
}
