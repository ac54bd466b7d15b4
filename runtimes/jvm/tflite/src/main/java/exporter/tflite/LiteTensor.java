package exporter.tflite;

import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import exporter.core.DType;
import exporter.core.Shapes;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** A numeric tensor in the interpreter's own memory, filled and read in place. */
final class LiteTensor implements TensorBuffer {
  private final DType dtype;
  private final long[] shape;
  private final long elements;
  private final Pointer data;

  /**
   * @param tensor one whose memory is allocated, and stays so while this is used
   */
  LiteTensor(Pointer tensor) {
    this.dtype = LiteTypes.dtype(TfLite.TfLiteTensorType(tensor));
    this.shape = shape(tensor);
    this.elements = Shapes.elements(shape);
    this.data = elements == 0 ? null : TfLite.TfLiteTensorData(tensor);
    if (elements > 0 && (data == null || TfLite.TfLiteTensorByteSize(tensor) != elements * dtype.size())) {
      throw new IllegalStateException(
          TensorSpec.describe(dtype, shape) + " has " + TfLite.TfLiteTensorByteSize(tensor) + " bytes of memory");
    }
  }

  /** The actual shape of a tensor. */
  static long[] shape(Pointer tensor) {
    long[] dims = new long[TfLite.TfLiteTensorNumDims(tensor)];
    for (int i = 0; i < dims.length; i++) {
      dims[i] = TfLite.TfLiteTensorDim(tensor, i);
    }
    return dims;
  }

  /**
   * What the file says about a tensor, before anything is resized.
   *
   * @throws Unsupported a type that no {@link DType} describes
   */
  static TensorSpec spec(String name, Pointer tensor) {
    int type = TfLite.TfLiteTensorType(tensor);
    DType dtype = LiteTypes.dtype(type);
    if (dtype == null) {
      String label = TfLite.TfLiteTypeGetName(type).getString(0, StandardCharsets.UTF_8.name());
      throw new Unsupported("'" + name + "' is " + label + ", a type no tensor file can hold");
    }
    long[] dims = shape(tensor);
    IntByReference value = new IntByReference();
    TfLite.TfLiteOpaqueTensorGetNumDimsSignature(tensor, value);
    if (value.getValue() == dims.length) {
      for (int i = 0; i < dims.length; i++) {
        TfLite.TfLiteOpaqueTensorGetDimSignature(tensor, i, value);
        dims[i] = Math.max(value.getValue(), TensorSpec.DYNAMIC);
      }
    }
    return new TensorSpec(name, dtype, dims);
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
    ByteBuffer view = size == 0 ? ByteBuffer.allocateDirect(0) : data.getByteBuffer(0, size);
    return view.order(ByteOrder.nativeOrder());
  }

  @Override
  public long address() {
    return elements == 0 ? 0 : Pointer.nativeValue(data);
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
