package exporter.spark.bench

import scala.reflect.ClassTag

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.{DataFrame, Row}
import org.apache.spark.sql.types._
import org.tensorflow.Tensor

/** Batches made by hand in `rdd.mapPartitions`, from rows as Spark's public interface has them. */
object HandBatched {

  /** Rows (id, score) of rows (id, features). */
  def scores(rows: DataFrame, path: String, text: Boolean, batch: Int): RDD[Row] =
    rows.select("id", "features").rdd.mapPartitions { rows =>
      val model = PlainModel(path)
      if (text) new Batches[String](rows, model, batch, model.tensor(_, _))
      else new Batches[Float](rows, model, batch, model.tensor(_, _))
    }

  def run(rows: DataFrame, path: String, text: Boolean, batch: Int): Unit =
    scores(rows, path, text, batch).foreach(_ => ())

  def frame(rows: DataFrame, path: String, text: Boolean, batch: Int): DataFrame =
    rows.sparkSession.createDataFrame(scores(rows, path, text, batch), Scores.schema(PlainModel(path).width))

  private final class Batches[T: ClassTag](
      rows: Iterator[Row],
      model: PlainModel,
      batch: Int,
      tensor: (Array[T], Int) => Tensor)
      extends Iterator[Row] {
    private val ids = new Array[Long](batch)
    private val features = new Array[T](batch * model.size)
    private val scores = new Array[Float](batch * model.width)
    private var count = 0
    private var given = 0

    override def hasNext: Boolean = given < count || (rows.hasNext && pull())

    override def next(): Row = {
      if (!hasNext) {
        throw new NoSuchElementException
      }
      given += 1
      Scores.row(ids(given - 1), scores, given - 1, model.width)
    }

    private def pull(): Boolean = {
      count = 0
      given = 0
      while (count < batch && rows.hasNext) {
        val row = rows.next()
        ids(count) = row.getLong(0)
        val values = row.getSeq[T](1)
        var i = 0
        while (i < model.size) {
          features(count * model.size + i) = values(i)
          i += 1
        }
        count += 1
      }
      val fed = tensor(features, count)
      try {
        val result = model.run(fed)
        try model.read(result, count, scores)
        finally result.close()
      } finally fed.close()
      true
    }
  }
}

/** Results as rows: a single element is a scalar, more are an array. */
private[bench] object Scores {
  def schema(width: Int): StructType = {
    val score = if (width == 1) FloatType else ArrayType(FloatType, containsNull = false)
    StructType(Seq(StructField("id", LongType), StructField("score", score)))
  }

  /** @param index of the row in `scores` */
  def row(id: Long, scores: Array[Float], index: Int, width: Int): Row =
    if (width == 1) Row(id, scores(index))
    else Row(id, java.util.Arrays.copyOfRange(scores, index * width, (index + 1) * width))
}
