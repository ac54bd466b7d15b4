package exporter.core;

import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/**
 * A library that runs models of one format, found with {@link java.util.ServiceLoader}.
 *
 * <p>Engines keep no state of their own: everything that needs closing belongs to a {@link Model}.
 */
public interface Engine {
  /** The name of the runtime, such as {@code tensorflow-java}. */
  String name();

  /** The format of the artifacts it opens, such as {@code saved-model}. */
  String format();

  /** True when the file or directory looks like an artifact of this engine's format. Reads no more than its names. */
  boolean accepts(Path artifact);

  /** Versions of the libraries inside, by name. Loads native code. */
  Map<String, String> versions();

  /** The element types that can be fed and read bit for bit. */
  Set<DType> dtypes();

  /**
   * Opens an artifact.
   *
   * @throws Unsupported the artifact needs what this engine lacks
   * @throws ModelException it is missing, broken, or made for a newer library
   */
  Model load(Path artifact, EngineOptions options);

  /**
   * The signatures of an artifact, as {@link Model#signatures}. Engines that can read them from the file alone do so,
   * without native code.
   *
   * @throws Unsupported as {@link #load}
   * @throws ModelException as {@link #load}
   */
  default Map<String, Signature> signatures(Path artifact, EngineOptions options) {
    try (Model model = load(artifact, options)) {
      return model.signatures();
    }
  }
}
