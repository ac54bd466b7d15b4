package exporter.spark.worker

import exporter.tensorflow.TensorFlowEngine
import org.apache.spark.sql.Row
import org.apache.spark.sql.types.{ArrayType, FloatType, LongType, StructField, StructType}

/**
 * Does once what every Spark worker does first, so that the JVM can note which classes that takes (`java
 * -XX:ArchiveClassesAtExit=FILE`) and map them ready-made next time: half of a worker's start is loading classes.
 */
object WarmUp {
  def main(arguments: Array[String]): Unit = {
    new TensorFlowEngine().versions
    val session = SparkEngine.session
    val schema = StructType(
      Seq(
        StructField(SparkEngine.RowNumber, LongType, nullable = false),
        StructField("column_0", ArrayType(FloatType, containsNull = false), nullable = false)))
    val rows = (0L until 4L).map(i => Row(i, Seq(i.toFloat)))
    val frame = session.createDataFrame(session.sparkContext.parallelize(rows, numSlices = 2), schema)
    frame.createOrReplaceTempView("warm_up")
    require(session.sql("SELECT row_number, column_0[0] FROM warm_up WHERE row_number > 0").collect().length == 3)
    require(frame.rdd.map(_.getLong(0)).collect().length == 4)
    session.stop()
  }
}
