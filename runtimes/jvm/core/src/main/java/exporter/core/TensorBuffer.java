package exporter.core;

import java.nio.ByteBuffer;

/** The memory of one tensor in C order and native byte order. Numeric tensors have bytes, string tensors strings. */
public interface TensorBuffer {
  DType dtype();

  long[] shape();

  /** Number of elements. */
  long elements();

  /**
   * A view of the whole tensor in native byte order, from position 0 to its size; of an engine's tensor it is direct.
   *
   * @throws UnsupportedOperationException a string tensor, or one of more than 2 GiB
   */
  ByteBuffer bytes();

  /**
   * Address of the first byte, for bulk copies without a ByteBuffer; 0 for an empty tensor.
   *
   * @throws UnsupportedOperationException a string tensor, or a {@link HostTensor}
   */
  long address();

  /**
   * Element {@code index} in C order of a string tensor.
   *
   * @throws UnsupportedOperationException a numeric tensor
   */
  byte[] string(int index);

  /**
   * Sets element {@code index} in C order of a string input; the bytes are not copied before the call runs.
   *
   * @throws UnsupportedOperationException a numeric tensor, or an output
   */
  void string(int index, byte[] value);
}
