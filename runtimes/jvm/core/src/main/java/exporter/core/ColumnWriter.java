package exporter.core;

/**
 * Writes the rows of one input. Methods name the Java type; small and unsigned dtypes and the 16-bit floats are written
 * as their raw bits. Each checks that the column has that type.
 */
public final class ColumnWriter extends Column {
  ColumnWriter(String name, TensorBuffer buffer, int rows) {
    super(name, buffer, rows);
  }

  public void putBoolean(int row, int index, boolean value) {
    bytes().put(position(DType.BOOL, DType.BOOL, row, index), (byte) (value ? 1 : 0));
  }

  /** int8, or the bits of uint8. */
  public void putByte(int row, int index, byte value) {
    bytes().put(position(DType.INT8, DType.UINT8, row, index), value);
  }

  /** int16, or the bits of uint16. */
  public void putShort(int row, int index, short value) {
    bytes().putShort(position(DType.INT16, DType.UINT16, row, index), value);
  }

  /** The bits of a float16 or bfloat16. */
  public void putHalfBits(int row, int index, short bits) {
    bytes().putShort(position(DType.FLOAT16, DType.BFLOAT16, row, index), bits);
  }

  /** int32, or the bits of uint32. */
  public void putInt(int row, int index, int value) {
    bytes().putInt(position(DType.INT32, DType.UINT32, row, index), value);
  }

  /** int64, or the bits of uint64. */
  public void putLong(int row, int index, long value) {
    bytes().putLong(position(DType.INT64, DType.UINT64, row, index), value);
  }

  public void putFloat(int row, int index, float value) {
    bytes().putFloat(position(DType.FLOAT32, DType.FLOAT32, row, index), value);
  }

  public void putDouble(int row, int index, double value) {
    bytes().putDouble(position(DType.FLOAT64, DType.FLOAT64, row, index), value);
  }

  /** The bytes are not copied before the batch runs. */
  public void putString(int row, int index, byte[] value) {
    buffer().string(elementAt(row, index), value);
  }

  /** One whole row of float32, from {@code values[from]} on. */
  public void putFloats(int row, float[] values, int from) {
    bytesFrom(DType.FLOAT32, DType.FLOAT32, row).asFloatBuffer().put(values, from, rowElements());
  }

  public void putDoubles(int row, double[] values, int from) {
    bytesFrom(DType.FLOAT64, DType.FLOAT64, row).asDoubleBuffer().put(values, from, rowElements());
  }

  public void putInts(int row, int[] values, int from) {
    bytesFrom(DType.INT32, DType.UINT32, row).asIntBuffer().put(values, from, rowElements());
  }

  public void putLongs(int row, long[] values, int from) {
    bytesFrom(DType.INT64, DType.UINT64, row).asLongBuffer().put(values, from, rowElements());
  }

  public void putShorts(int row, short[] values, int from) {
    bytesFrom(DType.INT16, DType.UINT16, row).asShortBuffer().put(values, from, rowElements());
  }

  public void putBytes(int row, byte[] values, int from) {
    bytesFrom(DType.INT8, DType.UINT8, row).put(values, from, rowElements());
  }
}
