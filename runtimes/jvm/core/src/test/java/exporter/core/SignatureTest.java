package exporter.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The small values everything else is built from. */
class SignatureTest {
  private static final TensorSpec X = new TensorSpec("x", DType.FLOAT32, new long[] {-1, 2});
  private static final TensorSpec Y = new TensorSpec("y", DType.INT8, null);

  @Test
  void aShapeIsTakenOrNot() {
    assertTrue(X.accepts(new long[] {0, 2}));
    assertFalse(X.accepts(new long[] {2}));
    assertFalse(X.accepts(new long[] {2, 3}));
    assertTrue(Y.accepts(new long[] {7, 7, 7}));
    assertTrue(X.batched());
    assertFalse(Y.batched());
  }

  @Test
  void aSpecCannotBeChangedFromOutside() {
    long[] shape = {-1, 2};
    TensorSpec spec = new TensorSpec("x", DType.FLOAT32, shape);
    shape[1] = 3;
    spec.shape()[0] = 9;
    assertEquals(X, spec);
    assertEquals(X.hashCode(), spec.hashCode());
    assertEquals("x: float32 [?, 2]", spec.toString());
  }

  @Test
  void twoTensorsOfOneNameAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Signature("s", List.of(X, X), List.of()));
  }

  @Test
  void whatARuntimeDoesNotCarryIsUnsupported() {
    Signature signature = new Signature("s", List.of(X), List.of(Y));
    signature.checkCarried("here", EnumSet.of(DType.FLOAT32, DType.INT8));
    Unsupported reason =
        assertThrows(
            Unsupported.class, () -> signature.checkCarried("here", Set.of(DType.FLOAT32, DType.STRING, DType.BOOL)));
    assertEquals(
        "output 'y' is int8 of unknown rank; here carries bool, float32, string", reason.getMessage());
  }

  @Test
  void hostTensorsHoldWhatTheirShapeTakes() {
    ByteBuffer eight = ByteBuffer.allocate(8);
    assertEquals("float32 [2]", HostTensor.of(DType.FLOAT32, new long[] {2}, eight).toString());
    assertThrows(IllegalArgumentException.class, () -> HostTensor.of(DType.FLOAT32, new long[] {3}, eight));
    assertThrows(IllegalArgumentException.class, () -> HostTensor.of(DType.FLOAT32, new long[] {-2, -1}, eight));
    assertThrows(IllegalArgumentException.class, () -> HostTensor.of(DType.STRING, new long[] {8}, eight));
    assertThrows(IllegalArgumentException.class, () -> HostTensor.ofStrings(new long[] {2}, new byte[0]));
    assertThrows(ArithmeticException.class, () -> HostTensor.zeros(DType.INT64, 1 << 30));
    assertThrows(ArithmeticException.class, () -> Shapes.elements(new long[] {1L << 32, 1L << 32}));
    HostTensor words = HostTensor.zeros(DType.STRING, 2);
    assertThrows(UnsupportedOperationException.class, words::bytes);
    assertThrows(UnsupportedOperationException.class, words::address);
    assertThrows(NullPointerException.class, () -> words.string(0, null));
    HostTensor numbers = HostTensor.zeros(DType.INT8, 2);
    assertThrows(UnsupportedOperationException.class, () -> numbers.string(0));
    assertThrows(UnsupportedOperationException.class, numbers::address);
  }

  @Test
  void optionsAreValues() {
    EngineOptions options = EngineOptions.defaults().withThreads(3).withTags(Set.of("b", "a"));
    assertEquals("threads=3, tags=[a, b]", options.toString());
    assertEquals(options, new EngineOptions(3, Set.of("a", "b")));
    assertThrows(IllegalArgumentException.class, () -> EngineOptions.defaults().withThreads(0));
  }

  @Test
  void dtypesHaveNames() {
    for (DType dtype : DType.values()) {
      assertEquals(dtype, DType.of(dtype.label()));
    }
    assertThrows(IllegalArgumentException.class, () -> DType.of("float128"));
  }
}
