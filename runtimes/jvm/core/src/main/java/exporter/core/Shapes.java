package exporter.core;

/** Arithmetic on shapes. */
public final class Shapes {
  private Shapes() {}

  /**
   * Number of elements of a fully known shape; 1 for a scalar.
   *
   * @throws ArithmeticException more than a long can count
   * @throws IllegalArgumentException a dimension is open
   */
  public static long elements(long[] shape) {
    long count = 1;
    for (long dim : shape) {
      if (dim < 0) {
        throw new IllegalArgumentException("dimension " + dim + " where only a length can be");
      }
      count = Math.multiplyExact(count, dim);
    }
    return count;
  }
}
