package exporter.tensorflow;

import static org.tensorflow.internal.c_api.global.tensorflow.TF_TString_Copy;

import exporter.core.DType;
import exporter.core.ModelException;
import exporter.core.TensorBuffer;
import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.tensorflow.Tensor;
import org.tensorflow.internal.c_api.TF_TString;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.types.TString;

/** Strings on their way in: collected on the Java heap, and made into a tensor when the call runs. */
final class StringInput implements TensorBuffer {
  private final String name;
  private final long[] shape;
  private final byte[][] values;

  StringInput(String name, long[] shape, int elements) {
    this.name = name;
    this.shape = shape.clone();
    this.values = new byte[elements][];
  }

  /**
   * @return a tensor for the caller to close
   * @throws ModelException a string was never set
   */
  Tensor toTensor() {
    int longest = 0;
    for (int i = 0; i < values.length; i++) {
      if (values[i] == null) {
        throw new ModelException(
            "no-value",
            "input '" + name + "': string " + i + " of " + values.length + " was not set; fill every element");
      }
      longest = Math.max(longest, values[i].length);
    }
    long size = (long) values.length * Loader.sizeof(TF_TString.class);
    int scratch = Math.max(1, longest);
    return Tensor.of(TString.class, Shape.of(shape), size, tensor -> fill(tensor, scratch));
  }

  /** Copies through one native buffer; the bindings' own way allocates one for each string. */
  private void fill(TString tensor, long scratchSize) {
    if (values.length == 0) {
      return;
    }
    TF_TString slot = new TF_TString(Address.of(tensor));
    try (BytePointer scratch = new BytePointer(scratchSize)) {
      for (int i = 0; i < values.length; i++) {
        scratch.put(values[i], 0, values[i].length);
        TF_TString_Copy(slot.position(i), scratch, values[i].length);
      }
    }
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
    return values.length;
  }

  @Override
  public ByteBuffer bytes() {
    throw new UnsupportedOperationException("input '" + name + "' holds strings");
  }

  @Override
  public long address() {
    throw new UnsupportedOperationException("input '" + name + "' holds strings");
  }

  @Override
  public byte[] string(int index) {
    return values[index];
  }

  @Override
  public void string(int index, byte[] value) {
    values[index] = value;
  }
}
