package exporter.spark

import java.nio.file.{Files, Path}

import scala.collection.mutable

import exporter.tensorflow.SavedModels
import org.tensorflow.proto._

/** SavedModels of the tests, each written once. */
object TestModels {
  private lazy val root: Path = Files.createTempDirectory("exporter-tests-")
  private val made = mutable.Map.empty[String, Path]

  def directory(name: String): Path = root.resolve(name)

  def apply(name: String)(write: Path => Path): String = synchronized {
    made.getOrElseUpdate(name, write(directory(name))).toString
  }

  /** `features` float32 [?, 2] to `outputs` [?, 1]: 0.5 a - 2 b + 0.25. */
  def linear: String = apply("linear")(SavedModels.linear(_))

  /** `x` float32 [?] to `y`, twice as much; signature `minus`: `a`, `b` to `difference`. */
  def twice: String = apply("twice")(SavedModels.twoSignatures(_))

  /** `text` string [?] to `same` and `marked`, with an exclamation mark. */
  def strings: String = apply("strings")(SavedModels.strings(_))

  /** `x` float32 [?, ?] to `y` [?, 1], the sums of the rows. */
  def rowSums: String = apply("row-sums")(SavedModels.rowSums(_))

  /** `amount` float32 [?] and `ids` int64 [?, 3] to `large` bool [?] and `total` int64 [?]. */
  def mixed: String = apply("mixed")(SavedModels.mixed(_))

  /**
   * Gives back what it is given: for each tensor an input of its name, and an output of its name with `_out`.
   *
   * @param tensors name, type, and shape with -1 for open dimensions
   */
  def identity(name: String, tensors: (String, DataType, Seq[Long])*): String = apply(name) { directory =>
    val graph = GraphDef.newBuilder()
    val signature = SignatureDef.newBuilder()
    tensors.foreach { case (tensor, dataType, dims) =>
      val shape = TensorShapeProto.newBuilder()
      dims.foreach(dim => shape.addDim(TensorShapeProto.Dim.newBuilder().setSize(dim)))
      val attribute = AttrValue.newBuilder().setType(dataType).build()
      graph.addNode(NodeDef.newBuilder().setName(s"in_$tensor").setOp("Placeholder").putAttr("dtype", attribute)
        .putAttr("shape", AttrValue.newBuilder().setShape(shape).build()))
      graph.addNode(NodeDef.newBuilder().setName(s"out_$tensor").setOp("Identity").addInput(s"in_$tensor").putAttr("T", attribute))
      val info = TensorInfo.newBuilder().setDtype(dataType).setTensorShape(shape)
      signature.putInputs(tensor, info.setName(s"in_$tensor:0").build())
      signature.putOutputs(tensor + "_out", info.setName(s"out_$tensor:0").build())
    }
    val meta = MetaGraphDef.newBuilder().setGraphDef(graph).putSignatureDef(SavedModels.DEFAULT, signature.build())
    meta.getMetaInfoDefBuilder.addTags("serve")
    SavedModels.write(directory, meta.build())
  }
}
