package exporter.core;

import java.util.Map;

/** An open artifact. Safe for use by many threads at once; each call belongs to one thread. */
public interface Model extends AutoCloseable {
  /** By key, without signatures that hold tensors no {@link DType} describes; {@link #signature} says why. */
  Map<String, Signature> signatures();

  /**
   * @throws ModelException there is no such signature
   * @throws Unsupported it is there, but holds tensors that no {@link DType} describes
   */
  default Signature signature(String key) {
    Signature found = signatures().get(key);
    if (found == null) {
      throw new ModelException(
          "no-signature", "no signature '" + key + "', found " + String.join(", ", signatures().keySet()));
    }
    return found;
  }

  /**
   * Allocates the inputs of one run; their contents are undefined until they are filled.
   *
   * @param signature a key of {@link #signatures()}
   * @param shapes the shape of every input, by name
   * @throws ModelException there is no such signature, an input is missing, unknown, or has another shape
   * @throws Unsupported the signature holds tensors that this runtime cannot carry
   */
  Call newCall(String signature, Map<String, long[]> shapes);

  /** Releases native memory. No call may be open. */
  @Override
  void close();
}
