package exporter.onnxruntime;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.TensorInfo.OnnxTensorType;
import exporter.core.DType;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;

/**
 * Our element types in ONNX Runtime.
 *
 * <p>Java has no unsigned 16, 32 and 64 bit integers, and the binding cannot make tensors of them: it would label their
 * bits as signed, which the runtime refuses. complex64 exists in ONNX, but in no build of ONNX Runtime.
 */
final class OnnxTypes {
  private static final Map<OnnxTensorType, DType> DTYPES = new EnumMap<>(OnnxTensorType.class);
  private static final Map<DType, OnnxJavaType> JAVA_TYPES = new EnumMap<>(DType.class);

  static {
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, DType.BOOL);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, DType.UINT8);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, DType.INT8);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, DType.UINT16);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, DType.INT16);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, DType.FLOAT16);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, DType.BFLOAT16);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, DType.UINT32);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, DType.INT32);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, DType.FLOAT32);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, DType.UINT64);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, DType.INT64);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, DType.FLOAT64);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_COMPLEX64, DType.COMPLEX64);
    DTYPES.put(OnnxTensorType.ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, DType.STRING);

    JAVA_TYPES.put(DType.BOOL, OnnxJavaType.BOOL);
    JAVA_TYPES.put(DType.UINT8, OnnxJavaType.UINT8);
    JAVA_TYPES.put(DType.INT8, OnnxJavaType.INT8);
    JAVA_TYPES.put(DType.INT16, OnnxJavaType.INT16);
    JAVA_TYPES.put(DType.FLOAT16, OnnxJavaType.FLOAT16);
    JAVA_TYPES.put(DType.BFLOAT16, OnnxJavaType.BFLOAT16);
    JAVA_TYPES.put(DType.INT32, OnnxJavaType.INT32);
    JAVA_TYPES.put(DType.FLOAT32, OnnxJavaType.FLOAT);
    JAVA_TYPES.put(DType.INT64, OnnxJavaType.INT64);
    JAVA_TYPES.put(DType.FLOAT64, OnnxJavaType.DOUBLE);
    JAVA_TYPES.put(DType.STRING, OnnxJavaType.STRING);
  }

  /** The types with tensors on both sides of a call. */
  static final Set<DType> CARRIED = Collections.unmodifiableSet(JAVA_TYPES.keySet());

  private OnnxTypes() {}

  /** Our name of a type; null for those we have none for. */
  static DType dtype(OnnxTensorType type) {
    return DTYPES.get(type);
  }

  /** How the binding wants a tensor of a {@link #CARRIED} type to be labelled. */
  static OnnxJavaType javaType(DType dtype) {
    return JAVA_TYPES.get(dtype);
  }
}
