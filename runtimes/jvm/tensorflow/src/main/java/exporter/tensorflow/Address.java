package exporter.tensorflow;

import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.tensorflow.Tensor;
import org.tensorflow.ndarray.buffer.DataStorageVisitor;

/** A pointer to memory that someone else owns. */
final class Address extends Pointer {
  /** The bindings show a tensor's memory as an address, or as a read-only buffer where the JVM forbids that. */
  static final DataStorageVisitor<Long> VISITOR =
      new DataStorageVisitor<>() {
        @Override
        public Long visit(long address, long length, long scale) {
          return address;
        }

        @Override
        public Long visit(ByteBuffer buffer) {
          return new BytePointer(buffer).address();
        }

        @Override
        public Long fallback() {
          throw new IllegalStateException("a tensor outside of native memory");
        }
      };

  Address(long address) {
    this.address = address;
  }

  /** Where the elements of a tensor begin; valid until it is closed. */
  static Address of(Tensor tensor) {
    return new Address(tensor.asRawTensor().data().accept(VISITOR));
  }
}
