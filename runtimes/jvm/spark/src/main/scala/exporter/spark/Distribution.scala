package exporter.spark

import java.io.IOException
import java.nio.file.{Files, InvalidPathException, Path, Paths}
import java.util.Map.{Entry => JavaEntry}
import java.util.concurrent.ConcurrentHashMap

import exporter.core.ModelException
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path => HadoopPath}
import org.apache.spark.SparkContext

/**
 * Makes the files of a model reachable for every executor of an application, once per contents.
 *
 * A local path is used in place where executors live in this JVM, and is else served by the driver as an archive named
 * by its hash. The others are where executors find them already.
 */
private[spark] object Distribution {

  /**
   * @param ref what executors get
   * @param files here, on the driver
   */
  final case class Resolved(ref: ModelRef, files: Path)

  private final case class Known(stamp: String, resolved: Resolved)

  // SQL resolves a model for every call in a query: what is known is only looked at again when the files changed
  private val known = new ConcurrentHashMap[(String, String), Known]
  private val served = new Once[(String, String), String]

  private val Uri = "([A-Za-z][A-Za-z0-9+.-]*)://?.*".r

  /**
   * @param source a local path, a URI of a Hadoop file system, or `archive:NAME`
   * @throws ModelException there is nothing
   */
  def resolve(context: SparkContext, source: String): Resolved = source match {
    case archive if archive.startsWith("archive:") =>
      val location = ArchiveFiles(archive.stripPrefix("archive:"))
      val files = location.files()
      once(context, source, Fingerprint.stamp(files))(refer(source, files, _ => location))
    case Uri(_) => hadoop(context, new HadoopPath(source)).getOrElse(throw missing(source, "the file system has no such path"))
    case path =>
      local(path) match {
        case Some(found) =>
          val files = Engines.artifactIn(found)
          once(context, files.toString, Fingerprint.stamp(files))(fromDriver(context, source, files))
        case None =>
          // a path without a scheme may be one of the default file system
          hadoop(context, new HadoopPath(path)).getOrElse(
            throw missing(source, s"the driver has no such path, and neither has ${FileSystem.getDefaultUri(context.hadoopConfiguration)}"))
      }
  }

  private def missing(source: String, why: String): ModelException =
    new ModelException("no-model", s"no model at '$source': $why; give a path, a URI such as hdfs://..., or archive:NAME")

  private def local(path: String): Option[Path] =
    try Some(Paths.get(path).toAbsolutePath.normalize).filter(Files.exists(_))
    catch { case _: InvalidPathException => None }

  private def once(context: SparkContext, source: String, stamp: String)(resolve: => Resolved): Resolved = {
    val key = (context.applicationId, source)
    val before = known.get(key)
    if (before != null && before.stamp == stamp) {
      before.resolved
    } else {
      val resolved = resolve
      known.put(key, Known(stamp, resolved))
      resolved
    }
  }

  private def refer(name: String, files: Path, location: String => ModelLocation): Resolved = {
    val hash = Fingerprint.hash(files)
    Resolved(ModelRef(name, hash, Fingerprint.size(files), location(hash)), files)
  }

  private def fromDriver(context: SparkContext, source: String, files: Path): Resolved =
    refer(source, files, hash => if (context.isLocal) LocalFiles(files.toString) else ServedFiles(serve(context, files, hash)))

  private def serve(context: SparkContext, files: Path, hash: String): String =
    served.get((context.applicationId, hash)) {
      val archive = s"${files.getFileName.toString.replaceAll("[^A-Za-z0-9._-]", "_")}-${ModelRef.short(hash)}.zip"
      val zip = Scratch.directory("archive").resolve(archive)
      Scratch.zip(files, zip)
      DriverFiles.serve(zip.toFile)
    }

  private def hadoop(context: SparkContext, path: HadoopPath): Option[Resolved] =
    try {
      val files = path.getFileSystem(context.hadoopConfiguration)
      if (!files.exists(path)) {
        None
      } else {
        val qualified = files.makeQualified(path)
        val stamp = listing(files, qualified)
        Some(once(context, qualified.toString, stamp) {
          val location = HadoopFiles(qualified.toString, Integer.toHexString(stamp.hashCode), settings(context))
          refer(qualified.toString, location.files(), _ => location)
        })
      }
    } catch {
      case e: IOException => throw missing(path.toString, e.toString)
    }

  private def listing(files: FileSystem, path: HadoopPath): String = {
    val entries = Seq.newBuilder[String]
    val all = files.listFiles(path, true)
    while (all.hasNext) {
      val file = all.next()
      entries += s"${file.getPath} ${file.getLen} ${file.getModificationTime}"
    }
    entries.result().sorted.mkString("\n")
  }

  /** What was set for file systems in the driver's program, which executors would not know. */
  private def settings(context: SparkContext): Map[String, String] = {
    val files = new Configuration()
    Java
      .seq[JavaEntry[String, String]](context.hadoopConfiguration)
      .filter(entry => entry.getKey.startsWith("fs.") && entry.getValue != files.getRaw(entry.getKey))
      .map(entry => entry.getKey -> entry.getValue)
      .toMap
  }
}
