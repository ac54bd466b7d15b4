package exporter.core;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Objects;
import java.util.stream.Collectors;

/** Name, element type and shape of one input or output of a signature. Immutable. */
public final class TensorSpec implements Serializable {
  private static final long serialVersionUID = 1L;

  /** A dimension whose length is only known when the model runs. */
  public static final long DYNAMIC = -1;

  private final String name;
  private final DType dtype;
  private final long[] shape;

  /**
   * @param shape one entry per dimension, {@link #DYNAMIC} for an open one; null when even the rank is open
   */
  public TensorSpec(String name, DType dtype, long[] shape) {
    this.name = Objects.requireNonNull(name);
    this.dtype = Objects.requireNonNull(dtype);
    this.shape = shape == null ? null : shape.clone();
  }

  public String name() {
    return name;
  }

  public DType dtype() {
    return dtype;
  }

  /** A copy of the shape; null when the rank is unknown. */
  public long[] shape() {
    return shape == null ? null : shape.clone();
  }

  /** True when the rank is known and the first dimension is open, so that any number of rows can be run at once. */
  public boolean batched() {
    return shape != null && shape.length > 0 && shape[0] == DYNAMIC;
  }

  /** True when a tensor of this shape can be fed or returned. */
  public boolean accepts(long[] actual) {
    if (shape == null) {
      return true;
    }
    if (shape.length != actual.length) {
      return false;
    }
    for (int i = 0; i < shape.length; i++) {
      if (shape[i] != DYNAMIC && shape[i] != actual[i]) {
        return false;
      }
    }
    return true;
  }

  /** A shape as the messages write it: {@code [?, 28, 28]}, or {@code of unknown rank}. */
  public static String describe(DType dtype, long[] shape) {
    if (shape == null) {
      return dtype + " of unknown rank";
    }
    return Arrays.stream(shape)
        .mapToObj(d -> d == DYNAMIC ? "?" : Long.toString(d))
        .collect(Collectors.joining(", ", dtype + " [", "]"));
  }

  @Override
  public String toString() {
    return name + ": " + describe(dtype, shape);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof TensorSpec
        && ((TensorSpec) other).name.equals(name)
        && ((TensorSpec) other).dtype == dtype
        && Arrays.equals(((TensorSpec) other).shape, shape);
  }

  @Override
  public int hashCode() {
    return Objects.hash(name, dtype, Arrays.hashCode(shape));
  }
}
