package exporter.tensorflow;

import static org.tensorflow.internal.c_api.global.tensorflow.TF_TString_GetDataPointer;
import static org.tensorflow.internal.c_api.global.tensorflow.TF_TString_GetSize;

import exporter.core.DType;
import exporter.core.TensorBuffer;
import java.nio.ByteBuffer;
import java.util.Objects;
import org.tensorflow.Tensor;
import org.tensorflow.internal.c_api.TF_TString;

/**
 * Strings on their way out, copied from TensorFlow's memory one by one when they are asked for. Not through the
 * bindings' own reader: of an empty string it copies what stands in memory up to the next zero byte.
 */
final class StringOutput implements TensorBuffer {
  private final long[] shape;
  private final int elements;
  private final TF_TString strings;

  /**
   * @param tensor of strings; stays the caller's, and has to outlive this view
   */
  StringOutput(Tensor tensor) {
    this.shape = tensor.shape().asArray();
    this.elements = Math.toIntExact(tensor.shape().size());
    this.strings = elements == 0 ? null : new TF_TString(Address.of(tensor));
  }

  @Override
  public DType dtype() {
    return DType.STRING;
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
    throw new UnsupportedOperationException("a tensor of strings has no bytes of its own");
  }

  @Override
  public long address() {
    throw new UnsupportedOperationException("a tensor of strings has no address");
  }

  @Override
  public byte[] string(int index) {
    Objects.checkIndex(index, elements);
    TF_TString string = strings.position(index);
    byte[] value = new byte[Math.toIntExact(TF_TString_GetSize(string))];
    if (value.length > 0) {
      TF_TString_GetDataPointer(string).get(value);
    }
    return value;
  }

  @Override
  public void string(int index, byte[] value) {
    throw new UnsupportedOperationException("an output cannot be written");
  }
}
