package exporter.onnxruntime;

import exporter.core.DType;
import exporter.core.Shapes;
import exporter.core.Unsupported;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;

/**
 * The direct memory of one call, handed on to the next: the JVM gives direct buffers back only when it collects
 * garbage, which a loop over batches need not cause for gigabytes. Belongs to one thread at a time.
 */
final class Scratch {
  private final Map<String, ByteBuffer> blocks = new HashMap<>();

  /**
   * A tensor of undefined contents in the block of this name, which is made anew where it is too small.
   *
   * @throws Unsupported more than 2 GiB
   */
  DirectTensor tensor(String block, DType dtype, long[] shape) {
    long elements = Shapes.elements(shape);
    if (elements > Integer.MAX_VALUE / dtype.size()) {
      throw new Unsupported(
          block + " has " + elements + " elements of " + dtype
              + "; ONNX Runtime's Java binding carries up to 2 GiB in a tensor");
    }
    int size = (int) elements * dtype.size();
    ByteBuffer memory = blocks.get(block);
    if (memory == null || memory.capacity() < size) {
      memory = ByteBuffer.allocateDirect(size);
      blocks.put(block, memory);
    }
    return new DirectTensor(dtype, shape, elements, memory.duplicate().limit(size).slice());
  }
}
