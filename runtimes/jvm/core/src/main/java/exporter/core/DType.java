package exporter.core;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Element types, by the names that signatures, reports and the worker protocol use. */
public enum DType {
  BOOL("bool", 1),
  UINT8("uint8", 1),
  INT8("int8", 1),
  UINT16("uint16", 2),
  INT16("int16", 2),
  FLOAT16("float16", 2),
  BFLOAT16("bfloat16", 2),
  UINT32("uint32", 4),
  INT32("int32", 4),
  FLOAT32("float32", 4),
  UINT64("uint64", 8),
  INT64("int64", 8),
  FLOAT64("float64", 8),
  COMPLEX64("complex64", 8),
  /** Byte strings of any length, not text. */
  STRING("string", 0);

  private static final Map<String, DType> BY_LABEL =
      Arrays.stream(values()).collect(Collectors.toMap(DType::label, Function.identity()));

  private final String label;
  private final int size;

  DType(String label, int size) {
    this.label = label;
    this.size = size;
  }

  /** The name in signatures, such as {@code float32}. */
  public String label() {
    return label;
  }

  /** Bytes per element; 0 for strings. */
  public int size() {
    return size;
  }

  /**
   * @throws IllegalArgumentException the name is none of ours
   */
  public static DType of(String label) {
    DType found = BY_LABEL.get(label);
    if (found == null) {
      throw new IllegalArgumentException("unknown dtype '" + label + "'");
    }
    return found;
  }

  @Override
  public String toString() {
    return label;
  }
}
