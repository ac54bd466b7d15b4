package exporter.core;

/**
 * Reads the rows of one output. Methods name the Java type; small and unsigned dtypes and the 16-bit floats are read as
 * their raw bits. Each checks that the column has that type. Valid until the batch is closed.
 */
public final class ColumnReader extends Column {
  ColumnReader(String name, TensorBuffer buffer, int rows) {
    super(name, buffer, rows);
  }

  public boolean getBoolean(int row, int index) {
    return bytes().get(position(DType.BOOL, DType.BOOL, row, index)) != 0;
  }

  /** int8, or the bits of uint8. */
  public byte getByte(int row, int index) {
    return bytes().get(position(DType.INT8, DType.UINT8, row, index));
  }

  /** int16, or the bits of uint16. */
  public short getShort(int row, int index) {
    return bytes().getShort(position(DType.INT16, DType.UINT16, row, index));
  }

  /** The bits of a float16 or bfloat16. */
  public short getHalfBits(int row, int index) {
    return bytes().getShort(position(DType.FLOAT16, DType.BFLOAT16, row, index));
  }

  /** int32, or the bits of uint32. */
  public int getInt(int row, int index) {
    return bytes().getInt(position(DType.INT32, DType.UINT32, row, index));
  }

  /** int64, or the bits of uint64. */
  public long getLong(int row, int index) {
    return bytes().getLong(position(DType.INT64, DType.UINT64, row, index));
  }

  public float getFloat(int row, int index) {
    return bytes().getFloat(position(DType.FLOAT32, DType.FLOAT32, row, index));
  }

  public double getDouble(int row, int index) {
    return bytes().getDouble(position(DType.FLOAT64, DType.FLOAT64, row, index));
  }

  public byte[] getString(int row, int index) {
    return buffer().string(elementAt(row, index));
  }

  /** One whole row of float32, to {@code values[at]} on. */
  public void getFloats(int row, float[] values, int at) {
    bytesFrom(DType.FLOAT32, DType.FLOAT32, row).asFloatBuffer().get(values, at, rowElements());
  }

  public void getDoubles(int row, double[] values, int at) {
    bytesFrom(DType.FLOAT64, DType.FLOAT64, row).asDoubleBuffer().get(values, at, rowElements());
  }

  public void getInts(int row, int[] values, int at) {
    bytesFrom(DType.INT32, DType.UINT32, row).asIntBuffer().get(values, at, rowElements());
  }

  public void getLongs(int row, long[] values, int at) {
    bytesFrom(DType.INT64, DType.UINT64, row).asLongBuffer().get(values, at, rowElements());
  }

  public void getShorts(int row, short[] values, int at) {
    bytesFrom(DType.INT16, DType.UINT16, row).asShortBuffer().get(values, at, rowElements());
  }

  public void getBytes(int row, byte[] values, int at) {
    bytesFrom(DType.INT8, DType.UINT8, row).get(values, at, rowElements());
  }
}
