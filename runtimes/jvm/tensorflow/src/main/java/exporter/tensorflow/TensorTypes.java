package exporter.tensorflow;

import exporter.core.DType;
import java.util.Collections;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import org.tensorflow.proto.DataType;
import org.tensorflow.types.TBfloat16;
import org.tensorflow.types.TBool;
import org.tensorflow.types.TFloat16;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TFloat64;
import org.tensorflow.types.TInt32;
import org.tensorflow.types.TInt64;
import org.tensorflow.types.TUint16;
import org.tensorflow.types.TUint8;
import org.tensorflow.types.family.TType;

/** What TensorFlow calls our element types, and which of them TensorFlow Java has a tensor class for. */
final class TensorTypes {
  private static final Map<DataType, DType> DTYPES = new EnumMap<>(DataType.class);
  private static final Map<DType, Class<? extends TType>> CLASSES = new EnumMap<>(DType.class);

  static {
    DTYPES.put(DataType.DT_BOOL, DType.BOOL);
    DTYPES.put(DataType.DT_UINT8, DType.UINT8);
    DTYPES.put(DataType.DT_INT8, DType.INT8);
    DTYPES.put(DataType.DT_UINT16, DType.UINT16);
    DTYPES.put(DataType.DT_INT16, DType.INT16);
    DTYPES.put(DataType.DT_HALF, DType.FLOAT16);
    DTYPES.put(DataType.DT_BFLOAT16, DType.BFLOAT16);
    DTYPES.put(DataType.DT_UINT32, DType.UINT32);
    DTYPES.put(DataType.DT_INT32, DType.INT32);
    DTYPES.put(DataType.DT_FLOAT, DType.FLOAT32);
    DTYPES.put(DataType.DT_UINT64, DType.UINT64);
    DTYPES.put(DataType.DT_INT64, DType.INT64);
    DTYPES.put(DataType.DT_DOUBLE, DType.FLOAT64);
    DTYPES.put(DataType.DT_COMPLEX64, DType.COMPLEX64);
    DTYPES.put(DataType.DT_STRING, DType.STRING);

    CLASSES.put(DType.BOOL, TBool.class);
    CLASSES.put(DType.UINT8, TUint8.class);
    CLASSES.put(DType.UINT16, TUint16.class);
    CLASSES.put(DType.FLOAT16, TFloat16.class);
    CLASSES.put(DType.BFLOAT16, TBfloat16.class);
    CLASSES.put(DType.INT32, TInt32.class);
    CLASSES.put(DType.FLOAT32, TFloat32.class);
    CLASSES.put(DType.INT64, TInt64.class);
    CLASSES.put(DType.FLOAT64, TFloat64.class);
  }

  /** The types with a tensor class; strings are one of them, but made from their values and not from a shape. */
  static final Set<DType> CARRIED;

  static {
    EnumSet<DType> carried = EnumSet.copyOf(CLASSES.keySet());
    carried.add(DType.STRING);
    CARRIED = Collections.unmodifiableSet(carried);
  }

  private TensorTypes() {}

  /** Our name of a type; null for those we have none for. */
  static DType dtype(DataType type) {
    return DTYPES.get(type);
  }

  /** The class of numeric tensors. */
  static Class<? extends TType> tensorClass(DType dtype) {
    return CLASSES.get(dtype);
  }
}
