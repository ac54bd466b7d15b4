package exporter.spark

import java.nio.ByteBuffer
import java.nio.file.{Files, Path}
import java.util
import java.util.concurrent.atomic.AtomicInteger

import exporter.core._
import org.apache.spark.unsafe.Platform

/**
 * An engine beside TensorFlow, as any jar can bring one: it opens files that end in `.probe`, and adds up float32 rows in
 * memory of its own. It counts what is open, takes its time where a test asks for it, and fails where a file says so.
 */
final class ProbeEngine extends Engine {
  override def name: String = "probe"
  override def format: String = "probe"
  override def accepts(artifact: Path): Boolean = artifact.toString.endsWith(".probe") && Files.isRegularFile(artifact)
  override def versions: util.Map[String, String] = Java.map(Seq("probe" -> "1"))
  override def dtypes: util.Set[DType] = Java.set(Seq(DType.FLOAT32))

  override def signatures(artifact: Path, options: EngineOptions): util.Map[String, Signature] =
    Java.map(Seq("serving_default" -> ProbeEngine.signature))

  override def load(artifact: Path, options: EngineOptions): Model = {
    ProbeEngine.loads.incrementAndGet()
    Thread.sleep(200)
    if (ProbeEngine.failLoads.getAndUpdate(left => math.max(0, left - 1)) > 0) {
      throw new ModelException("load", "the probe was told to fail")
    }
    new ProbeModel
  }
}

object ProbeEngine {
  val loads = new AtomicInteger
  val failLoads = new AtomicInteger
  val runs = new AtomicInteger

  /** Calls that were opened and not closed. */
  val open = new AtomicInteger

  /** A row whose sum is this makes the run fail. */
  val Poison = 666f

  private[spark] val signature = new Signature(
    "serving_default",
    Java.list(Seq(new TensorSpec("x", DType.FLOAT32, Array(-1L, 2L)))),
    Java.list(Seq(new TensorSpec("y", DType.FLOAT32, Array(-1L)))))

  /** A new model; models of other names are other contents. */
  def model(name: String): String = TestModels(s"$name.probe")(file => Files.writeString(file, name))
}

private final class ProbeModel extends Model {
  override def signatures: util.Map[String, Signature] = Java.map(Seq("serving_default" -> ProbeEngine.signature))

  override def newCall(key: String, shapes: util.Map[String, Array[Long]]): Call = {
    signature(key).checkShapes(shapes)
    new ProbeCall(shapes.get("x")(0).toInt)
  }

  override def close(): Unit = ()
}

private final class ProbeCall(rows: Int) extends Call {
  private val x = new NativeFloats(Array(rows.toLong, 2L))
  private val y = new NativeFloats(Array(rows.toLong))
  private var closed = false
  ProbeEngine.open.incrementAndGet()

  override def input(name: String): TensorBuffer = x
  override def output(name: String): TensorBuffer = y

  override def run(): Unit = {
    ProbeEngine.runs.incrementAndGet()
    (0 until rows).foreach { row =>
      val sum = x.get(2 * row) + x.get(2 * row + 1)
      if (sum == ProbeEngine.Poison) {
        throw new ModelException("run", "the probe was poisoned")
      }
      y.put(row, sum)
    }
  }

  override def close(): Unit =
    if (!closed) {
      closed = true
      x.free()
      y.free()
      ProbeEngine.open.decrementAndGet()
    }
}

private final class NativeFloats(dims: Array[Long]) extends TensorBuffer {
  private val base = Platform.allocateMemory(math.max(4 * dims.product, 1))
  override def dtype: DType = DType.FLOAT32
  override def shape: Array[Long] = dims.clone()
  override def elements: Long = dims.product
  override def bytes: ByteBuffer = throw new UnsupportedOperationException
  override def address: Long = base
  override def string(index: Int): Array[Byte] = throw new UnsupportedOperationException
  override def string(index: Int, value: Array[Byte]): Unit = throw new UnsupportedOperationException
  def get(index: Int): Float = Platform.getFloat(null, base + 4L * index)
  def put(index: Int, value: Float): Unit = Platform.putFloat(null, base + 4L * index, value)
  def free(): Unit = Platform.freeMemory(base)
}
