package exporter.spark.bench

import java.util.concurrent.Executors

import scala.reflect.ClassTag

import org.apache.spark.sql.{DataFrame, Row}
import org.tensorflow.Tensor

/**
 * TensorFlow Java in a loop, without Spark: the rows are in arrays already, each batch is copied into a tensor as a whole,
 * run, and read. No way of scoring rows in this JVM is faster than this.
 *
 * @param rows (id, features) to make batches of, over and over
 */
final class BareLoop(rows: DataFrame, path: String, text: Boolean, batch: Int) {
  private val model = PlainModel(path)
  private val source = rows.select("id", "features").orderBy("id").collect()
  private val batches: Array[() => Tensor] =
    if (text) prepared[String](model.tensor(_, batch)) else prepared[Float](model.tensor(_, batch))

  private def prepared[T: ClassTag](tensor: Array[T] => Tensor): Array[() => Tensor] = {
    val elements = source.flatMap(_.getSeq[T](1))
    // enough batches that the processor's cache does not hold them all
    val count = math.max(8, (source.length + batch - 1) / batch)
    Array.tabulate(count) { number =>
      val values = Array.tabulate(batch * model.size)(i => elements((number * batch * model.size + i) % elements.length))
      () => tensor(values)
    }
  }

  private def score(number: Int, to: Array[Float]): Unit = {
    val tensor = batches(number % batches.length)()
    try {
      val result = model.run(tensor)
      try model.read(result, batch, to)
      finally result.close()
    } finally tensor.close()
  }

  /** Scores at least so many rows, in as many threads as there are task slots; returns how many they were. */
  def run(wanted: Int, threads: Int): Int = {
    val each = math.max(1, (wanted + batch * threads - 1) / (batch * threads))
    val pool = Executors.newFixedThreadPool(threads)
    try {
      val running = (0 until threads).map { thread =>
        val work: Runnable = () => {
          val scores = new Array[Float](batch * model.width)
          (0 until each).foreach(i => score(thread + i * threads, scores))
        }
        pool.submit(work)
      }
      running.foreach(_.get())
    } finally pool.shutdown()
    each * batch * threads
  }

  /** Rows (id, score) of the rows. */
  def frame(): DataFrame = {
    val scores = new Array[Float](batch * model.width)
    val found = new java.util.ArrayList[Row]
    source.indices.foreach { i =>
      if (i % batch == 0) {
        score(i / batch, scores)
      }
      found.add(Scores.row(source(i).getLong(0), scores, i % batch, model.width))
    }
    rows.sparkSession.createDataFrame(found, Scores.schema(model.width))
  }
}
