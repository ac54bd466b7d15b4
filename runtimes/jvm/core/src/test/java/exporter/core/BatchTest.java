package exporter.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class BatchTest {
  private static final long OPEN = TensorSpec.DYNAMIC;

  /** A model of one signature that gives its inputs back. */
  private static Model echo(TensorSpec... specs) {
    Signature signature = new Signature("echo", List.of(specs), List.of(specs));
    return new InMemory(EnumSet.allOf(DType.class), inputs -> inputs, signature).load(Path.of("function"), null);
  }

  private static TensorSpec spec(DType dtype, long... shape) {
    return new TensorSpec(dtype.label(), dtype, shape);
  }

  private static String refusal(String code, Executable action) {
    ModelException refusal = assertThrows(ModelException.class, action);
    assertEquals(code, refusal.code(), refusal::getMessage);
    return refusal.getMessage();
  }

  @Test
  void elementsOfEveryTypeComeBackFromTheirPlace() {
    List<TensorSpec> specs = new ArrayList<>();
    for (DType dtype : DType.values()) {
      specs.add(spec(dtype, OPEN, 2));
    }
    try (Model model = echo(specs.toArray(new TensorSpec[0]));
        Batch batch = Batch.open(model, "echo", 3, Map.of())) {
      for (int row = 0; row < 3; row++) {
        for (int i = 0; i < 2; i++) {
          int n = 1 + row * 2 + i;
          batch.writer("bool").putBoolean(row, i, n % 2 == 0);
          batch.writer("int8").putByte(row, i, (byte) -n);
          batch.writer("uint8").putByte(row, i, (byte) (255 - n));
          batch.writer("int16").putShort(row, i, (short) (-300 - n));
          batch.writer("uint16").putShort(row, i, (short) (65535 - n));
          batch.writer("float16").putHalfBits(row, i, (short) (0x3c00 + n));
          batch.writer("bfloat16").putHalfBits(row, i, (short) (0x3f80 + n));
          batch.writer("int32").putInt(row, i, -70_000 - n);
          batch.writer("uint32").putInt(row, i, -n);
          batch.writer("float32").putFloat(row, i, n / 8f);
          batch.writer("int64").putLong(row, i, Long.MIN_VALUE + n);
          batch.writer("uint64").putLong(row, i, -n);
          batch.writer("float64").putDouble(row, i, Math.PI * n);
          batch.writer("string").putString(row, i, new byte[n]);
        }
      }
      batch.run();
      for (int row = 0; row < 3; row++) {
        for (int i = 0; i < 2; i++) {
          int n = 1 + row * 2 + i;
          assertEquals(n % 2 == 0, batch.reader("bool").getBoolean(row, i));
          assertEquals((byte) -n, batch.reader("int8").getByte(row, i));
          assertEquals((byte) (255 - n), batch.reader("uint8").getByte(row, i));
          assertEquals((short) (-300 - n), batch.reader("int16").getShort(row, i));
          assertEquals((short) (65535 - n), batch.reader("uint16").getShort(row, i));
          assertEquals((short) (0x3c00 + n), batch.reader("float16").getHalfBits(row, i));
          assertEquals((short) (0x3f80 + n), batch.reader("bfloat16").getHalfBits(row, i));
          assertEquals(-70_000 - n, batch.reader("int32").getInt(row, i));
          assertEquals(-n, batch.reader("uint32").getInt(row, i));
          assertEquals(n / 8f, batch.reader("float32").getFloat(row, i));
          assertEquals(Long.MIN_VALUE + n, batch.reader("int64").getLong(row, i));
          assertEquals(-n, batch.reader("uint64").getLong(row, i));
          assertEquals(Math.PI * n, batch.reader("float64").getDouble(row, i));
          assertEquals(n, batch.reader("string").getString(row, i).length);
        }
      }
    }
  }

  @Test
  void wholeRowsGoToTheirPlaceAndNoFurther() {
    try (Model model =
            echo(
                spec(DType.FLOAT32, OPEN, 2), spec(DType.FLOAT64, OPEN, 2), spec(DType.INT32, OPEN, 2),
                spec(DType.INT64, OPEN, 2), spec(DType.INT16, OPEN, 2), spec(DType.UINT8, OPEN, 2));
        Batch batch = Batch.open(model, "echo", 3, Map.of())) {
      batch.writer("float32").putFloats(1, new float[] {9, 1, 2, 9}, 1);
      batch.writer("float64").putDoubles(1, new double[] {9, 1, 2, 9}, 1);
      batch.writer("int32").putInts(1, new int[] {9, 1, 2, 9}, 1);
      batch.writer("int64").putLongs(1, new long[] {9, 1, 2, 9}, 1);
      batch.writer("int16").putShorts(1, new short[] {9, 1, 2, 9}, 1);
      batch.writer("uint8").putBytes(1, new byte[] {9, 1, 2, 9}, 1);
      batch.run();
      float[] floats = {7, 7, 7, 7, 7, 7, 7};
      double[] doubles = new double[6];
      int[] ints = new int[6];
      long[] longs = new long[6];
      short[] shorts = new short[6];
      byte[] bytes = new byte[6];
      for (int row = 0; row < 3; row++) {
        batch.reader("float32").getFloats(row, floats, 2 * row);
        batch.reader("float64").getDoubles(row, doubles, 2 * row);
        batch.reader("int32").getInts(row, ints, 2 * row);
        batch.reader("int64").getLongs(row, longs, 2 * row);
        batch.reader("int16").getShorts(row, shorts, 2 * row);
        batch.reader("uint8").getBytes(row, bytes, 2 * row);
      }
      assertArrayEquals(new float[] {0, 0, 1, 2, 0, 0, 7}, floats);
      assertArrayEquals(new double[] {0, 0, 1, 2, 0, 0}, doubles);
      assertArrayEquals(new int[] {0, 0, 1, 2, 0, 0}, ints);
      assertArrayEquals(new long[] {0, 0, 1, 2, 0, 0}, longs);
      assertArrayEquals(new short[] {0, 0, 1, 2, 0, 0}, shorts);
      assertArrayEquals(new byte[] {0, 0, 1, 2, 0, 0}, bytes);
    }
  }

  @Test
  void aColumnKnowsItsRows() {
    try (Model model = echo(spec(DType.INT16, OPEN, 2, 3), spec(DType.FLOAT32, OPEN));
        Batch batch = Batch.open(model, "echo", 4, Map.of())) {
      ColumnWriter matrix = batch.writer("int16");
      assertEquals("int16", matrix.name());
      assertEquals(DType.INT16, matrix.dtype());
      assertArrayEquals(new long[] {2, 3}, matrix.rowShape());
      assertEquals(6, matrix.rowElements());
      assertEquals(12, matrix.rowBytes());
      assertEquals(4, matrix.rows());
      assertEquals(4, batch.rows());
      assertEquals(1, batch.writer("float32").rowElements());
      assertEquals("echo", batch.signature().key());
    }
  }

  @Test
  void theWrongTypeRowOrElementIsRefused() {
    try (Model model = echo(spec(DType.INT32, OPEN, 2), spec(DType.STRING, OPEN));
        Batch batch = Batch.open(model, "echo", 3, Map.of())) {
      ColumnWriter ints = batch.writer("int32");
      IllegalArgumentException type = assertThrows(IllegalArgumentException.class, () -> ints.putFloat(0, 0, 1f));
      assertEquals("column 'int32' is int32, not float32", type.getMessage());
      assertThrows(IllegalArgumentException.class, () -> ints.putLongs(0, new long[2], 0));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.putInt(3, 0, 1));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.putInt(-1, 0, 1));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.putInt(0, 2, 1));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.putInt(0, -1, 1));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.putInts(3, new int[2], 0));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.putInts(0, new int[1], 0));
      assertThrows(IndexOutOfBoundsException.class, () -> ints.address(3));
      assertThrows(IndexOutOfBoundsException.class, () -> batch.writer("string").putString(0, 1, new byte[0]));
      assertThrows(UnsupportedOperationException.class, () -> ints.putString(0, 0, new byte[0]));
      assertThrows(UnsupportedOperationException.class, () -> batch.writer("string").putInt(0, 0, 1));
    }
  }

  @Test
  void openShapesHaveToBeGivenAndClosedOnesHold() {
    try (Model model = echo(new TensorSpec("any", DType.FLOAT32, null), spec(DType.INT32, OPEN, OPEN, 2))) {
      Map<String, long[]> both = Map.of("any", new long[] {5}, "int32", new long[] {3, 2});
      try (Batch batch = Batch.open(model, "echo", 2, both)) {
        assertEquals(5, batch.writer("any").rowElements());
        assertEquals(6, batch.writer("int32").rowElements());
      }
      String unknown =
          refusal("open-shape", () -> Batch.open(model, "echo", 2, Map.of("int32", new long[] {3, 2})));
      assertEquals("input any: float32 of unknown rank: the shape of a row has to be given", unknown);
      String open = refusal("open-shape", () -> Batch.open(model, "echo", 2, Map.of("any", new long[0])));
      assertEquals("input int32: int32 [?, ?, 2]: the shape of a row has to be given", open);
      String wrong =
          refusal(
              "input-shape",
              () -> Batch.open(model, "echo", 2, Map.of("any", new long[0], "int32", new long[] {3, 3})));
      assertEquals("input 'int32' is fed int32 [2, 3, 3], expected int32 [?, ?, 2]", wrong);
    }
  }

  @Test
  void aFixedBatchTakesThatManyRows() {
    try (Model model = echo(spec(DType.FLOAT32, 4, 2))) {
      Batch.open(model, "echo", 4, Map.of()).close();
      refusal("input-shape", () -> Batch.open(model, "echo", 3, Map.of()));
    }
  }

  @Test
  void aScalarTakesNoRows() {
    try (Model model = echo(spec(DType.FLOAT32))) {
      assertEquals(
          "input float32: float32 [] is a scalar and takes no rows",
          refusal("no-rows", () -> Batch.open(model, "echo", 1, Map.of())));
    }
  }

  @Test
  void anUnknownSignatureNamesTheKnownOnes() {
    try (Model model = echo(spec(DType.FLOAT32, OPEN))) {
      assertEquals(
          "no signature 'other', found echo", refusal("no-signature", () -> Batch.open(model, "other", 1, Map.of())));
    }
  }

  @Test
  void anOutputThatIsNotOneEntryPerRowIsRefused() {
    Signature signature =
        new Signature("f", List.of(spec(DType.FLOAT32, OPEN)), List.of(spec(DType.INT32), spec(DType.INT64, OPEN)));
    InMemory engine =
        new InMemory(
            EnumSet.allOf(DType.class),
            inputs -> Map.of("int32", HostTensor.zeros(DType.INT32), "int64", HostTensor.zeros(DType.INT64, 5)),
            signature);
    try (Model model = engine.load(Path.of("function"), null);
        Batch batch = Batch.open(model, "f", 3, Map.of())) {
      batch.run();
      assertEquals(
          "output 'int32' is int32 [] for 3 rows; expected one entry per row",
          refusal("output-rows", () -> batch.reader("int32")));
      assertTrue(refusal("output-rows", () -> batch.reader("int64")).contains("int64 [5] for 3 rows"));
    }
    assertEquals(0, engine.openCalls.get());
  }
}
