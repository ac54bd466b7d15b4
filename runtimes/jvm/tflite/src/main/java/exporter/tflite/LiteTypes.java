package exporter.tflite;

import exporter.core.DType;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Set;

/** Our element types in TensorFlow Lite. Source: TfLiteType in {@code tflite_types.h}. */
final class LiteTypes {
  private static final DType[] DTYPES = new DType[20];

  static {
    DTYPES[1] = DType.FLOAT32;
    DTYPES[2] = DType.INT32;
    DTYPES[3] = DType.UINT8;
    DTYPES[4] = DType.INT64;
    DTYPES[5] = DType.STRING;
    DTYPES[6] = DType.BOOL;
    DTYPES[7] = DType.INT16;
    DTYPES[8] = DType.COMPLEX64;
    DTYPES[9] = DType.INT8;
    DTYPES[10] = DType.FLOAT16;
    DTYPES[11] = DType.FLOAT64;
    DTYPES[13] = DType.UINT64;
    DTYPES[16] = DType.UINT32;
    DTYPES[17] = DType.UINT16;
    DTYPES[19] = DType.BFLOAT16;
  }

  /** All of ours. */
  static final Set<DType> CARRIED = Collections.unmodifiableSet(EnumSet.allOf(DType.class));

  private LiteTypes() {}

  /** Our name of a type; null for those we have none for. */
  static DType dtype(int type) {
    return type < 0 || type >= DTYPES.length ? null : DTYPES[type];
  }
}
