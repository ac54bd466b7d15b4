package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Batch;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.TensorBuffer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tensorflow.proto.DataType;
import org.tensorflow.proto.MetaGraphDef;

/** Right answers, for every kind of signature. */
class TensorFlowEngineTest {
  private final Engine engine = new TensorFlowEngine();
  @TempDir Path dir;

  private Model load(Path path) {
    return engine.load(path, EngineOptions.defaults());
  }

  /** Runs the default signature on float32 inputs of one shape each. */
  private static Call run(Model model, Map<String, long[]> shapes, Map<String, float[]> values) {
    Call call = model.newCall(SavedModels.DEFAULT, shapes);
    values.forEach((name, floats) -> call.input(name).bytes().asFloatBuffer().put(floats));
    call.run();
    return call;
  }

  private static float[] floats(TensorBuffer buffer) {
    float[] values = new float[(int) buffer.elements()];
    buffer.bytes().asFloatBuffer().get(values);
    return values;
  }

  @Test
  void isFoundByItsName() {
    assertTrue(ServiceLoader.load(Engine.class).stream().anyMatch(found -> found.get().name().equals(engine.name())));
    assertEquals("tensorflow-java", engine.name());
    assertTrue(engine.accepts(SavedModels.linear(dir)));
    assertFalse(engine.accepts(dir.resolve(SavedModelFile.NAME)));
  }

  @Test
  void saysWhichTensorFlowItIs() {
    assertEquals(Set.of("tensorflow", "tensorflow-java"), engine.versions().keySet());
    engine.versions().values().forEach(version -> assertTrue(version.matches("\\d+\\.\\d+\\.\\d+.*"), version));
  }

  @Test
  void scoresRowsOfALinearModelWithVariables() {
    try (Model model = load(SavedModels.linear(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, 3, Map.of())) {
      batch.writer("features").putFloats(0, new float[] {1, 2}, 0);
      batch.writer("features").putFloats(1, new float[] {-1, 0}, 0);
      batch.writer("features").putFloats(2, new float[] {0, 0.5f}, 0);
      batch.run();
      float[] outputs = new float[3];
      for (int row = 0; row < 3; row++) {
        batch.reader("outputs").getFloats(row, outputs, row);
      }
      assertArrayEquals(new float[] {-3.25f, -0.25f, -0.75f}, outputs);
    }
  }

  @Test
  void multipliesLikeAnybodyElse() {
    int[] widths = {5, 7, 3};
    Random random = new Random(1);
    float[] features = new float[4 * widths[0]];
    for (int i = 0; i < features.length; i++) {
      features[i] = random.nextInt(33) - 16; // small integers, and weights that are multiples of 1/256: exact in float
    }
    float[] expected = new float[4 * widths[2]];
    for (int row = 0; row < 4; row++) {
      float[] hidden = new float[widths[1]];
      for (int j = 0; j < hidden.length; j++) {
        for (int i = 0; i < widths[0]; i++) {
          hidden[j] += features[row * widths[0] + i] * SavedModels.kernel(widths[0], widths[1])[i][j];
        }
        hidden[j] = Math.max(0, hidden[j]);
        for (int k = 0; k < widths[2]; k++) {
          expected[row * widths[2] + k] += hidden[j] * SavedModels.kernel(widths[1], widths[2])[j][k];
        }
      }
    }
    try (Model model = load(SavedModels.mlp(dir, widths));
        Call call = run(model, Map.of("features", new long[] {4, 5}), Map.of("features", features))) {
      assertArrayEquals(expected, floats(call.output("outputs")));
    }
  }

  @Test
  void severalInputsAndOutputsOfSeveralTypes() {
    try (Model model = load(SavedModels.mixed(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, 2, Map.of())) {
      batch.writer("amount").putFloat(0, 0, 10);
      batch.writer("amount").putFloat(1, 0, 10.5f);
      batch.writer("ids").putLongs(0, new long[] {1, 2, 3}, 0);
      batch.writer("ids").putLongs(1, new long[] {Long.MAX_VALUE, 1, -1}, 0);
      batch.run();
      assertFalse(batch.reader("large").getBoolean(0, 0));
      assertTrue(batch.reader("large").getBoolean(1, 0));
      assertEquals(6, batch.reader("total").getLong(0, 0));
      assertEquals(Long.MAX_VALUE, batch.reader("total").getLong(1, 0));
    }
  }

  @Test
  void stringsAreBytesOfAnyKind() {
    byte[] large = new byte[100_000];
    new Random(2).nextBytes(large);
    byte[][] values = {
      {}, {0}, {'a', 0, 'b', 0}, {-1, -2}, "größe €".getBytes(StandardCharsets.UTF_8), new byte[22], new byte[23],
      new byte[24], large, {}
    };
    try (Model model = load(SavedModels.strings(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, values.length, Map.of())) {
      for (int row = 0; row < values.length; row++) {
        batch.writer("text").putString(row, 0, values[row]);
      }
      batch.run();
      for (int row = 0; row < values.length; row++) {
        assertArrayEquals(values[row], batch.reader("same").getString(row, 0));
        byte[] marked = Arrays.copyOf(values[row], values[row].length + 1);
        marked[values[row].length] = '!';
        assertArrayEquals(marked, batch.reader("marked").getString(row, 0));
      }
    }
  }

  @Test
  void anUnknownRankTakesAnyShape() {
    try (Model model = load(SavedModels.unknownRank(dir))) {
      for (long[] shape : new long[][] {{}, {3}, {2, 1, 2}, {0, 4}}) {
        float[] values = new float[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
        Arrays.fill(values, 1.5f);
        try (Call call = run(model, Map.of("x", shape), Map.of("x", values))) {
          assertArrayEquals(shape, call.output("y").shape());
          assertArrayEquals(values, floats(call.output("y")));
        }
      }
    }
  }

  @Test
  void aFixedBatchAndNoBatch() {
    try (Model model = load(SavedModels.fixedBatch(dir.resolve("fixed")));
        Call call = run(model, Map.of("x", new long[] {4, 2}), Map.of("x", new float[] {1, 2, 3, 4, 5, 6, 7, 8}))) {
      assertArrayEquals(new float[] {3, 7, 11, 15}, floats(call.output("y")));
    }
    try (Model model = load(SavedModels.scalar(dir.resolve("scalar")));
        Call call = run(model, Map.of("x", new long[0]), Map.of("x", new float[] {21}))) {
      assertEquals(0, call.output("y").shape().length);
      assertArrayEquals(new float[] {42}, floats(call.output("y")));
    }
  }

  @Test
  void oneTensorUnderSeveralNames() {
    try (Model model = load(SavedModels.sameTensor(dir.resolve("same")));
        Call call = run(model, Map.of("x", new long[] {1, 2}), Map.of("x", new float[] {1, -2}))) {
      assertArrayEquals(new float[] {2, -4}, floats(call.output("first")));
      assertArrayEquals(new float[] {2, -4}, floats(call.output("second")));
      assertArrayEquals(new float[] {1, -2}, floats(call.output("x")));
    }
    try (Model model = load(SavedModels.echo(dir.resolve("echo")));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, 1, Map.of())) {
      batch.writer("text").putString(0, 0, new byte[] {7});
      batch.run();
      assertArrayEquals(new byte[] {7}, batch.reader("text").getString(0, 0));
    }
  }

  @Test
  void aModelBuiltForAGpuRunsWithoutOne() {
    SavedModels.sameTensor(dir);
    SavedModels.edit(dir, meta -> {
      MetaGraphDef.Builder builder = meta.toBuilder();
      builder.getGraphDefBuilder().getNodeBuilderList().forEach(node -> node.setDevice("/device:GPU:0"));
      return builder.build();
    });
    try (Model model = load(dir);
        Call call = run(model, Map.of("x", new long[] {1, 2}), Map.of("x", new float[] {1, -2}))) {
      assertArrayEquals(new float[] {2, -4}, floats(call.output("first")));
    }
  }

  @Test
  void everySignature() {
    try (Model model = load(SavedModels.twoSignatures(dir));
        Call twice = run(model, Map.of("x", new long[] {1}), Map.of("x", new float[] {3}));
        Call minus = model.newCall("minus", Map.of("a", new long[] {2}, "b", new long[] {2}))) {
      minus.input("a").bytes().asFloatBuffer().put(new float[] {5, 6});
      minus.input("b").bytes().asFloatBuffer().put(new float[] {1, 8});
      minus.run();
      assertArrayEquals(new float[] {4, -2}, floats(minus.output("difference")));
      assertArrayEquals(new float[] {6}, floats(twice.output("y")));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 255, 256, 257, 5000})
  void batchesOfAnySize(int rows) {
    try (Model model = load(SavedModels.rowSums(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, rows, Map.of("x", new long[] {3}))) {
      for (int row = 0; row < rows; row++) {
        batch.writer("x").putFloats(row, new float[] {row, 1, -2}, 0);
      }
      batch.run();
      for (int row = 0; row < rows; row++) {
        assertEquals(row - 1f, batch.reader("y").getFloat(row, 0));
      }
      assertArrayEquals(new long[] {1}, batch.reader("y").rowShape());
    }
  }

  @Test
  void rowsWithoutElements() {
    try (Model model = load(SavedModels.rowSums(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, 2, Map.of("x", new long[] {0}))) {
      batch.writer("x").putFloats(1, new float[0], 0);
      assertEquals(0, batch.writer("x").address(1));
      batch.run();
      assertEquals(0f, batch.reader("y").getFloat(1, 0));
    }
  }

  @Test
  void noStringsAtAll() {
    try (Model model = load(SavedModels.strings(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, 0, Map.of())) {
      batch.run();
      assertEquals(0, batch.reader("marked").rows());
    }
  }

  /** The declared types, proved: random bits come back as they are. */
  @Test
  void everyCarriedTypeBitForBit() {
    DataType[] types = {
      DataType.DT_BOOL, DataType.DT_UINT8, DataType.DT_UINT16, DataType.DT_HALF, DataType.DT_BFLOAT16,
      DataType.DT_INT32, DataType.DT_FLOAT, DataType.DT_INT64, DataType.DT_DOUBLE, DataType.DT_STRING
    };
    assertEquals(types.length, engine.dtypes().size());
    Map<String, long[]> shapes = new HashMap<>();
    for (DataType type : types) {
      shapes.put(type.name(), new long[] {50, 3});
    }
    Random random = new Random(3);
    Map<String, byte[]> fed = new HashMap<>();
    try (Model model = load(SavedModels.identity(dir, types));
        Call call = model.newCall(SavedModels.DEFAULT, shapes)) {
      for (DataType type : types) {
        TensorBuffer input = call.input(type.name());
        assertTrue(engine.dtypes().contains(input.dtype()));
        byte[] bits = new byte[150 * Math.max(1, input.dtype().size())];
        random.nextBytes(bits);
        fed.put(type.name(), bits);
        if (input.dtype() == DType.STRING) {
          for (int i = 0; i < 150; i++) {
            input.string(i, Arrays.copyOf(bits, i));
          }
        } else {
          for (int i = 0; i < bits.length && input.dtype() == DType.BOOL; i++) {
            bits[i] &= 1;
          }
          input.bytes().put(bits);
        }
      }
      call.run();
      for (DataType type : types) {
        TensorBuffer output = call.output(type.name());
        assertEquals(call.input(type.name()).dtype(), output.dtype());
        byte[] bits = fed.get(type.name());
        if (output.dtype() == DType.STRING) {
          for (int i = 0; i < 150; i++) {
            assertArrayEquals(Arrays.copyOf(bits, i), output.string(i));
          }
        } else {
          ByteBuffer found = output.bytes();
          byte[] read = new byte[found.remaining()];
          found.get(read);
          assertArrayEquals(bits, read, type::name);
        }
      }
    }
  }
}
