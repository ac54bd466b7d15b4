package exporter.spark

import java.util.concurrent.atomic.AtomicLong

import exporter.core.{EngineOptions, Model}

/**
 * The models of this JVM: one session each, however many tasks run, loaded by the first that needs it and open until the
 * JVM ends. A failed load is not kept, so a task that is tried again tries again.
 */
object ModelStore {
  private final case class Key(hash: String, options: EngineOptions)

  private val models = new Once[Key, Model]
  private val loadCount = new AtomicLong
  private val batchCount = new AtomicLong
  private val rowCount = new AtomicLong
  private val fillTime = new AtomicLong
  private val runTime = new AtomicLong
  private val readTime = new AtomicLong

  /**
   * The open model.
   *
   * @throws exporter.core.ModelException it cannot be found here, was changed, or cannot be loaded
   */
  private[spark] def get(ref: ModelRef, options: EngineOptions): Model =
    models.get(Key(ref.hash, options)) {
      val files = ref.files()
      val model = Engines.of(files).load(files, options)
      loadCount.incrementAndGet()
      model
    }

  private[spark] def count(work: Counters): Unit = {
    batchCount.addAndGet(work.batches)
    rowCount.addAndGet(work.rows)
    fillTime.addAndGet(work.fillNanos)
    runTime.addAndGet(work.runNanos)
    readTime.addAndGet(work.readNanos)
  }

  /** What this JVM has done since it started. */
  def counters(): Counters =
    Counters(loadCount.get, batchCount.get, rowCount.get, fillTime.get, runTime.get, readTime.get)
}
