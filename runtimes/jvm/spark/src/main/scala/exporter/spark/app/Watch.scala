package exporter.spark.app

import java.nio.file.{Files, Paths}
import java.util.concurrent.{ConcurrentHashMap, CountDownLatch}
import java.util.concurrent.TimeUnit.SECONDS
import java.util.concurrent.atomic.LongAdder

import scala.util.Try

import exporter.spark.{Java, ModelStore, ScoreExec}
import org.apache.spark.{SparkContext, SparkEnv, Success}
import org.apache.spark.scheduler.{SparkListener, SparkListenerJobStart, SparkListenerTaskEnd}

/**
 * What the tasks of an application report about scoring, and which executors they ran on. Tasks that fail, or that
 * another attempt overtook, do not count.
 */
private[app] final class Watch extends SparkListener {
  private val sums = new ConcurrentHashMap[String, LongAdder]
  private val places = ConcurrentHashMap.newKeySet[(String, String)]
  private val settled = new CountDownLatch(1)

  override def onJobStart(event: SparkListenerJobStart): Unit =
    if (Option(event.properties).exists(_.getProperty(Watch.Marker) != null)) {
      settled.countDown()
    }

  override def onTaskEnd(event: SparkListenerTaskEnd): Unit =
    if (event.reason == Success) {
      val ours = event.taskInfo.accumulables.filter(_.name.exists(ScoreExec.labels.contains))
      if (ours.nonEmpty) {
        places.add((event.taskInfo.executorId, event.taskInfo.host))
      }
      for (metric <- ours; name <- metric.name; update <- metric.update) {
        sums.computeIfAbsent(name, _ => new LongAdder).add(Try(update.toString.toLong).getOrElse(0L))
      }
    }

  /** Waits until everything before is counted: listeners are told in order, and late. */
  def settle(context: SparkContext): Unit = {
    context.setLocalProperty(Watch.Marker, "")
    try context.parallelize(Seq(0), 1).count()
    finally context.setLocalProperty(Watch.Marker, null)
    settled.await(30, SECONDS)
  }

  def sum(label: String): Long = Option(sums.get(label)).fold(0L)(_.sum)

  /** Ids of the executors that scored, with their hosts. */
  def executors: Seq[(String, String)] = Java.seq[(String, String)](places).sortBy(_._1)
}

private object Watch {
  private val Marker = "exporter.score.settle"
}

/**
 * An executor after the work.
 *
 * @param loads models opened by its JVM
 * @param residentPeak the most memory its process ever held, in bytes, native memory included; 0 where the system does
 *   not say
 */
private[app] final case class Executor(id: String, host: String, loads: Long, residentPeak: Long)

private[app] object Survey {

  /** Asks every executor that did some work and is still there. */
  def executors(context: SparkContext, worked: Seq[(String, String)]): Seq[Executor] =
    if (worked.isEmpty) Nil
    else {
      // a task of its own for each, placed there
      val tasks = worked.map { case (id, host) => (id, Seq(s"executor_${host}_$id")) }
      val found = context.makeRDD(tasks).map(_ => here()).collect().toSeq
      found.groupBy(_.id).values.map(_.maxBy(_.residentPeak)).toSeq.sortBy(_.id)
    }

  private def here(): Executor = {
    val env = SparkEnv.get
    Executor(env.executorId, env.blockManager.blockManagerId.host, ModelStore.counters().loads, residentPeak())
  }

  private val Peak = "VmHWM:\\s+(\\d+) kB".r

  private def residentPeak(): Long = {
    val status = Paths.get("/proc/self/status")
    if (!Files.isReadable(status)) {
      0
    } else {
      Java.seq[String](Files.lines(status)).collectFirst { case Peak(kilobytes) => kilobytes.toLong * 1024 }.getOrElse(0L)
    }
  }
}
