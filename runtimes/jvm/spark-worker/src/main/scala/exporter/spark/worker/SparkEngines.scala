package exporter.spark.worker


import exporter.spark.{Scorer, ScoreOptions, TensorFlowModel}
import org.apache.spark.sql.{DataFrame, Row}
import org.apache.spark.sql.types.StructType

/** The RDD interface: `Scorer.scorePartitions`. */
final class SparkRddEngine extends SparkEngine("spark-rdd") {
  override private[worker] def score(query: Query, frame: DataFrame): Array[Row] = {
    val scorer = Scorer(
      frame.sparkSession.sparkContext,
      query.artifact.toString,
      ScoreOptions(signature = query.signature, outputs = query.outputs, narrow = true, text = false))
    val columns = query.inputs.map { case (input, column) => input -> Seq(column) }.toMap
    // the row numbers and the results, without the inputs
    scorer
      .scorePartitions(frame.rdd, frame.schema, columns)
      .map(row => Row.fromSeq(row.get(0) +: row.toSeq.drop(1 + columns.size)))
      .collect()
  }
}

/** The DataFrame interface: `TensorFlowModel.transform`. */
final class SparkDataFrameEngine extends SparkEngine("spark-dataframe") {
  override private[worker] def score(query: Query, frame: DataFrame): Array[Row] = {
    val named = query.outputs.zipWithIndex.map { case (output, i) => output -> s"result_$i" }
    TensorFlowModel
      .load(query.artifact.toString)
      .setSignature(query.signature)
      .setInputs(query.inputs.toMap)
      .setOutputs(named.toMap)
      .setNarrow(true)
      .setStrings("binary")
      .transform(frame)
      .select(SparkEngine.RowNumber, named.map(_._2): _*)
      .collect()
  }
}

/** The SQL interface: `tfpredict`, with one struct where there are several inputs. */
final class SparkSqlEngine extends SparkEngine("spark-sql") {
  override private[worker] def score(query: Query, frame: DataFrame): Array[Row] = {
    val session = frame.sparkSession
    val model = "spark.exporter.model.parity"
    val settings = Map(
      model -> query.artifact.toString,
      s"$model.signature" -> query.signature,
      s"$model.narrow" -> "true",
      s"$model.strings" -> "binary")
    settings.foreach { case (key, value) => session.conf.set(key, value) }
    frame.createOrReplaceTempView("parity")
    val arguments = query.inputs match {
      case Seq((_, column)) => column
      case several => several.map { case (input, column) => s"$column AS ${quoted(input)}" }.mkString("struct(", ", ", ")")
    }
    val rows = session.sql(s"SELECT ${SparkEngine.RowNumber}, tfpredict('parity', $arguments) AS result FROM parity")
    val results = rows.schema("result").dataType match {
      case struct: StructType => query.outputs.map(output => s"result.${quoted(output)}") ensuring struct.nonEmpty
      case _ => Seq("result")
    }
    rows.selectExpr(SparkEngine.RowNumber +: results: _*).collect()
  }

  private def quoted(name: String): String = s"`${name.replace("`", "``")}`"
}
