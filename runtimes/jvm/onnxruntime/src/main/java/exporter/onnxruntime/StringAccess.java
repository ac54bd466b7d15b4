package exporter.onnxruntime;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxTensorLike;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import exporter.core.ModelException;
import exporter.core.TensorBuffer;
import exporter.core.Unsupported;
import java.lang.reflect.Field;
import java.util.Arrays;

/**
 * The bytes of string tensors.
 *
 * <p>The Java binding moves strings as JNI's modified UTF-8, which is neither UTF-8 nor lossless: a character beyond
 * U+FFFF enters the model as two surrogates of three bytes each, so that no vocabulary finds it, and comes out cut
 * short; a NUL ends the text; bytes that are not UTF-8 come out as other characters. ONNX Runtime's C API moves bytes.
 * It is reached through two numbers that the binding keeps to itself: the address of the table of C functions, and that
 * of each tensor.
 *
 * <p>Source: {@code onnxruntime_c_api.h}, struct OrtApi. The table only ever grows at its end.
 */
final class StringAccess {
  private static final int GET_ERROR_MESSAGE = 2;
  private static final int GET_STRING_TENSOR_DATA_LENGTH = 53;
  private static final int GET_STRING_TENSOR_CONTENT = 54;
  private static final int RELEASE_STATUS = 93;
  private static final int GET_RESIZED_STRING_TENSOR_ELEMENT_BUFFER = 252;

  private final Field handle;
  private final Function resizedElement;
  private final Function dataLength;
  private final Function content;
  private final Function errorMessage;
  private final Function releaseStatus;

  private StringAccess(Pointer api, Field handle) {
    this.handle = handle;
    this.resizedElement = function(api, GET_RESIZED_STRING_TENSOR_ELEMENT_BUFFER);
    this.dataLength = function(api, GET_STRING_TENSOR_DATA_LENGTH);
    this.content = function(api, GET_STRING_TENSOR_CONTENT);
    this.errorMessage = function(api, GET_ERROR_MESSAGE);
    this.releaseStatus = function(api, RELEASE_STATUS);
  }

  private static Function function(Pointer api, int index) {
    return Function.getFunction(api.getPointer((long) index * Native.POINTER_SIZE));
  }

  /**
   * @throws Unsupported this release of the binding keeps no such numbers, or Java does not show them
   */
  static StringAccess open() {
    try {
      OrtEnvironment.getEnvironment();
      Field table = Class.forName("ai.onnxruntime.OnnxRuntime").getDeclaredField("ortApiHandle");
      table.setAccessible(true);
      Field handle = OnnxTensorLike.class.getDeclaredField("nativeHandle");
      handle.setAccessible(true);
      return new StringAccess(new Pointer(table.getLong(null)), handle);
    } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
      throw new Unsupported(
          "ONNX Runtime " + OrtEnvironment.getEnvironment().getVersion() + " gives no access to the bytes of strings ("
              + e + "); put it on the class path, in the version this engine was built with");
    }
  }

  /** A new tensor of these strings, for the caller to close. */
  OnnxTensor create(OrtEnvironment environment, TensorBuffer strings) throws OrtException {
    String[] empty = new String[(int) strings.elements()];
    Arrays.fill(empty, "");
    OnnxTensor tensor = OnnxTensor.createTensor(environment, empty, strings.shape());
    try {
      Pointer value = address(tensor);
      PointerByReference buffer = new PointerByReference();
      for (int i = 0; i < empty.length; i++) {
        byte[] string = strings.string(i);
        if (string.length > 0) {
          call(resizedElement, value, (long) i, (long) string.length, buffer);
          buffer.getValue().write(0, string, 0, string.length);
        }
      }
      return tensor;
    } catch (RuntimeException e) {
      tensor.close();
      throw e;
    }
  }

  /** The strings of a tensor in C order. */
  byte[][] read(OnnxTensor tensor) {
    int count = Math.toIntExact(tensor.getInfo().getNumElements());
    byte[][] values = new byte[count][];
    if (count == 0) {
      return values;
    }
    LongByReference total = new LongByReference();
    call(dataLength, address(tensor), total);
    try (Memory bytes = new Memory(total.getValue() + 1);
        Memory offsets = new Memory((long) count * Native.SIZE_T_SIZE)) {
      call(content, address(tensor), bytes, total.getValue(), offsets, (long) count);
      long end = total.getValue();
      for (int i = count - 1; i >= 0; i--) {
        long begin = offsets.getLong((long) i * Native.SIZE_T_SIZE);
        values[i] = bytes.getByteArray(begin, Math.toIntExact(end - begin));
        end = begin;
      }
    }
    return values;
  }

  private Pointer address(OnnxTensor tensor) {
    try {
      return new Pointer(handle.getLong(tensor));
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(e);
    }
  }

  private void call(Function function, Object... arguments) {
    Pointer status = function.invokePointer(arguments);
    if (status != null) {
      String message = errorMessage.invokePointer(new Object[] {status}).getString(0);
      releaseStatus.invokeVoid(new Object[] {status});
      throw new ModelException("run-failed", "ONNX Runtime cannot move strings: " + message);
    }
  }
}
