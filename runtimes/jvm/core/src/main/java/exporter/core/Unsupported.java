package exporter.core;

/** The runtime cannot carry this model or these tensors; the message is the reason. Not a failure. */
public final class Unsupported extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public Unsupported(String reason) {
    super(reason);
  }
}
