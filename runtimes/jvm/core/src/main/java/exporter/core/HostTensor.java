package exporter.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Objects;

/**
 * A tensor in the JVM's own memory, as files hold it: little-endian bytes in C order, or byte strings. The dtype and
 * the shape never change; the elements are shared with whoever gave them.
 */
public final class HostTensor implements TensorBuffer {
  private final DType dtype;
  private final long[] shape;
  private final ByteBuffer bytes;
  private final byte[][] strings;

  private HostTensor(DType dtype, long[] shape, ByteBuffer bytes, byte[][] strings) {
    this.dtype = dtype;
    this.shape = shape.clone();
    this.bytes = bytes;
    this.strings = strings;
  }

  /**
   * A numeric tensor.
   *
   * @param bytes from position to limit; direct or on the heap, not copied
   * @throws IllegalArgumentException strings, or as many bytes as the shape does not take
   */
  public static HostTensor of(DType dtype, long[] shape, ByteBuffer bytes) {
    if (dtype == DType.STRING) {
      throw new IllegalArgumentException("strings are given as strings, not as bytes");
    }
    long expected = Math.multiplyExact(Shapes.elements(shape), (long) dtype.size());
    if (bytes.remaining() != expected) {
      throw new IllegalArgumentException(
          TensorSpec.describe(dtype, shape) + " takes " + expected + " bytes, found " + bytes.remaining());
    }
    return new HostTensor(dtype, shape, bytes.slice(), null);
  }

  /**
   * @param values in C order, not copied
   * @throws IllegalArgumentException as many strings as the shape does not take
   */
  public static HostTensor ofStrings(long[] shape, byte[]... values) {
    if (values.length != Shapes.elements(shape)) {
      throw new IllegalArgumentException(
          TensorSpec.describe(DType.STRING, shape) + " takes " + Shapes.elements(shape) + " strings, found "
              + values.length);
    }
    return new HostTensor(DType.STRING, shape, null, values);
  }

  /**
   * Zeros in direct memory, or empty strings.
   *
   * @throws ArithmeticException more than 2 GiB
   */
  public static HostTensor zeros(DType dtype, long... shape) {
    int elements = Math.toIntExact(Shapes.elements(shape));
    if (dtype == DType.STRING) {
      byte[][] values = new byte[elements][];
      Arrays.fill(values, new byte[0]);
      return ofStrings(shape, values);
    }
    return of(dtype, shape, ByteBuffer.allocateDirect(Math.multiplyExact(elements, dtype.size())));
  }

  @Override
  public DType dtype() {
    return dtype;
  }

  @Override
  public long[] shape() {
    return shape.clone();
  }

  @Override
  public long elements() {
    return Shapes.elements(shape);
  }

  @Override
  public ByteBuffer bytes() {
    if (bytes == null) {
      throw new UnsupportedOperationException("a tensor of strings has no bytes of its own");
    }
    return bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public long address() {
    throw new UnsupportedOperationException("the JVM does not tell the address of its own memory");
  }

  @Override
  public byte[] string(int index) {
    return strings()[index];
  }

  @Override
  public void string(int index, byte[] value) {
    strings()[index] = Objects.requireNonNull(value);
  }

  private byte[][] strings() {
    if (strings == null) {
      throw new UnsupportedOperationException("a tensor of " + dtype + " holds no strings");
    }
    return strings;
  }

  @Override
  public String toString() {
    return TensorSpec.describe(dtype, shape);
  }
}
