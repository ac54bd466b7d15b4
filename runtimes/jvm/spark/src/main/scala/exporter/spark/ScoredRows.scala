package exporter.spark

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.types.StructType

/** The rows of one partition with their results. */
private final class ScoredRows(
    rows: Iterator[InternalRow],
    input: Seq[Attribute],
    kept: Seq[Attribute],
    programs: Array[ScoreProgram],
    feeds: Array[Feed],
    results: Seq[Attribute],
    list: Seq[NamedExpression],
    work: Work,
    report: Counters => Unit)
    extends ChunkedIterator[InternalRow, InternalRow](
      rows, programs.map(_.plan.options.batchSize).max, feeds.map(_.scorer), work, report) {
  private val scorers = feeds.map(_.scorer)
  private val keep = UnsafeProjection.create(kept, input)
  private val buffer = new RowBuffer(kept.length)
  private val values = new SpecificInternalRow(results.map(_.dataType))
  private val outputs = programs.map(_.plan.outputs.length)
  private val structs = programs.map { program =>
    program.plan.dataType match {
      case struct: StructType if program.plan.outputs.length > 1 => new SpecificInternalRow(struct.fields.map(_.dataType).toSeq)
      case _ => null
    }
  }
  private val joined = new JoinedRow
  private val project = UnsafeProjection.create(list, kept ++ results)

  override protected def take(row: InternalRow): Unit = {
    var i = 0
    while (i < feeds.length) {
      feeds(i).add(row)
      i += 1
    }
    if (kept.nonEmpty) {
      buffer.add(keep(row))
    }
  }

  override protected def clear(): Unit = buffer.clear()

  override protected def result(i: Int): InternalRow = {
    var call = 0
    while (call < scorers.length) {
      val scorer = scorers(call)
      if (!scorer.has(i)) {
        values.setNullAt(call)
      } else if (structs(call) == null) {
        scorer.put(i, 0, values, call)
      } else {
        val struct = structs(call)
        var output = 0
        while (output < outputs(call)) {
          scorer.put(i, output, struct, output)
          output += 1
        }
        values.update(call, struct)
      }
      call += 1
    }
    project(if (kept.isEmpty) values else joined(buffer(i), values))
  }
}

private[spark] object ScoredRows {

  /**
   * @param rows of the child
   * @param input their columns
   * @param kept of these, what is in `list`
   * @param results one attribute per program
   * @param list what comes out
   */
  def apply(
      rows: Iterator[InternalRow],
      input: Seq[Attribute],
      kept: Seq[Attribute],
      programs: Seq[ScoreProgram],
      results: Seq[Attribute],
      list: Seq[NamedExpression],
      report: Counters => Unit): Iterator[InternalRow] = {
    val work = new Work
    val feeds = programs.map(_.open(input, work)).toArray
    rows match {
      case columnar: ColumnarRows => columnar.listen(batch => feeds.foreach(_.begin(batch)))
      case _ =>
    }
    new ScoredRows(rows, input, kept, programs.toArray, feeds, results, list, work, report)
  }
}
