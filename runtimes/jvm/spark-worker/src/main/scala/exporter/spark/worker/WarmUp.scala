package exporter.spark.worker

import java.nio.file.{Files, Path}
import java.util.Comparator

import scala.jdk.CollectionConverters._
import scala.util.Using

import exporter.core.EngineOptions
import org.tensorflow.{Graph, SavedModelBundle, Session, Signature}
import org.tensorflow.ndarray.Shape
import org.tensorflow.op.Ops
import org.tensorflow.op.core.Placeholder
import org.tensorflow.types.TFloat32

/**
 * Does once what every Spark worker does, so that the JVM can note which classes that takes (`java
 * -XX:ArchiveClassesAtExit=FILE`) and map them ready-made next time: half of a worker's start is loading classes.
 */
object WarmUp {
  private val Key = "serving_default"

  def main(arguments: Array[String]): Unit = {
    val directory = Files.createTempDirectory("warm-up")
    try {
      write(directory)
      Seq(new SparkRddEngine, new SparkDataFrameEngine, new SparkSqlEngine).foreach(score(_, directory))
    } finally {
      Files.walk(directory).sorted(Comparator.reverseOrder[Path]).forEach(path => Files.delete(path))
    }
    SparkEngine.session.stop()
  }

  /** A model of one addition. */
  private def write(directory: Path): Unit =
    Using.resource(new Graph) { graph =>
      Using.resource(new Session(graph)) { session =>
        val tf = Ops.create(graph)
        val x = tf.placeholder(classOf[TFloat32], Placeholder.shape(Shape.of(-1, 2)))
        val y = tf.math.add(x, tf.variable(tf.constant(Array(1f, 2f))))
        session.initialize()
        val signature = Signature.builder.key(Key).input("x", x).output("y", y).build
        SavedModelBundle.exporter(directory.toString).withSession(session).withSignature(signature).`export`()
      }
    }

  private def score(engine: SparkEngine, artifact: Path): Unit = {
    engine.versions
    Using.resource(engine.load(artifact, EngineOptions.defaults)) { model =>
      Using.resource(model.newCall(Key, Map("x" -> Array(4L, 2L)).asJava)) { call =>
        call.run()
        require(call.output("y").elements == 8)
      }
    }
  }
}
