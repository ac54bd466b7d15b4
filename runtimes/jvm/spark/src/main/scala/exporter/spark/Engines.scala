package exporter.spark

import java.nio.file.{Files, Path}
import java.util.ServiceLoader

import exporter.core.{Engine, ModelException}

/** The engines on the class path, and which of them opens an artifact. */
private[spark] object Engines {

  // the loader of this class sees what --jars brings; that of the thread does not always
  private lazy val all: Seq[Engine] =
    Java.seq[Engine](ServiceLoader.load(classOf[Engine], classOf[Engine].getClassLoader))

  /**
   * @throws ModelException no engine here opens it
   */
  def of(artifact: Path): Engine = find(artifact).getOrElse(throw unknown(artifact))

  private def unknown(path: Path) = {
    // what exporter convert writes has the model inside
    val inside = Seq("artifacts/saved-model/model", "saved-model/model", "model").map(path.resolve).find(find(_).isDefined)
    val advice = inside.fold(s"expected $expected")(at => s"give $at")
    new ModelException("no-engine", s"no model at $path: found ${contents(path)}; $advice")
  }

  /**
   * The model at a path: what is there, or the only thing in it, as archives have it.
   *
   * @throws ModelException there is none that an engine here opens
   */
  def artifactIn(path: Path): Path = {
    def search(at: Path): Option[Path] =
      if (find(at).isDefined) Some(at)
      else visible(at) match {
        case Seq(only) => search(only)
        case _ => None
      }
    search(path).getOrElse(throw unknown(path))
  }

  private def find(artifact: Path): Option[Engine] = all.find(_.accepts(artifact))

  private def visible(path: Path): Seq[Path] =
    if (!Files.isDirectory(path)) Nil
    else Java.seq[Path](Files.list(path)).filterNot(_.getFileName.toString.startsWith(".")).sortBy(_.toString)

  private def contents(path: Path): String =
    if (Files.isRegularFile(path)) s"a file of ${Files.size(path)} bytes"
    else visible(path).map(_.getFileName.toString) match {
      case Nil => "an empty directory"
      case names => names.take(10).mkString(", ") + (if (names.size > 10) ", ..." else "")
    }

  private def expected: String =
    all.map(engine => s"${engine.format} (for ${engine.name})").mkString(" or ") match {
      case "" => "an engine on the class path, such as the jar exporter-tensorflow; there is none"
      case formats => s"a model of the format $formats"
    }
}
