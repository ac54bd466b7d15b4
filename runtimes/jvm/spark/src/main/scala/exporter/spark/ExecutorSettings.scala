package exporter.spark

import org.apache.spark.{SparkConf, SparkContext}
import org.slf4j.LoggerFactory

/**
 * Checks on the driver that executors leave room for native memory: models and tensors are outside of the Java heap, and
 * a resource manager kills a container that grows past heap and overhead.
 */
private[spark] object ExecutorSettings {
  private val log = LoggerFactory.getLogger("exporter.spark")
  private val checked = new Once[(String, String), Unit]

  /** What a process of Spark with TensorFlow takes beside its heap and any model. */
  private val BaseMiB = 1024L

  def check(context: SparkContext, ref: ModelRef): Unit =
    checked.get((context.applicationId, ref.hash)) {
      advice(context.getConf, context.isLocal, ref.bytes).foreach(text => log.warn(s"model '${ref.name}': $text"))
    }

  /**
   * What to set, if anything. Local masters have no containers.
   *
   * @param modelBytes size of the model's files
   */
  def advice(conf: SparkConf, local: Boolean, modelBytes: Long): Option[String] = {
    val heap = conf.getSizeAsMb("spark.executor.memory", "1g")
    val factor = conf.getDouble("spark.executor.memoryOverheadFactor", 0.1)
    val overhead = conf.getOption("spark.executor.memoryOverhead") match {
      case Some(_) => conf.getSizeAsMb("spark.executor.memoryOverhead")
      case None => math.max(384L, (heap * factor).toLong)
    }
    // weights, their copy while they load, and what the session derives from them
    val needed = BaseMiB + 3 * (modelBytes >> 20)
    if (local || overhead >= needed) None
    else Some(
      s"executors have $overhead MiB beside the heap, and this model of ${modelBytes >> 20} MiB needs about $needed; set " +
        s"--conf spark.executor.memoryOverhead=${needed}m, or a resource manager may kill them")
  }
}
