package exporter.spark

import java.util.concurrent.atomic.AtomicInteger

import exporter.spark.TestSession._
import exporter.tensorflow.SavedModels
import org.apache.spark.{SparkEnv, TaskContext, TaskKilled}
import org.apache.spark.rdd.RDD
import org.apache.spark.scheduler.{SparkListener, SparkListenerExecutorRemoved, SparkListenerTaskEnd}
import org.apache.spark.sql.{DataFrame, Row}
import org.apache.spark.sql.types.StructType
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.{BeforeEach, Test}

/** What only happens where executors are processes of their own. [[ClusterSuite]] runs it; the build's own tests do not. */
class ScoringOnCluster {
  private val expected = "cast(0.5 * features[0] - 2 * features[1] + 0.25 as float)"
  private val rowCount = 4000

  /** One that died in the test before is back. The driver counts among them. */
  @BeforeEach
  def bothExecutorsAreThere(): Unit = {
    await("the executors did not come")(spark.sparkContext.statusTracker.getExecutorInfos.length >= 3)
  }

  /** Jobs do not wait until listeners have heard of everything, nor for attempts that are not needed any more. */
  private def await(otherwise: String)(condition: => Boolean): Unit = {
    val deadline = System.nanoTime() + 60000000000L
    while (!condition) {
      assertTrue(System.nanoTime() < deadline, otherwise)
      Thread.sleep(100)
    }
  }

  /** Rows of four partitions; `before` is called on executors for every row. */
  private def table(before: Int => Unit): DataFrame = {
    val rows: RDD[Row] = spark.sparkContext.parallelize(0 until rowCount, 4).map { i =>
      before(i)
      Row(i, Seq((i % 7).toFloat, (i % 11).toFloat))
    }
    spark.createDataFrame(rows, StructType.fromDDL("id int, features array<float>"))
  }

  private def scoresAreRight(rows: DataFrame): Unit = {
    rows.createOrReplaceTempView("rows")
    val query = sql(s"select count(*), sum(id), count_if(score is null or score <> $expected) from " +
      "(select *, tfpredict(features) score from rows)")
    assertEquals(Row(rowCount.toLong, rowCount.toLong * (rowCount - 1) / 2, 0L), query.head())
  }

  private def listening[T](listener: SparkListener)(body: => T): T = {
    spark.sparkContext.addSparkListener(listener)
    try body
    finally spark.sparkContext.removeSparkListener(listener)
  }

  /** By executor what `value` gives there. Tasks wait a little, so that every executor gets some. */
  private def everywhere[T](value: () => T): Map[String, T] =
    spark.sparkContext.parallelize(0 until 8, 8).map { _ =>
      Thread.sleep(200)
      (SparkEnv.get.executorId, value())
    }.collect().toMap

  private def loads(): Map[String, Long] = everywhere(() => ModelStore.counters().loads)

  @Test def tasksRunInOtherProcesses(): Unit = {
    val here = ProcessHandle.current().pid()
    val pids = everywhere(() => ProcessHandle.current().pid())
    assertEquals(2, pids.size)
    assertEquals(2, pids.values.toSet.size)
    assertFalse(pids.values.exists(_ == here))
  }

  @Test def oneModelPerExecutorHoweverManyTasks(): Unit = {
    val before = loads()
    spark.conf.set("spark.exporter.model.once", TestModels("once")(SavedModels.mlp(_, 2, 3, 1)))
    val rows = spark.range(0, 4000, 1, 16).selectExpr("array(cast(id as float), 1f) features")
    Seq("sum", "max", "min").foreach(f => rows.selectExpr(s"$f(tfpredict('once', features))").collect())
    val after = loads()
    assertEquals(2, after.size)
    after.foreach { case (executor, count) => assertEquals(1, count - before.getOrElse(executor, 0L), executor) }
  }

  @Test def anExecutorThatDiesInTheMiddleIsReplaced(): Unit = {
    val lost = new AtomicInteger
    val listener = new SparkListener {
      override def onExecutorRemoved(event: SparkListenerExecutorRemoved): Unit = lost.incrementAndGet()
    }
    listening(listener) {
      withConf("spark.exporter.model" -> TestModels.linear) {
        scoresAreRight(table { i =>
          val task = TaskContext.get()
          if (i == 700 && task.attemptNumber() == 0 && task.stageAttemptNumber() == 0) {
            Runtime.getRuntime.halt(9)
          }
        })
        await("no executor was lost")(lost.get > 0)
      }
    }
    assertEquals(1, lost.get)
  }

  @Test def aTaskThatAnotherAttemptOvertakesLeavesNoTrace(): Unit = {
    // Spark tries no task twice on one host
    assumeTrue(spark.sparkContext.statusTracker.getExecutorInfos.map(_.host).distinct.length > 1, "executors on one host")
    val killed = new AtomicInteger
    val listener = new SparkListener {
      override def onTaskEnd(event: SparkListenerTaskEnd): Unit = event.reason match {
        case _: TaskKilled => killed.incrementAndGet()
        case _ =>
      }
    }
    listening(listener) {
      withConf("spark.exporter.model" -> TestModels.linear) {
        scoresAreRight(table { i =>
          // in the middle of a batch
          if (i == 700 && TaskContext.get().attemptNumber() == 0) {
            Thread.sleep(600000)
          }
        })
        await("the slow attempt was not killed")(killed.get > 0)
      }
    }
    assertEquals(1, killed.get)
  }

  @Test def aModelShippedWithTheApplication(): Unit =
    withConf("spark.exporter.model.shipped" -> "archive:shipped") {
      val scored = sql("select tfpredict('shipped', array(cast(id as float), 1f)) y from range(0, 1000, 1, 4)")
      assertEquals(1000, scored.where("y is not null").count())
      assertEquals(Nil, Plans.fallbacks(scored))
    }

  @Test def anArchiveThatIsNotThere(): Unit =
    withConf("spark.exporter.model.missing" -> "archive:missing") {
      fails("no archive 'missing'", "--archives")(sql("select tfpredict('missing', array(1f, 2f))").collect())
    }
}
