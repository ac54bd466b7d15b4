package exporter.spark.worker

import java.net.URL
import java.nio.file.Path
import java.util.{Collections, Enumeration, Map => JavaMap, Set => JavaSet}

import scala.jdk.CollectionConverters._

import exporter.core.{Call, DType, Engine, EngineOptions, HostTensor, Model, ModelException, Signature, TensorBuffer, TensorSpec, Unsupported}
import exporter.tensorflow.TensorFlowEngine
import org.apache.spark.SparkException
import org.apache.spark.sql.{DataFrame, Row, SparkSession}
import org.apache.spark.sql.types.{LongType, StructField, StructType}

/** One question to the Spark library: which columns feed which inputs of which model, and the outputs wanted in return. */
private[worker] final case class Query(
    artifact: Path,
    signature: String,
    inputs: Seq[(String, String)],
    outputs: Seq[String])

/**
 * Runs SavedModels through one interface of the Spark library: tensors become numbered rows in two partitions, and the
 * results are put in order by those numbers. Spark runs in this process, with two tasks at a time.
 */
private[worker] abstract class SparkEngine(override val name: String) extends Engine {
  private val engine = new TensorFlowEngine

  /**
   * @param frame the number of each row, then the columns of the query
   * @return rows of a number and one value per output, in any order
   */
  private[worker] def score(query: Query, frame: DataFrame): Array[Row]

  override def format: String = engine.format

  // the library looks for its engine by the files, and must not find the one that calls it
  override def accepts(artifact: Path): Boolean = false

  override def versions: JavaMap[String, String] = {
    val all = engine.versions.asScala ++ Map(
      "spark" -> org.apache.spark.SPARK_VERSION,
      "scala" -> scala.util.Properties.versionNumberString)
    all.asJava
  }

  override def dtypes: JavaSet[DType] = Rows.Types.keySet.filter(engine.dtypes.contains).asJava

  override def signatures(artifact: Path, options: EngineOptions): JavaMap[String, Signature] =
    engine.signatures(artifact, options)

  override def load(artifact: Path, options: EngineOptions): Model = {
    val found = signatures(artifact, options)
    new Model {
      override def signatures: JavaMap[String, Signature] = found

      override def newCall(key: String, shapes: JavaMap[String, Array[Long]]): Call = {
        val signature = found.get(key)
        if (signature == null) {
          throw new ModelException("no-signature", s"no signature '$key', found ${found.keySet.asScala.mkString(", ")}")
        }
        SparkEngine.checkRows(signature)
        new SparkCall(SparkEngine.this, artifact, signature, shapes.asScala.toMap)
      }

      // the library keeps a model open for as long as the process lives
      override def close(): Unit = ()
    }
  }
}

private[worker] object SparkEngine {
  val RowNumber = "row_number"

  lazy val session: SparkSession = {
    val thread = Thread.currentThread
    val loader = thread.getContextClassLoader
    thread.setContextClassLoader(new WithoutProviders(loader))
    try {
      SparkSession.builder
        .master("local[2]")
        .appName("exporter worker")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.task.maxFailures", "1")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.extensions", "exporter.spark.ExporterExtensions")
        .getOrCreate()
    } finally thread.setContextClassLoader(loader)
  }

  /**
   * Hides extensions that announce themselves. Spark's ML library registers two functions in this way, whose types it
   * finds by Scala reflection: a fifth of the time that a worker lives, for functions that no parity query calls.
   */
  private final class WithoutProviders(parent: ClassLoader) extends ClassLoader(parent) {
    override def getResources(name: String): Enumeration[URL] =
      if (name.endsWith("SparkSessionExtensionsProvider")) Collections.emptyEnumeration() else super.getResources(name)
  }

  /** What the library said inside a task, without what Spark says around it. */
  def own(failure: SparkException): Exception =
    Iterator
      .iterate[Throwable](failure)(_.getCause)
      .takeWhile(_ != null)
      .collectFirst {
        case e: ModelException => e
        case e: Unsupported => e
      }
      .getOrElse(failure)

  /**
   * @throws Unsupported the tensors of a signature are no rows
   */
  def checkRows(signature: Signature): Unit = {
    val all = signature.inputs.values.asScala ++ signature.outputs.values.asScala
    if (signature.inputs.isEmpty) {
      throw new Unsupported(s"signature '${signature.key}' has no inputs, so Spark has no rows to score")
    }
    all.find(spec => !spec.batched).foreach { spec =>
      throw new Unsupported(s"$spec: Spark scores rows, and this has no open first dimension that counts them")
    }
  }
}

/** One run: inputs in the memory of the JVM, a Spark job, outputs in the memory of the JVM. */
private final class SparkCall(engine: SparkEngine, artifact: Path, signature: Signature, shapes: Map[String, Array[Long]])
    extends Call {
  private val inputs: Map[String, HostTensor] = signature.inputs.asScala.map { case (name, spec) =>
    val shape = shapes.getOrElse(name, throw new ModelException("inputs", s"no shape for the input '$name'"))
    if (!spec.accepts(shape)) {
      throw new ModelException(
        "input-shape", s"input '$name' is fed ${TensorSpec.describe(spec.dtype, shape)}, expected $spec")
    }
    name -> HostTensor.zeros(spec.dtype, shape: _*)
  }.toMap
  private val rows: Long = inputs.values.head.shape.head
  private var outputs: Option[Map[String, HostTensor]] = None

  inputs.find(_._2.shape.head != rows).foreach { case (name, tensor) =>
    throw new ModelException("input-shape", s"input '$name' is fed $tensor, expected $rows rows as in the other inputs")
  }

  override def input(name: String): TensorBuffer =
    inputs.getOrElse(name, throw new ModelException("inputs", s"no input '$name'"))

  override def run(): Unit = {
    require(outputs.isEmpty, "the call has run already")
    val names = signature.inputs.keySet.asScala.toSeq
    val columns = names.zipWithIndex.map { case (name, i) => name -> s"column_$i" }
    val schema = StructType(
      StructField(SparkEngine.RowNumber, LongType, nullable = false) +: columns.map { case (name, column) =>
        val tensor = inputs(name)
        StructField(column, Rows.columnType(tensor.dtype, tensor.shape.length - 1), nullable = false)
      })
    val values = names.map(name => Rows.values(inputs(name)))
    val numbered = (0 until rows.toInt).map(i => Row.fromSeq(i.toLong +: values.map(_(i))))
    val session = SparkEngine.session
    val frame = session.createDataFrame(session.sparkContext.parallelize(numbered, numSlices = 2), schema)
    val wanted = signature.outputs.keySet.asScala.toSeq
    val query = Query(artifact, signature.key, columns, wanted)
    val scored =
      try engine.score(query, frame).sortBy(_.getLong(0))
      catch { case e: SparkException => throw SparkEngine.own(e) }
    if (!scored.map(_.getLong(0)).sameElements(0L until rows)) {
      throw new ModelException(
        "rows", s"$rows rows were scored, ${scored.length} came back, or not each of them once")
    }
    outputs = Some(wanted.zipWithIndex.map { case (name, i) =>
      name -> Rows.tensor(signature.outputs.get(name), scored.map(_.get(i + 1)).toSeq)
    }.toMap)
  }

  override def output(name: String): TensorBuffer =
    outputs
      .getOrElse(throw new IllegalStateException("the call has not run"))
      .getOrElse(name, throw new ModelException("outputs", s"no output '$name'"))

  override def close(): Unit = ()
}
