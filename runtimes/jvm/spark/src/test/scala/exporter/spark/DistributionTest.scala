package exporter.spark

import java.io.{ByteArrayInputStream, ByteArrayOutputStream, ObjectInputStream, ObjectOutputStream}
import java.nio.file.{Files, Path, Paths}
import java.nio.file.attribute.FileTime

import exporter.spark.TestSession._
import exporter.tensorflow.SavedModels
import org.apache.spark.SparkConf
import org.tensorflow.proto.NodeDef
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test

/** How the files of a model reach the executors, and what happens when they change on the way. */
class DistributionTest {
  private def context = spark.sparkContext

  private def tree(files: (String, String)*): Path = {
    val root = Files.createTempDirectory("tree")
    files.foreach { case (name, text) =>
      Files.createDirectories(root.resolve(name).getParent)
      Files.writeString(root.resolve(name), text)
    }
    root
  }

  private def value(model: String): Float =
    TensorFlowModel.load(model).transform(spark.sql("select array(float(1), float(2)) features")).head().getFloat(1)

  @Test def theHashIsOfNamesAndContents(): Unit = {
    val one = Fingerprint.hash(tree("a" -> "1", "d/b" -> "2"))
    assertEquals(one, Fingerprint.hash(tree("d/b" -> "2", "a" -> "1", ".a.crc" -> "checksum")))
    assertEquals(64, one.length)
    Seq(tree("a" -> "1", "d/b" -> "3"), tree("a" -> "1", "d/c" -> "2"), tree("a" -> "1"), tree("a" -> "12", "d/b" -> ""))
      .foreach(other => assertNotEquals(one, Fingerprint.hash(other)))
  }

  @Test def archivesOfTheSameFilesAreTheSameBytes(): Unit = {
    val one = Files.createTempFile("one", ".zip")
    val two = Files.createTempFile("two", ".zip")
    val model = tree("a" -> "1" * 1000, "d/b" -> "2")
    Scratch.zip(model, one)
    Files.setLastModifiedTime(model.resolve("a"), FileTime.fromMillis(0))
    Scratch.zip(model, two)
    assertArrayEquals(Files.readAllBytes(one), Files.readAllBytes(two))
  }

  @Test def aReferenceIsSmallAndSerializable(): Unit = {
    val ref = Distribution.resolve(context, TestModels.linear).ref
    val bytes = new ByteArrayOutputStream
    new ObjectOutputStream(bytes).writeObject(ref)
    assertTrue(bytes.size < 2000, bytes.size.toString)
    assertEquals(ref, new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray)).readObject())
    assertEquals(ref, Distribution.resolve(context, TestModels.linear).ref)
  }

  @Test def localFilesAreUsedInPlaceOrServed(): Unit = {
    val location = Distribution.resolve(context, TestModels.linear).ref.location
    if (context.isLocal) {
      assertEquals(LocalFiles(TestModels.linear), location)
    } else {
      assertTrue(location.asInstanceOf[ServedFiles].address.matches("spark://.*/linear-[0-9a-f]{12}\\.zip"), location.toString)
    }
    assertEquals(-3.25f, value(TestModels.linear))
  }

  @Test def filesOfAHadoopFileSystemAreCopied(): Unit = {
    val uri = Paths.get(TestModels.linear).toUri.toString.stripSuffix("/")
    val resolved = Distribution.resolve(context, uri)
    assertTrue(resolved.ref.location.isInstanceOf[HadoopFiles])
    assertNotEquals(Paths.get(TestModels.linear), resolved.files)
    assertEquals(Distribution.resolve(context, TestModels.linear).ref.hash, resolved.ref.hash)
    assertEquals(resolved.files, Distribution.resolve(context, uri).files)
    assertEquals(-3.25f, value(uri))
    fails("no model at 'file:///nowhere'")(Distribution.resolve(context, "file:///nowhere"))
    fails("no model at 'gopher://host/x'", "No FileSystem for scheme")(Distribution.resolve(context, "gopher://host/x"))
  }

  @Test def settingsOfTheFileSystemGoWithIt(): Unit = {
    context.hadoopConfiguration.set("fs.exporter.test", "a secret of the program")
    try {
      val uri = Paths.get(TestModels.linear).toUri.toString
      val location = Distribution.resolve(context, uri + "../" + Paths.get(TestModels.linear).getFileName).ref.location
      assertEquals(Some("a secret of the program"), location.asInstanceOf[HadoopFiles].settings.get("fs.exporter.test"))
      assertTrue(location.asInstanceOf[HadoopFiles].settings.size < 20, location.toString)
    } finally context.hadoopConfiguration.unset("fs.exporter.test")
  }

  @Test def archivesOfTheApplication(): Unit = {
    // one that is added later reaches a local master only; those of a cluster have to be there from the start
    assumeTrue(context.isLocal)
    val zip = Files.createTempDirectory("archive").resolve("given.zip")
    Scratch.zip(Paths.get(TestModels.linear).getParent.resolve("linear"), zip)
    context.addArchive(s"${zip.toUri}#given-model")
    assertEquals(-3.25f, value("archive:given-model"))
    fails("no archive 'other' here", "--archives model.zip#other")(value("archive:other"))
  }

  @Test def archivesWithADirectoryInside(): Unit = {
    val outer = Files.createTempDirectory("outer")
    SavedModels.linear(outer.resolve("export").resolve("1"))
    assertEquals(-3.25f, value(outer.toString))
  }

  @Test def noModel(): Unit = {
    fails("no model at '/nowhere'", "the driver has no such path")(TensorFlowModel.load("/nowhere"))
    fails("found a, b; expected a model of the format", "saved-model")(TensorFlowModel.load(tree("a" -> "", "b" -> "").toString))
    fails("found an empty directory")(TensorFlowModel.load(Files.createTempDirectory("empty").toString))
  }

  @Test def aModelForANewerLibrary(): Unit = {
    val model = SavedModels.edit(SavedModels.linear(Files.createTempDirectory("newer").resolve("m")), meta => {
      val changed = meta.toBuilder
      changed.getGraphDefBuilder.addNode(NodeDef.newBuilder().setName("new").setOp("OpOfTomorrow"))
      changed.build()
    })
    fails("Op type not registered 'OpOfTomorrow'", "export it with TensorFlow") {
      TensorFlowModel.load(model.toString).transform(spark.sql("select array(float(1), float(2)) features"))
    }
  }

  @Test def filesThatChange(): Unit = {
    val model = Files.createTempDirectory("changing").resolve("m")
    SavedModels.linear(model)
    val before = TensorFlowModel.load(model.toString).transform(spark.sql("select array(float(1), float(2)) features"))
    val ref = Distribution.resolve(context, model.toString).ref
    Files.writeString(model.resolve("saved_model.pb"), "broken")
    if (context.isLocal) {
      fails(s"model '$model' at $model changed after distribution: expected sha256 ${ref.hash.take(12)}, found ", "start the query again") {
        assertEquals(ref.files(), model)
        before.collect()
      }
    } else {
      // executors have the files as they were sent
      assertEquals(-3.25f, before.head().getFloat(1))
    }
    // a new query takes the files as they are
    fails("saved_model.pb")(value(model.toString))
    Files.delete(model.resolve("saved_model.pb"))
    SavedModels.mlp(model, 2, 1)
    assertEquals(SavedModels.kernel(2, 1).map(_(0)).zip(Seq(1f, 2f)).map { case (k, x) => k * x }.sum, value(model.toString))
  }

  @Test def adviceForExecutors(): Unit = {
    def advice(mib: Long, settings: (String, String)*) = {
      val conf = new SparkConf(false).setMaster("spark://host")
      settings.foreach { case (key, value) => conf.set(key, value) }
      ExecutorSettings.advice(conf, local = false, mib << 20)
    }
    assertTrue(advice(100).get.contains("executors have 384 MiB beside the heap, and this model of 100 MiB needs about 1324; set --conf spark.executor.memoryOverhead=1324m"))
    assertEquals(None, advice(100, "spark.executor.memoryOverhead" -> "2g"))
    assertEquals(None, advice(100, "spark.executor.memory" -> "20g"))
    assertTrue(advice(1000, "spark.executor.memory" -> "20g").isDefined)
    assertEquals(None, ExecutorSettings.advice(new SparkConf(false), local = true, 1L << 40))
  }
}
