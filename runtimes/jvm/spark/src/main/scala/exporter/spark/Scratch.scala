package exporter.spark

import java.io.{IOException, InputStream}
import java.nio.file.{Files, Path}
import java.time.LocalDateTime
import java.util.zip.{ZipEntry, ZipInputStream, ZipOutputStream}

/** Temporary files of this JVM: copies and archives of models. They are deleted when it ends. */
private[spark] object Scratch {
  private lazy val root: Path = {
    val directory = Files.createTempDirectory("exporter-models-")
    Runtime.getRuntime.addShutdownHook(new Thread(() => delete(directory), "exporter-scratch"))
    directory
  }

  // the oldest date that a zip file can hold: an archive of the same files is the same bytes
  private val NoTime = LocalDateTime.of(1980, 1, 1, 0, 0)

  /** A new empty directory. */
  def directory(name: String): Path = Files.createTempDirectory(root, name + "-")

  /** Writes all files of a model to a zip file whose bytes depend on names and contents only. */
  def zip(model: Path, archive: Path): Unit = {
    val out = new ZipOutputStream(Files.newOutputStream(archive))
    try {
      Fingerprint.entries(model).foreach { entry =>
        val header = new ZipEntry(entry.name)
        header.setTimeLocal(NoTime)
        out.putNextEntry(header)
        Files.copy(entry.file, out)
        out.closeEntry()
      }
    } finally out.close()
  }

  /** Writes the files of a zip file that [[zip]] made to an empty directory. Closes the stream. */
  def unzip(archive: InputStream, directory: Path): Unit = {
    val in = new ZipInputStream(archive)
    try {
      Iterator.continually(in.getNextEntry).takeWhile(_ != null).foreach { entry =>
        val file = directory.resolve(entry.getName).normalize
        if (!file.startsWith(directory)) {
          throw new IOException(s"the archive names ${entry.getName}, which is outside of it")
        }
        Files.createDirectories(file.getParent)
        Files.copy(in, file)
      }
    } finally in.close()
  }

  private def delete(directory: Path): Unit =
    try {
      Java.seq[Path](Files.walk(directory)).reverse.foreach(file => Files.deleteIfExists(file))
    } catch {
      case _: IOException => // the JVM is ending; whatever is left is in the temporary directory
    }
}
