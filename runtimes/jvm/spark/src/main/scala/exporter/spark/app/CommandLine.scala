package exporter.spark.app

/** The command line cannot be understood: exit status 2. */
private[app] final class UsageException(message: String) extends RuntimeException(message)

/**
 * One option of the command line.
 *
 * @param value what its value is called in the help; empty: it takes none
 */
private[app] final case class Flag(
    name: String,
    value: String,
    help: String,
    repeats: Boolean = false,
    required: Boolean = false)

/** Reads `--name value`, `--name=value` and `--name` by a table of what there is. */
private[app] final class CommandLine private (values: Map[String, Seq[String]]) {

  def has(name: String): Boolean = values.contains(name)

  def get(name: String): Option[String] = values.get(name).flatMap(_.lastOption)

  def all(name: String): Seq[String] = values.getOrElse(name, Nil)

  /** A `key=value` per use, in order. Throws [[UsageException]]. */
  def pairs(name: String): Seq[(String, String)] = all(name).map { text =>
    text.split("=", 2) match {
      case Array(key, value) if key.nonEmpty && value.nonEmpty => key.trim -> value
      case _ => throw new UsageException(s"--$name $text: expected two names around '=', such as --$name key=value")
    }
  }
}

private[app] object CommandLine {

  /**
   * @throws UsageException an option that is unknown, lacks its value, is given twice or is missing
   */
  def parse(flags: Seq[Flag], words: Seq[String]): CommandLine = {
    def read(rest: List[String], found: Map[String, Seq[String]]): Map[String, Seq[String]] = rest match {
      case Nil => found
      case word :: tail if word.startsWith("--") =>
        val (name, inline) = word.drop(2).split("=", 2) match {
          case Array(name, value) => (name, Some(value))
          case Array(name) => (name, None)
        }
        val flag = flags.find(_.name == name).getOrElse(throw unknown(flags, name))
        if (found.contains(name) && !flag.repeats) {
          throw new UsageException(s"--$name is given twice; give it once")
        }
        def add(value: String): Map[String, Seq[String]] =
          found.updated(name, found.getOrElse(name, Vector.empty) :+ value)
        (flag.value, inline, tail) match {
          case ("", None, _) => read(tail, add(""))
          case ("", Some(_), _) => throw new UsageException(s"--$name takes no value")
          case (_, Some(value), _) if value.nonEmpty => read(tail, add(value))
          case (_, None, value :: after) if value.nonEmpty && !value.startsWith("--") => read(after, add(value))
          case _ => throw new UsageException(s"--$name needs a value: --$name ${flag.value}")
        }
      case word :: _ => throw new UsageException(s"found '$word', expected an option; quote values that hold spaces")
    }
    new CommandLine(read(words.toList, Map.empty))
  }

  /** Throws [[UsageException]] when one that is required is not there. */
  def demand(flags: Seq[Flag], line: CommandLine): Unit = {
    val missing = flags.filter(flag => flag.required && !line.has(flag.name))
    if (missing.nonEmpty) {
      throw new UsageException(s"missing ${missing.map(flag => s"--${flag.name} ${flag.value}").mkString(", ")}")
    }
  }

  private def unknown(flags: Seq[Flag], name: String): UsageException = {
    val near = flags.map(_.name).filter(known => known.startsWith(name) || distance(known, name) <= 2)
    val hint =
      if (near.isEmpty) "--help lists what there is"
      else near.map("--" + _).mkString("did you mean ", " or ", "?")
    new UsageException(s"unknown option --$name; $hint")
  }

  /** Letters to change, add or drop between two words (Levenshtein). */
  private[app] def distance(a: String, b: String): Int =
    a.foldLeft((0 to b.length).toVector) { (row, letter) =>
      b.indices.foldLeft(Vector(row.head + 1)) { (next, i) =>
        next :+ math.min(math.min(next.last, row(i + 1)) + 1, row(i) + (if (b(i) == letter) 0 else 1))
      }
    }.last

  /** The options as a table of two columns. */
  def help(flags: Seq[Flag]): String = {
    val left = flags.map(flag => s"  --${flag.name} ${flag.value}".stripTrailing)
    val width = left.map(_.length).max + 2
    left.zip(flags).map { case (text, flag) => text.padTo(width, ' ') + flag.help }.mkString("\n")
  }
}
