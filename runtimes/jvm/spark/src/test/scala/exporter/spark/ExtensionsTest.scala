package exporter.spark

import exporter.spark.TestSession.spark
import org.apache.spark.sql.SparkSession
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test

/** Sessions that were started without the extensions. */
class ExtensionsTest {

  /** Runs in a session of the same application that knows nothing of this library. */
  private def plain(body: SparkSession => Unit): Unit = {
    val usual = spark
    assumeTrue(!usual.sparkContext.getConf.contains("spark.sql.extensions"))
    SparkSession.clearActiveSession()
    SparkSession.clearDefaultSession()
    try {
      val session = SparkSession.builder().getOrCreate()
      assertNotSame(usual, session)
      body(session)
    } finally {
      SparkSession.setActiveSession(usual)
      SparkSession.setDefaultSession(usual)
    }
  }

  @Test def registeredLater(): Unit = plain { session =>
    session.conf.set("spark.exporter.model", TestModels.linear)
    assertThrows(classOf[Exception], () => session.sql("select tfpredict(array(float(1), float(2)))"))
    ExporterExtensions.register(session)
    ExporterExtensions.register(session)
    assertEquals(1, session.experimental.extraStrategies.size)
    session.range(0, 1000, 1, 2).selectExpr("id", "array(float(id), float(1)) features").createOrReplaceTempView("later")
    val query = session.sql("select sum(tfpredict(features)) from later where tfpredict(features) > 0 and id < 100")
    assertEquals((0 until 100).map(0.5 * _ - 1.75).filter(_ > 0).sum, query.head().getDouble(0))
    assertEquals(Nil, Plans.fallbacks(query))
    assertEquals(1, Plans.scores(query).size)
    val correlated = session.sql("select id from later a where exists (select 1 from later b where tfpredict(b.features) = a.id) and id < 5")
    assertEquals(0, correlated.count())
    assertEquals(Nil, Plans.fallbacks(correlated))
  }

  @Test def byATransformer(): Unit = plain { session =>
    val df = session.range(0, 10, 1, 2).selectExpr("array(float(id), float(1)) features")
    val scored = TensorFlowModel.load(TestModels.linear).transform(df)
    assertEquals((0 until 10).map(0.5f * _ - 1.75f), scored.collect().map(_.getFloat(1)).toSeq)
    assertEquals(1, Plans.scores(scored).size)
  }

  @Test def aConfiguredSessionStaysAsItIs(): Unit = {
    ExporterExtensions.register(spark)
    assertEquals(Nil, spark.experimental.extraStrategies)
  }

  @Test def theFunctionDescribesItself(): Unit =
    assertTrue(spark.sql("describe function tfpredict").collect().mkString.contains("Scores rows with a model"))
}
