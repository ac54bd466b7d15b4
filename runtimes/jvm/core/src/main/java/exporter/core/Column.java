package exporter.core;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** What writers and readers of a column share: where a row is, and that its element type is the one asked for. */
abstract class Column {
  private final String name;
  private final TensorBuffer buffer;
  private final int rows;
  private final long[] rowShape;
  private final int rowElements;
  private final int elementSize;
  private ByteBuffer bytes;

  Column(String name, TensorBuffer buffer, int rows) {
    this.name = name;
    this.buffer = buffer;
    this.rows = rows;
    long[] shape = buffer.shape();
    this.rowShape = Arrays.copyOfRange(shape, 1, shape.length);
    this.rowElements = Math.toIntExact(Shapes.elements(rowShape));
    this.elementSize = buffer.dtype().size();
  }

  public String name() {
    return name;
  }

  public DType dtype() {
    return buffer.dtype();
  }

  /** Shape of one row, without the batch dimension. */
  public long[] rowShape() {
    return rowShape.clone();
  }

  /** Elements in one row: the product of {@link #rowShape}. */
  public int rowElements() {
    return rowElements;
  }

  /** Bytes of one row; 0 for strings. */
  public long rowBytes() {
    return (long) rowElements * elementSize;
  }

  public int rows() {
    return rows;
  }

  /** Native address of a row of a numeric column, for bulk copies of {@link #rowBytes} bytes. */
  public long address(int row) {
    checkRow(row);
    return buffer.address() + row * rowBytes();
  }

  final TensorBuffer buffer() {
    return buffer;
  }

  /** Position of an element in bytes, after checking that the column is of this type. */
  final int position(DType wanted, DType alternative, int row, int index) {
    if (dtype() != wanted && dtype() != alternative) {
      throw new IllegalArgumentException("column '" + name + "' is " + dtype() + ", not " + wanted);
    }
    return elementAt(row, index) * elementSize;
  }

  final int elementAt(int row, int index) {
    checkRow(row);
    if (index < 0 || index >= rowElements) {
      throw new IndexOutOfBoundsException("element " + index + " of a row of " + rowElements + " in '" + name + "'");
    }
    return row * rowElements + index;
  }

  final void checkRow(int row) {
    if (row < 0 || row >= rows) {
      throw new IndexOutOfBoundsException("row " + row + " of " + rows + " in '" + name + "'");
    }
  }

  final ByteBuffer bytes() {
    if (bytes == null) {
      bytes = buffer.bytes();
    }
    return bytes;
  }

  /** A view that starts at a row, for bulk copies. */
  final ByteBuffer bytesFrom(DType wanted, DType alternative, int row) {
    if (rowElements == 0) {
      checkRow(row);
      return ByteBuffer.allocate(0);
    }
    int begin = position(wanted, alternative, row, 0);
    ByteBuffer view = bytes().duplicate().order(bytes().order());
    view.position(begin).limit(begin + (int) rowBytes());
    return view;
  }
}
