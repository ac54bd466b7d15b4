package exporter.tflite;

import com.sun.jna.Pointer;
import exporter.core.ModelException;
import exporter.core.Shapes;
import exporter.core.TensorBuffer;

/**
 * Strings in TensorFlow Lite's memory: the count and count + 1 offsets as int32, then the bytes, end to end. Offsets
 * count from the first byte of all. Source: {@code string_util.h}.
 */
final class LiteStrings {
  private LiteStrings() {}

  /**
   * @throws ModelException more than the 2 GiB that offsets can reach, or no memory
   */
  static void write(Pointer tensor, TensorBuffer strings) {
    int count = (int) strings.elements();
    long header = 4L * (count + 2);
    long size = header;
    for (int i = 0; i < count; i++) {
      size += strings.string(i).length;
    }
    if (size > Integer.MAX_VALUE) {
      throw new ModelException(
          "too-large", "strings of " + size + " bytes; TensorFlow Lite takes up to 2 GiB in a tensor");
    }
    if (TfLite.TfLiteTensorRealloc(size, tensor) != 0) {
      throw new ModelException("no-memory", "TensorFlow Lite has no memory for strings of " + size + " bytes");
    }
    Pointer memory = TfLite.TfLiteTensorData(tensor);
    memory.setInt(0, count);
    long at = header;
    for (int i = 0; i < count; i++) {
      byte[] value = strings.string(i);
      memory.setInt(4L * (i + 1), (int) at);
      memory.write(at, value, 0, value.length);
      at += value.length;
    }
    memory.setInt(4L * (count + 1), (int) at);
  }

  /** All strings of a tensor, in C order. */
  static byte[][] read(Pointer tensor) {
    byte[][] values = new byte[Math.toIntExact(Shapes.elements(LiteTensor.shape(tensor)))][];
    if (values.length == 0) {
      return values;
    }
    Pointer memory = TfLite.TfLiteTensorData(tensor);
    int count = memory == null ? 0 : memory.getInt(0);
    if (count != values.length) {
      throw new ModelException(
          "broken-output", "TensorFlow Lite returned " + count + " strings for a tensor of " + values.length);
    }
    for (int i = 0; i < count; i++) {
      int begin = memory.getInt(4L * (i + 1));
      values[i] = memory.getByteArray(begin, memory.getInt(4L * (i + 2)) - begin);
    }
    return values;
  }
}
