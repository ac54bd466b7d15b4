package exporter.spark

import java.nio.ByteBuffer
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{FileVisitOption, Files, Path}
import java.security.MessageDigest

/** The files of a model, a single file or a directory, and what identifies their contents. */
private[spark] object Fingerprint {

  /** A file of a model: its name below the model with `/` between directories, and where it is. */
  final case class Entry(name: String, file: Path)

  /** All files, sorted by name. Hidden ones are left out: file systems put checksums of their own beside the files. */
  def entries(model: Path): Seq[Entry] =
    if (Files.isRegularFile(model)) {
      Seq(Entry(model.getFileName.toString, model))
    } else {
      Java.seq[Path](Files.walk(model, FileVisitOption.FOLLOW_LINKS))
        .filter(file => Files.isRegularFile(file) && !file.getFileName.toString.startsWith("."))
        .map(file => Entry(Java.seq[Path](model.relativize(file)).mkString("/"), file))
        .sortBy(_.name)
    }

  /** sha256 over names, sizes and bytes, in hexadecimal. */
  def hash(model: Path): String = {
    val digest = MessageDigest.getInstance("SHA-256")
    val buffer = new Array[Byte](1 << 16)
    entries(model).foreach { entry =>
      val name = entry.name.getBytes(UTF_8)
      digest.update(ByteBuffer.allocate(12).putInt(name.length).putLong(Files.size(entry.file)).array)
      digest.update(name)
      val in = Files.newInputStream(entry.file)
      try Iterator.continually(in.read(buffer)).takeWhile(_ >= 0).foreach(digest.update(buffer, 0, _))
      finally in.close()
    }
    digest.digest().map(byte => f"${byte & 0xff}%02x").mkString
  }

  /** Changes when a file is replaced, without reading any. */
  def stamp(model: Path): String =
    entries(model)
      .map(e => s"${e.name} ${Files.size(e.file)} ${Files.getLastModifiedTime(e.file).toMillis}")
      .mkString("\n")

  /** Bytes of all files. */
  def size(model: Path): Long = entries(model).map(entry => Files.size(entry.file)).sum
}
