package exporter.tflite;

import java.nio.file.Files;
import java.nio.file.Path;

/** The artifacts that the tests of every language share ({@code tests/vectors}). */
final class Vectors {
  private Vectors() {}

  /**
   * @throws AssertionError the sources stand alone, without the repository around them
   */
  static Path file(String path) {
    for (Path up = Path.of("").toAbsolutePath(); up != null; up = up.getParent()) {
      Path found = up.resolve("tests/vectors").resolve(path);
      if (Files.exists(found)) {
        return found;
      }
    }
    throw new AssertionError("no tests/vectors/" + path + " above " + Path.of("").toAbsolutePath());
  }
}
