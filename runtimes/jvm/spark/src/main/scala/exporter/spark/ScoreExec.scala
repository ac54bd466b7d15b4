package exporter.spark

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.execution.{OrderPreservingUnaryExecNode, PartitioningPreservingUnaryExecNode, SparkPlan}
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}

/**
 * Scores the rows of its child in batches.
 *
 * Arguments go from the child's row to the tensor as the row arrives; of the row itself only the columns that parents
 * need are kept. So no row is copied as a whole, whether the child reuses the memory of its rows (files and generated
 * code do) or not.
 *
 * @param results one attribute per call
 * @param projectList what parents get: columns of the child and results, at most renamed
 */
private[spark] final case class ScoreExec(
    calls: Seq[TfPredict],
    results: Seq[Attribute],
    projectList: Seq[NamedExpression],
    child: SparkPlan)
    extends PartitioningPreservingUnaryExecNode
    with OrderPreservingUnaryExecNode {

  override def output: Seq[Attribute] = projectList.map(_.toAttribute)

  override def producedAttributes: AttributeSet = AttributeSet(results)

  override protected def outputExpressions: Seq[NamedExpression] = projectList

  override protected def orderingExpressions: Seq[SortOrder] = child.outputOrdering

  override lazy val metrics: Map[String, SQLMetric] = {
    def nanos(label: String) = label -> SQLMetrics.createNanoTimingMetric(sparkContext, label)
    def number(label: String) = label -> SQLMetrics.createMetric(sparkContext, label)
    Map(number(ScoreExec.Rows), number(ScoreExec.Batches), nanos(ScoreExec.Fill), nanos(ScoreExec.Run), nanos(ScoreExec.Read))
  }

  override protected def doExecute(): RDD[InternalRow] = {
    val input = child.output
    val list = projectList
    val columns = results
    val kept = input.filter(AttributeSet(list.flatMap(_.references)).contains)
    val programs = calls.map(call => ScoreProgram(call.model.handle, call.plan, call.leaves))
    val counters = metrics
    val score = (rows: Iterator[InternalRow]) =>
      // a partition without rows neither loads the model nor runs it
      if (rows.hasNext) ScoredRows(rows, input, kept, programs, columns, list, ScoreExec.report(counters, _))
      else Iterator.empty
    ColumnarRows.source(child) match {
      case Some(source) => source.executeColumnar().mapPartitions(batches => score(new ColumnarRows(batches)))
      case None => child.execute().mapPartitions(score)
    }
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan = copy(child = newChild)
}

private[spark] object ScoreExec {
  // keys of the metrics, and the labels that Spark's pages and listeners have of them
  val Rows = "scored rows"
  val Batches = "model batches"
  val Fill = "time to read rows and fill tensors"
  val Run = "time in the model"
  val Read = "time to read results"

  /** Of all metrics of this operator. */
  val labels: Seq[String] = Seq(Rows, Batches, Fill, Run, Read)

  private def report(metrics: Map[String, SQLMetric], work: Counters): Unit = {
    metrics(Rows).add(work.rows)
    metrics(Batches).add(work.batches)
    metrics(Fill).add(work.fillNanos)
    metrics(Run).add(work.runNanos)
    metrics(Read).add(work.readNanos)
  }
}
