package exporter.spark

import java.io.IOException
import java.nio.file.{Files, Path, Paths}

import exporter.core.ModelException
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path => HadoopPath}
import org.apache.spark.{SparkEnv, SparkFiles}

/**
 * Names a model in every JVM of an application: what it contains, and where a JVM finds the files. It holds no files
 * itself, so it is small and serializes into any task. [[ModelCatalog]] makes it, on the driver.
 *
 * @param name for messages: what the user called it
 * @param hash of the contents, see [[Fingerprint.hash]]
 * @param bytes of all files
 */
final case class ModelRef private[spark] (name: String, hash: String, bytes: Long, location: ModelLocation) {

  /**
   * The files in this JVM, brought here if need be.
   *
   * @throws ModelException they are not there, or are not the ones that the reference was made for
   */
  private[spark] def files(): Path = {
    val path = location.files()
    val found = Fingerprint.hash(path)
    if (found != hash) {
      throw new ModelException(
        "changed",
        s"model '$name' at $path changed after distribution: expected sha256 ${ModelRef.short(hash)}, found " +
          s"${ModelRef.short(found)}; start the query again to use the files as they are now")
    }
    path
  }
}

object ModelRef {
  private[spark] def short(hash: String): String = hash.take(12)
}

/** Where the files of a model are for a JVM of the application. */
sealed trait ModelLocation extends Serializable {
  private[spark] def files(): Path
}

/** On the file system of the driver; used where the executors are in the same JVM. */
final case class LocalFiles(path: String) extends ModelLocation {
  private[spark] def files(): Path = {
    val found = Paths.get(path)
    if (!Files.exists(found)) {
      throw new ModelException("no-model", s"no model at $path; it was there when the query was made")
    }
    found
  }
}

/**
 * In a zip file that the driver serves; every JVM fetches it once.
 *
 * @param address see [[DriverFiles]]
 */
final case class ServedFiles(address: String) extends ModelLocation {
  private[spark] def files(): Path = ServedFiles.copies.get(address) {
    val target = Scratch.directory("model")
    try Scratch.unzip(DriverFiles.open(address), target)
    catch {
      case e: IOException =>
        throw new ModelException("no-model", s"cannot fetch the model from the driver at $address: ${e.getMessage}", e)
    }
    Engines.artifactIn(target)
  }
}

private object ServedFiles {
  private val copies = new Once[String, Path]
}

/** In an archive that the application was started with: Spark unpacks it for every executor. */
final case class ArchiveFiles(archive: String) extends ModelLocation {
  private[spark] def files(): Path = {
    // YARN unpacks beside the working directory of a container
    val places = Seq(Paths.get(SparkFiles.get(archive)), Paths.get(archive).toAbsolutePath)
    val found = places.find(Files.isDirectory(_)).getOrElse {
      throw new ModelException(
        "no-model",
        s"no archive '$archive' here, looked for ${places.mkString(" and ")}; give it as --archives " +
          s"model.zip#$archive, or give the path of the model instead of the name of an archive")
    }
    Engines.artifactIn(found)
  }
}

/**
 * On a file system that Hadoop reads: TensorFlow cannot, so every JVM copies the files once.
 *
 * @param version changes when the files do
 * @param settings of the file system that the driver has and the configuration files have not
 */
final case class HadoopFiles(uri: String, version: String, settings: Map[String, String]) extends ModelLocation {
  private[spark] def files(): Path = HadoopFiles.copies.get(this)(HadoopFiles.copy(this))
}

object HadoopFiles {
  private val copies = new Once[HadoopFiles, Path]

  private def copy(from: HadoopFiles): Path = {
    val configuration = new Configuration()
    Option(SparkEnv.get).foreach { env =>
      env.conf.getAllWithPrefix("spark.hadoop.").foreach { case (key, value) => configuration.set(key, value) }
    }
    from.settings.foreach { case (key, value) => configuration.set(key, value) }
    val source = new HadoopPath(from.uri)
    val target = Scratch.directory("copy").resolve(source.getName)
    try {
      // the raw local file system writes no checksum files
      FileSystem.get(source.toUri, configuration).copyToLocalFile(false, source, new HadoopPath(target.toUri), true)
    } catch {
      case e: IOException => throw new ModelException("no-model", s"cannot copy the model ${from.uri}: $e", e)
    }
    Engines.artifactIn(target)
  }
}
