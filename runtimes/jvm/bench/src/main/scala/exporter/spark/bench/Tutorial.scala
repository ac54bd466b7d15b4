package exporter.spark.bench

import scala.collection

import org.apache.spark.sql.SparkSession
import org.apache.spark.sql.functions.udf
import org.tensorflow.Tensor

/**
 * The user-defined function of the tutorials: one tensor for each row, the tensors looked up by name in each call, and
 * nothing closed. One thing is repaired, so that it runs outside of local mode too: the model is not broadcast but loaded
 * once in each JVM.
 */
object Tutorial {

  /**
   * Registers it under a name, for columns of arrays.
   *
   * @param text whether the elements are strings
   * @param close whether tensors are closed after each row
   */
  def register(spark: SparkSession, name: String, path: String, text: Boolean, close: Boolean): Unit = {
    val score = new RowScore(path, close)
    val function =
      if (text) udf((row: collection.Seq[String]) => score.ofStrings(row))
      else if (PlainModel.asInTutorials(path).width == 1) udf((row: collection.Seq[Float]) => score.ofFloats(row)(0))
      else udf((row: collection.Seq[Float]) => score.ofFloats(row))
    spark.udf.register(name, function)
  }

  private final class RowScore(path: String, close: Boolean) extends Serializable {
    def ofFloats(row: collection.Seq[Float]): Array[Float] = {
      val model = PlainModel.asInTutorials(path)
      predict(model, model.tensor(row.toArray, 1))
    }

    def ofStrings(row: collection.Seq[String]): Array[Float] = {
      val model = PlainModel.asInTutorials(path)
      predict(model, model.tensor(row.toArray, 1))
    }

    private def predict(model: PlainModel, tensor: Tensor): Array[Float] = {
      val result = model.runByName(tensor)
      val values = new Array[Float](model.width)
      model.read(result, 1, values)
      if (close) {
        result.close()
        tensor.close()
      }
      values
    }
  }
}
