package exporter.spark

import java.util.concurrent.{CountDownLatch, TimeUnit}

import exporter.core.{EngineOptions, ModelException}
import exporter.spark.TestSession._
import org.apache.spark.TaskContext
import org.apache.spark.sql.DataFrame
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.{BeforeEach, Test}

/** One session per JVM, and no tensor left open, however a task ends. Looks into the one JVM of a local master. */
class LifecycleTest {
  private def rows(count: Int, partitions: Int = 1): DataFrame =
    spark.range(0, count, 1, partitions).selectExpr("id", "array(cast(id as float), cast(0 as float)) x")

  private def score(model: String, df: DataFrame, batchSize: Int = 4): DataFrame =
    TensorFlowModel.load(ProbeEngine.model(model)).setBatchSize(batchSize).transform(df)

  /** Tasks clean up after the job has told its result. */
  private def allClosed(): Unit = {
    val deadline = System.nanoTime + TimeUnit.SECONDS.toNanos(20)
    while (ProbeEngine.open.get != 0 && System.nanoTime < deadline) {
      Thread.sleep(20)
    }
    assertEquals(0, ProbeEngine.open.get)
  }

  @BeforeEach
  def here(): Unit = assumeTrue(spark.sparkContext.isLocal)

  private def get(model: String, threads: Int = 1) = {
    val resolved = Distribution.resolve(spark.sparkContext, ProbeEngine.model(model))
    ModelStore.get(resolved.ref, EngineOptions.defaults().withThreads(threads))
  }

  @Test def loadedOnceUnderConcurrency(): Unit = {
    val before = ProbeEngine.loads.get
    val start = new CountDownLatch(1)
    val found = java.util.concurrent.ConcurrentHashMap.newKeySet[AnyRef]
    val threads = (0 until 8).map { _ =>
      val thread = new Thread(() => {
        start.await()
        found.add(get("concurrent"))
      })
      thread.start()
      thread
    }
    start.countDown()
    threads.foreach(_.join())
    assertEquals(1, ProbeEngine.loads.get - before)
    assertEquals(1, found.size)
    // other options need another session
    get("concurrent", threads = 2)
    assertEquals(2, ProbeEngine.loads.get - before)
  }

  @Test def aFailedLoadIsTriedAgain(): Unit = {
    ProbeEngine.failLoads.set(1)
    assertThrows(classOf[ModelException], () => get("fails-once"))
    assertNotNull(get("fails-once"))
  }

  @Test def closedAtTheEnd(): Unit = {
    assertEquals(50, score("ends", rows(50, 3)).collect().length)
    allClosed()
  }

  @Test def closedAfterALimit(): Unit = {
    assertEquals(3, score("limited", rows(5000, 2)).limit(3).collect().length)
    assertEquals(1, score("limited", rows(5000, 2)).head(1).length)
    allClosed()
  }

  @Test def closedWhenARowIsBad(): Unit = {
    // the third row of a batch: two are in an open tensor
    fails("has a null at position 0")(score("bad-row", rows(50).selectExpr("if(id = 6, array(cast(null as float), cast(0 as float)), x) x")).collect())
    allClosed()
  }

  @Test def closedWhenTheModelFails(): Unit = {
    // the batch is run again row by row to tell which it was
    fails("row 666 of partition 0: the probe was poisoned")(score("poisoned", rows(1000)).collect())
    allClosed()
  }

  @Test def closedWhenAnotherOperatorFails(): Unit = {
    fails("enough")(score("fails-later", rows(50)).selectExpr("assert_true(y < 20, 'enough')").collect())
    fails("before")(score("fails-before", rows(50).selectExpr("if(id = 30, cast(raise_error('before') as array<float>), x) x")).collect())
    allClosed()
  }

  @Test def closedWhenCancelled(): Unit = {
    val started = new CountDownLatch(1)
    LifecycleTest.started = started
    val slow = org.apache.spark.sql.functions.udf((x: Float) => LifecycleTest.wait(x))
    val df = rows(1000).select(org.apache.spark.sql.functions.array(slow(org.apache.spark.sql.functions.expr("x[0]")), org.apache.spark.sql.functions.lit(0f)).as("x"))
    val job = new Thread(() => {
      spark.sparkContext.setJobGroup("cancelled", "cancelled", interruptOnCancel = true)
      assertThrows(classOf[Exception], () => score("cancelled", df).collect())
    })
    job.start()
    assertTrue(started.await(60, TimeUnit.SECONDS))
    assertEquals(1, ProbeEngine.open.get)
    spark.sparkContext.cancelJobGroup("cancelled")
    job.join()
    allClosed()
  }

  @Test def countsWhatItDoes(): Unit = {
    val query = score("counted", rows(10), batchSize = 4)
    val before = ModelStore.counters()
    query.collect()
    val done = ModelStore.counters() - before
    assertEquals(Seq(0L, 3L, 10L), Seq(done.loads, done.batches, done.rows))
    assertTrue(done.fillNanos > 0 && done.runNanos > 0 && done.readNanos > 0, done.toString)
    val score1 = Plans.scores(query).head
    assertEquals(Seq(10L, 3L), Seq(ScoreExec.Rows, ScoreExec.Batches).map(score1.metrics(_).value))
    assertEquals(done.runNanos, score1.metrics(ScoreExec.Run).value)
  }

  @Test def nothingIsWrittenAfterTheTaskHasEnded(): Unit = {
    // another thread may still pull rows then; its tensors are gone
    val context = TaskContext.get()
    assertNull(context)
    val model = get("after-the-end")
    val plan = score("after-the-end", rows(1)).queryExecution.optimizedPlan.collectFirst { case s: ScoreRows => s.calls.head.plan }.get
    val scorer = new BatchScorer(plan, model, _.ordinal, "a test", new Work)
    val row = rows(1).select("x").queryExecution.toRdd.map(_.copy()).collect().head
    scorer.add(row)
    assertEquals(1, ProbeEngine.open.get)
    scorer.close()
    scorer.close()
    assertEquals(0, ProbeEngine.open.get)
    assertThrows(classOf[IllegalStateException], () => scorer.add(row))
    assertEquals(0, ProbeEngine.open.get)
  }
}

object LifecycleTest {
  @volatile private var started: CountDownLatch = _

  /** Stops in the middle of a batch. */
  private def wait(x: Float): Float = {
    if (x == 6) {
      started.countDown()
      Thread.sleep(60000)
    }
    x
  }
}
