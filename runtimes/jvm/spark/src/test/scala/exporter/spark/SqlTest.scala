package exporter.spark

import exporter.spark.TestSession._
import org.apache.spark.sql.DataFrame
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.{BeforeAll, Test, TestInstance}

/**
 * `tfpredict` in every place of a query: the answers are those of the same arithmetic in SQL, no call is evaluated row by
 * row, and the model runs as few batches as it takes: the table has 1000 rows in at most 4 partitions, that is 4 batches
 * of 256 if a query scores all rows once.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SqlTest {
  // values are multiples of 1/8, which float32 and float64 add and multiply without rounding
  private val linear = "cast(0.5 * features[0] - 2 * features[1] + 0.25 as float)"

  @BeforeAll
  def tables(): Unit = {
    spark.conf.set("spark.exporter.model", TestModels.linear)
    spark.conf.set("spark.exporter.model.twice", TestModels.twice)
    spark.conf.set("spark.exporter.model.minus", TestModels.twice)
    spark.conf.set("spark.exporter.model.minus.signature", "minus")
    table("t", 1000)
    table("u", 100)
  }

  private def table(name: String, rows: Int): Unit = {
    val file = TestModels.directory(s"sql-$name.parquet").toString
    spark
      .range(0, rows, 1, 4)
      .selectExpr("id", "array(cast(id % 7 as float), cast(id % 11 as float)) features", "cast(id % 13 as float) x", "cast(id % 5 as int) k")
      .write.mode("overwrite").parquet(file)
    spark.read.parquet(file).createOrReplaceTempView(name)
  }

  /** The query with arithmetic in place of the models. */
  private def arithmetic(query: String): String =
    query
      .replaceAll("tfpredict\\('twice', (\\w+)\\)", "cast(2 * $1 as float)")
      .replaceAll("tfpredict\\('minus', ([^,()]+), ([^,()]+)\\)", "cast($1 - $2 as float)")
      .replaceAll("tfpredict\\((\\w+\\.)?features\\)", linear.replace("features", "$1features"))

  /**
   * @param batches that the model runs at most; Spark packs partitions anew after a shuffle
   */
  private def batched(query: String, batches: Int = 4): DataFrame = {
    val expected = rows(arithmetic(query)).map(_.toString).sorted
    val scored = sql(query)
    assertEquals(expected, scored.collect().map(_.toString).toSeq.sorted, query)
    assertEquals(Nil, Plans.fallbacks(scored), query)
    assertTrue(Plans.scores(scored).nonEmpty, query)
    val ran = Plans.batches(scored)
    assertTrue(ran <= batches, s"$ran batches: $query\n${scored.queryExecution.executedPlan}")
    scored
  }

  /** With and without adaptive execution, which plans the parts of a query again as others finish. */
  private def each(query: String, batches: Int = 4): Unit =
    Seq("true", "false").foreach(aqe => withConf("spark.sql.adaptive.enabled" -> aqe)(batched(query, batches)))

  @Test def select(): Unit = each("select id, tfpredict(features) p from t")

  @Test def expressionsOfIt(): Unit = each("select id, -tfpredict(features) + k p, cast(tfpredict(features) as int) i from t")

  @Test def where(): Unit = each("select id from t where tfpredict(features) > -3")

  @Test def theSameInWhereAndSelectRunsOnce(): Unit = {
    val query = "select id, tfpredict(features) p from t where tfpredict(features) > -3"
    each(query)
    assertEquals(1, Plans.scores(batched(query)).size)
  }

  @Test def theSameThroughASubquery(): Unit = each("select p, p + 1 from (select k, tfpredict(features) p from t) where p > -3")

  @Test def theSameOfAComputedColumnRunsOnce(): Unit = {
    // the condition moves below of what computes the column, and has the expression then
    val query = sql("select id, tfpredict(f) p from (select id, array(x, features[0]) f from t) where tfpredict(f) > 0")
    assertEquals(
      rows("select id, cast(0.5 * x - 2 * features[0] + 0.25 as float) p from t where 0.5 * x - 2 * features[0] + 0.25 > 0").map(_.toString).sorted,
      query.collect().map(_.toString).toSeq.sorted)
    assertEquals(1, Plans.scores(query).size, query.queryExecution.executedPlan.toString)
  }

  @Test def otherConditionsComeFirst(): Unit = {
    val query = batched("select id, tfpredict(features) p from t where tfpredict(features) > -3 and k = 1 and id < 500")
    assertEquals(100, Plans.scoredRows(query))
  }

  @Test def aLaterConditionComesFirst(): Unit = {
    val query = batched("select id, p from (select id, k, tfpredict(features) p from t) where k = 1")
    assertEquals(200, Plans.scoredRows(query))
  }

  @Test def groupBy(): Unit = each("select tfpredict(features) > -3 big, count(*), max(tfpredict(features)) from t group by 1")

  @Test def groupByThePrediction(): Unit = each("select tfpredict(features) p, count(*) from t group by tfpredict(features)")

  @Test def aggregates(): Unit =
    each("select k, sum(tfpredict(features)), count(*) filter (where tfpredict(features) > 0) from t group by k")

  @Test def ofAggregatesBelow(): Unit =
    each("select k, tfpredict('minus', hi, lo) p from (select k, max(x) hi, min(x) lo from t group by k)", 3)

  @Test def insideOfAnAggregateQuery(): Unit = {
    val query = sql("select k, tfpredict('minus', max(x), min(x)) p, tfpredict('twice', x) q from t group by k, x")
    val expected = rows("select k, cast(max(x) - min(x) as float) p, cast(2 * x as float) q from t group by k, x")
    assertEquals(expected.map(_.toString).sorted, query.collect().map(_.toString).toSeq.sorted)
    assertEquals(Nil, Plans.fallbacks(query))
    assertEquals(130, Plans.scoredRows(query))
  }

  @Test def having(): Unit = each("select k, max(tfpredict(features)) m from t group by k having max(tfpredict(features)) > 2")

  @Test def distinct(): Unit = each("select distinct tfpredict(features) from t")

  // a sort by range looks at a sample of its input first, and so computes it twice
  @Test def orderBy(): Unit = each("select id, tfpredict(features) p from t order by tfpredict(features), id", 8)

  @Test def orderByWithLimit(): Unit = each("select id from t order by tfpredict(features) desc, id limit 3")

  @Test def joinOfPredictions(): Unit =
    each("select a.id, b.id from u a join u b on tfpredict(a.features) = b.x", 4)

  @Test def joinWithConditionOfOneSide(): Unit =
    each("select a.id, b.k from u a left join u b on a.id = b.id and tfpredict(b.features) > -3", 4)

  @Test def joinWithConditionOfBothSides(): Unit =
    each("select a.id, b.id from u a join u b on a.k = b.k and tfpredict('minus', a.x, b.x) > 3", 20)

  @Test def semiAndAntiJoin(): Unit = {
    each("select id from u a left semi join u b on tfpredict(a.features) = b.x")
    each("select id from u a left anti join u b on tfpredict(a.features) = b.x")
  }

  @Test def afterAJoinOnce(): Unit = {
    val query = batched("select tfpredict(a.features) p from u a join u b on a.id = b.id where tfpredict(a.features) > -3")
    assertEquals(1, Plans.scores(query).size)
  }

  @Test def subqueries(): Unit = {
    each("select id from u where x in (select tfpredict(features) from u)")
    each("select id from u where tfpredict(features) in (select x from u)")
    each("select id from u where x > (select avg(tfpredict(features)) from u)")
    each("select (select max(tfpredict(features)) from u) m, id from u")
  }

  @Test def correlatedSubqueries(): Unit = {
    each("select id from u a where exists (select 1 from u b where tfpredict(b.features) = a.x)")
    each("select id from u a where exists (select 1 from u b where b.x = tfpredict(a.features))")
    each("select id from u a where x in (select tfpredict(b.features) from u b where b.k = a.k)")
    each("select id, (select max(tfpredict(b.features)) from u b where b.k = a.k) m from u a")
    each("select id from u a where not exists (select 1 from u b where tfpredict(b.features) > a.x and b.k = a.k)")
  }

  @Test def commonTableExpressions(): Unit =
    each("with c as (select k, tfpredict(features) p from u) select a.p, b.p from c a join c b on a.k = b.k and a.p < b.p", 8)

  @Test def windows(): Unit = {
    each("select id, tfpredict(features) p, rank() over (partition by k order by tfpredict(features)) r from u")
    each("select id, sum(tfpredict(features)) over (partition by tfpredict(features) > 0 order by id) s from u")
  }

  @Test def unions(): Unit = {
    each("select tfpredict(features) from u union all select tfpredict('twice', x) from t", 8)
    each("select id from u where tfpredict(features) > 0 intersect select id from t", 4)
  }

  @Test def nested(): Unit = {
    val query = sql("select id, tfpredict('twice', tfpredict('twice', x)) p from t where tfpredict('twice', x) > 3")
    assertEquals(
      rows("select id, cast(4 * x as float) p from t where 2 * x > 3").map(_.toString).sorted,
      query.collect().map(_.toString).toSeq.sorted)
    assertEquals(2, Plans.scores(query).size)
    assertEquals(Nil, Plans.fallbacks(query))
    assertEquals(8, Plans.batches(query))
  }

  @Test def conditionals(): Unit = {
    each("select case when k = 1 then tfpredict(features) when k = 2 then -1 end p from t")
    each("select coalesce(nullif(tfpredict(features), 0), 7) p, if(tfpredict(features) > 0, 1, 0) b from t")
  }

  @Test def lateralViews(): Unit =
    each("select id, e from t lateral view explode(array(tfpredict(features), x)) as e")

  @Test def twoModels(): Unit = {
    val query = "select tfpredict(features) a, tfpredict('twice', x) b from t where tfpredict('minus', x, x) = 0"
    each(query, 12)
  }

  @Test def insertAndViews(): Unit = {
    sql("create or replace temp view scored as select id, tfpredict(features) p from t")
    assertEquals(4, Plans.batches { val query = sql("select * from scored"); query.collect(); query })
    val file = TestModels.directory("sql-written").toString
    sql("select * from scored").write.mode("overwrite").parquet(file)
    assertEquals(
      rows(s"select id, $linear p from t").map(_.toString).sorted,
      spark.read.parquet(file).collect().map(_.toString).toSeq.sorted)
  }

  @Test def cachedAnswersAreNotComputedAgain(): Unit = {
    val cached = sql("select id, tfpredict(features) p from t").cache()
    try {
      val before = cached.collect().map(_.toString).sorted.toSeq
      assertEquals(rows(s"select id, $linear p from t").map(_.toString).sorted, before)
      val batches = ModelStore.counters().batches
      assertEquals(before, cached.collect().map(_.toString).sorted.toSeq)
      assertEquals(1000, cached.filter("p is not null").count())
      // a query that only looks like it is served from the same place
      assertEquals(1000, sql("select id, tfpredict(features) p from t").count())
      assertEquals(batches, ModelStore.counters().batches)
    } finally cached.unpersist()
  }

  @Test def randomArguments(): Unit = {
    val query = sql("select r, tfpredict('twice', r) p from (select id, cast(rand(1) as float) r from t)")
    query.collect().foreach(row => assertEquals(2 * row.getFloat(0), row.getFloat(1)))
    val drawn = sql(
      """select tfpredict('twice', cast(rand(1) as float)) p, tfpredict('twice', tfpredict('twice', cast(rand(2) as float))) q
        |from t where tfpredict('twice', cast(rand(3) as float)) > 0.5""".stripMargin)
    val values = drawn.collect()
    assertTrue(values.length > 600 && values.length < 900, values.length.toString)
    values.foreach(row => assertTrue(0 <= row.getFloat(0) && row.getFloat(0) < 2 && row.getFloat(1) < 4))
    assertTrue(values.map(_.getFloat(0)).distinct.length > 500)
    Seq(query, drawn).foreach(query => assertEquals(Nil, Plans.fallbacks(query)))
  }

  @Test def streams(): Unit = {
    val source = TestModels.directory("sql-t.parquet").toString
    val query = spark.readStream.schema(spark.read.parquet(source).schema).parquet(source)
      .selectExpr("id", "tfpredict(features) p").where("p > -3")
      .writeStream.format("memory").queryName("streamed").start()
    try query.processAllAvailable()
    finally query.stop()
    assertEquals(
      rows(s"select id, $linear p from t where $linear > -3").map(_.toString).sorted,
      rows("select * from streamed").map(_.toString).sorted)
  }

  @Test def constants(): Unit = {
    val query = sql("select tfpredict(array(cast(1 as float), cast(2 as float))) p from values (1), (2) as v(i)")
    assertEquals(Seq("[-3.25]", "[-3.25]"), query.collect().map(_.toString).toSeq)
    assertEquals(Nil, Plans.fallbacks(query))
    assertEquals("[-3.25]", rows("select tfpredict(array(float(1), float(2)))").head.toString)
  }

  @Test def limitRunsFewBatches(): Unit =
    withConf("spark.exporter.batchSize" -> "10") {
      val query = sql("select tfpredict(features) p from t limit 5")
      assertEquals(5, query.collect().length)
      assertTrue(Plans.batches(query) <= 4, Plans.batches(query).toString)
    }

  @Test def onlyNeededColumnsAreRead(): Unit = {
    val file = TestModels.directory("sql-t.parquet").toString
    val query = spark.read.parquet(file).selectExpr("id", "tfpredict('twice', x) p", "k", "features").filter("p > 3").select("p")
    query.collect()
    val scan = Plans.executed(query).find(_.nodeName.startsWith("Scan")).get
    assertEquals(Seq("x"), scan.output.map(_.name))
    assertEquals(Seq("tfpredict"), Plans.scores(query).head.output.map(_.name))
  }

  @Test def whereThereIsNoBatchRowsAreScoredOneByOne(): Unit = {
    def byRow(query: String): Unit = {
      val scored = sql(query)
      assertEquals(rows(arithmetic(query)).map(_.toString).sorted, scored.collect().map(_.toString).toSeq.sorted, query)
      assertTrue(Plans.fallbacks(scored).nonEmpty, query)
    }
    byRow("select a.id, b.id from u a left join u b on a.k = b.k and tfpredict('minus', a.x, b.x) > 3")
    byRow("select id, transform(features, f -> tfpredict('twice', f)) p from u")
  }
}
