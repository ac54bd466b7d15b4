package exporter.tensorflow;

import exporter.core.DType;
import exporter.core.TensorBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;
import org.tensorflow.Tensor;

/** A numeric tensor in TensorFlow's own memory, filled and read in place. */
final class NativeTensor implements TensorBuffer {
  private final DType dtype;
  private final long[] shape;
  private final long elements;
  private final long address;

  /**
   * @param tensor stays the caller's, and has to outlive this view
   */
  NativeTensor(Tensor tensor) {
    this.dtype = TensorTypes.dtype(tensor.dataType());
    this.shape = tensor.shape().asArray();
    this.elements = tensor.shape().size();
    this.address = elements == 0 ? 0 : Address.of(tensor).address();
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
    return elements;
  }

  @Override
  public ByteBuffer bytes() {
    long size = elements * dtype.size();
    if (size > Integer.MAX_VALUE) {
      throw new UnsupportedOperationException(
          "a tensor of " + size + " bytes does not fit into one ByteBuffer; use its address");
    }
    if (size == 0) {
      return ByteBuffer.allocateDirect(0).order(ByteOrder.nativeOrder());
    }
    return new BytePointer(new Address(address)).capacity(size).asByteBuffer();
  }

  @Override
  public long address() {
    return address;
  }

  @Override
  public byte[] string(int index) {
    throw new UnsupportedOperationException("a tensor of " + dtype + " holds no strings");
  }

  @Override
  public void string(int index, byte[] value) {
    throw new UnsupportedOperationException("a tensor of " + dtype + " takes no strings");
  }
}
