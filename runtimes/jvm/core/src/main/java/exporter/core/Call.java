package exporter.core;

/**
 * One run of one signature: fill the inputs, run once, read the outputs, close. Belongs to one thread.
 *
 * <p>Buffers are valid until the call is closed.
 */
public interface Call extends AutoCloseable {
  /**
   * The memory of an input, to be filled before {@link #run}.
   *
   * @throws ModelException the signature has no such input
   */
  TensorBuffer input(String name);

  /**
   * @throws ModelException the library reports an error
   * @throws IllegalStateException the call has run already
   */
  void run();

  /**
   * @throws ModelException the signature has no such output
   * @throws IllegalStateException the call has not run
   */
  TensorBuffer output(String name);

  /** Releases the tensors; safe to call twice. */
  @Override
  void close();
}
