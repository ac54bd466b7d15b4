package exporter.onnxruntime;

import com.sun.jna.Native;
import com.sun.jna.Pointer;
import exporter.core.DType;
import exporter.core.TensorBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A numeric tensor in a direct buffer; ONNX Runtime reads inputs in place. */
final class DirectTensor implements TensorBuffer {
  private final DType dtype;
  private final long[] shape;
  private final long elements;
  private final ByteBuffer memory;

  /**
   * @param memory direct, of exactly this tensor's size
   */
  DirectTensor(DType dtype, long[] shape, long elements, ByteBuffer memory) {
    this.dtype = dtype;
    this.shape = shape.clone();
    this.elements = elements;
    this.memory = memory;
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
    return memory.duplicate().order(ByteOrder.nativeOrder());
  }

  @Override
  public long address() {
    return elements == 0 ? 0 : Pointer.nativeValue(Native.getDirectBufferPointer(memory));
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
