package exporter.core;

/** A model cannot be loaded or run. The code is short and stable; the message says what was found and what to do. */
public final class ModelException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String code;

  public ModelException(String code, String message) {
    this(code, message, null);
  }

  public ModelException(String code, String message, Throwable cause) {
    super(message, cause);
    this.code = code;
  }

  /** A short stable word for the kind of failure, such as {@code no-signature}. */
  public String code() {
    return code;
  }
}
