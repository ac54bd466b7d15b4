package exporter.spark

import java.util.Map.{Entry => JavaEntry}

import exporter.core.{DType, EngineOptions, Model, ModelException, Signature, Unsupported}
import org.apache.spark.SparkContext

/**
 * A model as executors open it.
 *
 * @param threads inside one run
 * @param tags of the MetaGraph
 */
private[spark] final case class ModelHandle(ref: ModelRef, threads: Int, tags: Seq[String]) {
  def engineOptions: EngineOptions = new EngineOptions(threads, Java.set(tags))

  /** The one session of this JVM. */
  def open(): Model = ModelStore.get(ref, engineOptions)
}

/**
 * A signature of a model, as the driver knows it before any job. Two are equal when they name the same entry point of the
 * same files.
 *
 * @param engine that opens it
 * @param dtypes that this engine carries
 */
private[spark] final class ScoringModel(
    val handle: ModelHandle,
    val signature: Signature,
    val engine: String,
    val dtypes: Set[DType])
    extends Serializable {

  override def equals(other: Any): Boolean = other match {
    case that: ScoringModel => that.handle == handle && that.signature.key == signature.key
    case _ => false
  }

  override def hashCode: Int = (handle, signature.key).hashCode

  override def toString: String = s"${handle.ref.name}:${signature.key}"
}

/**
 * Turns what a user names a model by into something that every executor can open, and reads its signatures: all that can
 * be wrong with a model as such is found here, on the driver, before a job starts.
 */
private[spark] object ModelCatalog {
  private val signatures = new Once[(String, Seq[String]), Map[String, Signature]]
  // a model made for a newer library is only found out by loading it
  private val tried = new Once[(String, ModelHandle), Unit]

  // larger models are not loaded on a driver that is no executor: it may have no memory for them
  private val LargestTried = 512L << 20

  /**
   * Finds a model, distributes its files if they are only here, and picks the signature.
   *
   * @param source a local path, a URI of a Hadoop file system, or `archive:NAME` of an archive of this application
   * @throws ModelException there is no model, no such tag or signature, or this engine cannot load it
   */
  def model(context: SparkContext, source: String, options: ScoreOptions): ScoringModel = {
    val resolved = Distribution.resolve(context, source)
    val engine = Engines.of(resolved.files)
    val ref = resolved.ref
    val handle = ModelHandle(ref, threads(context, options), options.tags.sorted)
    val all = signatures.get((ref.hash, handle.tags)) {
      Java
        .seq[JavaEntry[String, Signature]](engine.signatures(resolved.files, handle.engineOptions).entrySet)
        .map(entry => entry.getKey -> entry.getValue)
        .toMap
    }
    val signature = choose(context, handle, all, options.signature)
    ExecutorSettings.check(context, ref)
    if (context.isLocal || ref.bytes <= LargestTried) {
      tried.get((context.applicationId, handle))(opened(context, handle)(_ => ()))
    }
    new ScoringModel(handle, signature, engine.name, Java.seq[DType](engine.dtypes).toSet)
  }

  private def threads(context: SparkContext, options: ScoreOptions): Int =
    if (options.threads > 0) options.threads else context.getConf.getInt("spark.task.cpus", 1)

  private def choose(
      context: SparkContext,
      handle: ModelHandle,
      all: Map[String, Signature],
      wanted: String): Signature = {
    val default = "serving_default"
    val found =
      if (wanted.nonEmpty) all.get(wanted)
      else all.get(default).orElse(if (all.size == 1) all.values.headOption else None)
    found.getOrElse {
      if (wanted.nonEmpty && all.nonEmpty) {
        // one with tensors that have no type here is not listed, and the model says why
        try opened(context, handle)(_.signature(wanted))
        catch { case e: Unsupported => throw e; case _: ModelException => }
      }
      throw new ModelException(
        "no-signature",
        s"model '${handle.ref.name}' has no signature '${if (wanted.isEmpty) default else wanted}', found " +
          s"${all.keys.toSeq.sorted.mkString(", ")}; choose one with the option signature")
    }
  }

  /** Opens the model on the driver: where that is an executor as well, in the session of its tasks. */
  private def opened[T](context: SparkContext, handle: ModelHandle)(body: Model => T): T =
    if (context.isLocal) {
      body(handle.open())
    } else {
      val files = handle.ref.files()
      val model = Engines.of(files).load(files, handle.engineOptions)
      try body(model)
      finally model.close()
    }
}
