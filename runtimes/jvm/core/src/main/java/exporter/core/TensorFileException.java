package exporter.core;

import java.io.IOException;

/** A file is not a readable safetensors file, or a tensor cannot be stored in one. */
public final class TensorFileException extends IOException {
  private static final long serialVersionUID = 1L;

  public TensorFileException(String message) {
    super(message);
  }
}
