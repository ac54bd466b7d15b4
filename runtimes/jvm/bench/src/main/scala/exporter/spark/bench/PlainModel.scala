package exporter.spark.bench

import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicInteger

import org.tensorflow.{Output, Result, SavedModelBundle, Tensor}
import org.tensorflow.ndarray.Shape
import org.tensorflow.ndarray.buffer.DataBuffers
import org.tensorflow.proto.ConfigProto
import org.tensorflow.types.{TFloat32, TString}

/**
 * A SavedModel with one input and one float32 output, as a program opens it that has TensorFlow Java and no library
 * around it. What our library is compared with runs through this.
 */
final class PlainModel private (path: String, tuned: Boolean) {
  private val bundle =
    if (!tuned) {
      SavedModelBundle.load(path, "serve")
    } else {
      // -1: in the thread that calls. A pool would be one for the process, with a hand-over for each run, and idle
      // threads that spin; that is what programs get that do not set it, and they pay for it
      val inCaller = ConfigProto.newBuilder().setIntraOpParallelismThreads(1).setInterOpParallelismThreads(-1).build()
      SavedModelBundle.loader(path).withTags("serve").withConfigProto(inCaller).load()
    }
  private val definition = bundle.metaGraphDef().getSignatureDefMap.get("serving_default")
  private val input = definition.getInputsMap.values().iterator().next()
  private val output = definition.getOutputsMap.values().iterator().next()

  /** Of one row, without the batch. */
  val rowShape: Array[Long] = Array.tabulate(input.getTensorShape.getDimCount - 1)(i => input.getTensorShape.getDim(i + 1).getSize)

  /** Elements of the input of one row. */
  val size: Int = rowShape.product.toInt

  /** Elements of the output of one row. */
  val width: Int = output.getTensorShape.getDim(1).getSize.toInt

  private def resolved(name: String): Output[_] = {
    val Array(operation, index) = name.split(":")
    bundle.graph().operation(operation).output(index.toInt)
  }
  private val fed = resolved(input.getName)
  private val fetched = resolved(output.getName)

  private def shape(rows: Int): Shape = Shape.of(rows.toLong +: rowShape: _*)

  /** The first `rows` rows of a flat array; the caller closes the tensor. */
  def tensor(values: Array[Float], rows: Int): Tensor =
    TFloat32.tensorOf(shape(rows), DataBuffers.of(values, true, false).slice(0, rows.toLong * size))

  def tensor(values: Array[String], rows: Int): Tensor =
    TString.tensorOf(shape(rows), DataBuffers.of(values, true, false).slice(0, rows.toLong * size))

  def run(tensor: Tensor): Result =
    bundle.session().runner().feed(fed.asOutput(), tensor).fetch(fetched).run()

  /** The same, looking up the names of the tensors. */
  def runByName(tensor: Tensor): Result =
    bundle.session().runner().feed(input.getName, tensor).fetch(output.getName).run()

  /** Copies the output of the first rows. */
  def read(result: Result, rows: Int, to: Array[Float]): Unit =
    result.get(0).asInstanceOf[TFloat32].asRawTensor().data().asFloats().read(to, 0, rows * width)
}

object PlainModel {
  private val tuned = new Loaded(true)
  private val untuned = new Loaded(false)

  /** The one of this JVM, with one thread for each run: that of the caller. */
  def apply(path: String): PlainModel = tuned(path)

  /** The same as the tutorials load it, with no options. */
  def asInTutorials(path: String): PlainModel = untuned(path)

  /** Models of each kind that were loaded in this JVM. */
  def loaded: Int = tuned.count.get

  def loadedAsInTutorials: Int = untuned.count.get

  private final class Loaded(tuned: Boolean) {
    private val models = new ConcurrentHashMap[String, PlainModel]
    val count = new AtomicInteger

    def apply(path: String): PlainModel =
      models.computeIfAbsent(path, directory => {
        count.incrementAndGet()
        new PlainModel(directory, tuned)
      })
  }
}
