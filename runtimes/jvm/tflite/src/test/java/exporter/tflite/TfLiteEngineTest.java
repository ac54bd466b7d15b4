package exporter.tflite;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.jna.Pointer;
import exporter.core.Batch;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.Signature;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The engine on small files: every dtype, signatures, shapes that change, tensors under several names, threads. */
class TfLiteEngineTest {
  private static final String KEY = "serving_default";
  private final Engine engine = new TfLiteEngine();

  private Model open(String path) {
    return engine.load(Vectors.file(path), EngineOptions.defaults());
  }

  private Model identity(DType dtype) {
    return open("identity/tflite/" + dtype.label() + ".tflite");
  }

  /** Feeds values to a call, by C order. */
  private static void fill(Call call, String input, float... values) {
    call.input(input).bytes().asFloatBuffer().put(values);
  }

  private static float[] floats(Call call, String output) {
    float[] values = new float[(int) call.output(output).elements()];
    call.output(output).bytes().asFloatBuffer().get(values);
    return values;
  }

  @Test
  void isFoundAndTellsItsVersion() {
    Engine found = ServiceLoader.load(Engine.class).findFirst().orElseThrow();
    assertEquals("tflite-java", found.name());
    assertEquals("tflite", found.format());
    assertTrue(found.versions().get("tensorflow-lite").matches("\\d+\\.\\d+\\.\\d+"), found.versions().toString());
    assertEquals(EnumSet.allOf(DType.class), found.dtypes());
  }

  @Test
  void acceptsFilesByTheirName() {
    assertTrue(engine.accepts(Vectors.file("models/rows.tflite")));
    assertFalse(engine.accepts(Vectors.file("models/minus.onnx")));
    assertFalse(engine.accepts(Vectors.file("models")));
  }

  @ParameterizedTest
  @EnumSource(value = DType.class, mode = EnumSource.Mode.EXCLUDE, names = "STRING")
  void everyDtypeComesBackBitForBit(DType dtype) {
    try (Model model = identity(dtype)) {
      assertEquals(Map.of("x", new TensorSpec("x", dtype, new long[] {-1, 3})), model.signature(KEY).inputs());
      for (int rows : new int[] {5, 1, 0, 300}) {
        byte[] bits = new byte[rows * 3 * dtype.size()];
        new Random(rows).nextBytes(bits);
        assertArrayEquals(bits, through(model, bits, rows, 3));
      }
    }
  }

  /** Runs a model of one input and one output. */
  private static byte[] through(Model model, byte[] bits, long... shape) {
    try (Call call = model.newCall(KEY, Map.of("x", shape))) {
      call.input("x").bytes().put(bits);
      call.run();
      TensorBuffer output = call.output("y");
      assertArrayEquals(shape, output.shape());
      assertEquals(model.signature(KEY).outputs().get("y").dtype(), output.dtype());
      byte[] found = new byte[output.bytes().remaining()];
      output.bytes().get(found);
      return found;
    }
  }

  @Test
  void stringsAreBytes() {
    byte[][] values = {
      "größe €😀 end".getBytes(StandardCharsets.UTF_8), {}, {0}, "a\0b\0".getBytes(StandardCharsets.UTF_8),
      {(byte) 0xFF, (byte) 0xFE, (byte) 0x80}, "𝄞".repeat(5000).getBytes(StandardCharsets.UTF_8),
    };
    try (Model model = identity(DType.STRING)) {
      for (int rows : new int[] {2, 1, 0, 2}) {
        try (Call call = model.newCall(KEY, Map.of("x", new long[] {rows, 3}))) {
          for (int i = 0; i < rows * 3; i++) {
            call.input("x").string(i, values[i]);
          }
          call.run();
          assertArrayEquals(new long[] {rows, 3}, call.output("y").shape());
          for (int i = 0; i < rows * 3; i++) {
            assertArrayEquals(values[i], call.output("y").string(i), rows + " rows, string " + i);
          }
        }
      }
    }
  }

  @Test
  void signaturesByKeyAndTensorsByName() {
    try (Model model = open("models/two-signatures.tflite")) {
      assertEquals(Set.of("twice", "minus"), model.signatures().keySet());
      // by position, as the second subgraph lists them; the signature has them the other way round
      assertEquals(List.of("b", "a"), List.copyOf(model.signature("minus").inputs().keySet()));
      try (Call twice = model.newCall("twice", Map.of("x", new long[] {1, 2}));
          Call minus = model.newCall("minus", Map.of("a", new long[] {1, 2}, "b", new long[] {1, 2}))) {
        fill(twice, "x", 1, 2);
        fill(minus, "b", 3, 4);
        fill(minus, "a", 5, 7);
        minus.run();
        twice.run();
        assertArrayEquals(new float[] {2, 4}, floats(twice, "y"));
        assertArrayEquals(new float[] {2, 3}, floats(minus, "difference"));
      }
    }
  }

  @Test
  void outputsThatAreInputsOrOneTensor() {
    try (Model model = open("models/same-tensors.tflite")) {
      List<String> positions = List.of("q", "sum", "p", "twice", "echo", "again");
      assertEquals(positions, List.copyOf(model.signature(KEY).outputs().keySet()));
      for (float start : new float[] {1, 10}) {
        try (Call call = model.newCall(KEY, Map.of("p", new long[] {1, 2}, "q", new long[] {1, 2}))) {
          fill(call, "p", start, start + 1);
          fill(call, "q", 100, 200);
          call.run();
          assertArrayEquals(new float[] {start, start + 1}, floats(call, "q"));
          assertArrayEquals(new float[] {start, start + 1}, floats(call, "echo"));
          assertArrayEquals(new float[] {100, 200}, floats(call, "p"));
          assertArrayEquals(new float[] {2 * start, 2 * start + 2}, floats(call, "twice"));
          assertArrayEquals(new float[] {2 * start, 2 * start + 2}, floats(call, "again"));
          assertArrayEquals(new float[] {2 * start + 100, 2 * start + 202}, floats(call, "sum"));
        }
      }
    }
    try (Model model = open("models/no-op.tflite");
        Call call = model.newCall(KEY, Map.of("p", new long[] {1, 2}, "q", new long[] {2, 3}))) {
      fill(call, "q", 1, 2, 3, 4, 5, 6);
      call.run();
      assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, floats(call, "b"));
    }
  }

  @Test
  void shapesThatChangeFromCallToCall() {
    try (Model model = open("models/transpose.tflite")) {
      Signature signature = model.signature(KEY);
      assertArrayEquals(new long[] {-1, -1, 2}, signature.inputs().get("x").shape());
      assertArrayEquals(new long[] {2, -1, -1}, signature.outputs().get("y").shape());
      for (long[] shape : new long[][] {{1, 1, 2}, {3, 2, 2}, {2, 3, 2}, {0, 4, 2}, {50, 40, 2}}) {
        try (Call call = model.newCall(KEY, Map.of("x", shape))) {
          float[] values = new float[(int) (shape[0] * shape[1] * 2)];
          for (int i = 0; i < values.length; i++) {
            values[i] = i;
          }
          fill(call, "x", values);
          call.run();
          assertArrayEquals(new long[] {2, shape[1], shape[0]}, call.output("y").shape());
          float[] found = floats(call, "y");
          for (int i = 0; i < found.length; i++) {
            int column = (int) (i / shape[0] % shape[1]);
            assertEquals(values[(int) ((i % shape[0] * shape[1] + column) * 2 + i / (shape[0] * shape[1]))], found[i]);
          }
        }
      }
    }
    try (Model model = open("models/flatten-output.tflite")) {
      for (int rows : new int[] {2, 1, 7}) {
        try (Call call = model.newCall(KEY, Map.of("x", new long[] {rows, 2, 3}))) {
          call.run();
          assertArrayEquals(new long[] {rows, 6}, call.output("flat").shape());
        }
      }
    }
  }

  @Test
  void rowsByColumns() {
    try (Model model = open("models/rows.tflite");
        Batch batch = Batch.open(model, KEY, 2, Map.of())) {
      batch.writer("x").putFloats(0, new float[] {1, 2, 3, 4}, 0);
      batch.writer("x").putFloats(1, new float[] {5, 6, 7, 8}, 0);
      batch.run();
      assertEquals(10, batch.reader("total").getFloat(0, 0));
      assertEquals(26, batch.reader("total").getFloat(1, 0));
      assertEquals(16, batch.reader("twice").getFloat(1, 3));
    }
  }

  @Test
  void scalars() {
    try (Model model = open("models/scalars.tflite");
        Call call = model.newCall(KEY, Map.of("a", new long[0], "b", new long[0]))) {
      assertArrayEquals(new long[0], model.signature(KEY).outputs().get("sum").shape());
      fill(call, "a", 1.5f);
      fill(call, "b", 2);
      call.run();
      assertArrayEquals(new long[0], call.output("sum").shape());
      assertArrayEquals(new float[] {3.5f}, floats(call, "sum"));
    }
  }

  @Test
  void everyCallStartsAnew() {
    try (Model model = open("models/running-sum.tflite")) {
      for (float x : new float[] {1, 2, 4}) {
        try (Call call = model.newCall(KEY, Map.of("x", new long[] {1, 1, 1}))) {
          fill(call, "x", x);
          call.run();
          assertArrayEquals(new float[] {x}, floats(call, "y"));
        }
      }
    }
  }

  @Test
  void memoryIsDirectAndHasAnAddress() {
    try (Model model = identity(DType.INT32)) {
      try (Call call = model.newCall(KEY, Map.of("x", new long[] {2, 3}))) {
        TensorBuffer input = call.input("x");
        assertTrue(input.bytes().isDirect());
        for (int i = 0; i < 6; i++) {
          new Pointer(input.address()).setInt(4L * i, 100 + i);
        }
        call.run();
        ByteBuffer output = call.output("y").bytes();
        assertTrue(output.isDirect());
        assertEquals(105, output.getInt(20));
        assertEquals(105, new Pointer(call.output("y").address()).getInt(20));
        assertThrows(UnsupportedOperationException.class, () -> input.string(0));
      }
      try (Call call = model.newCall(KEY, Map.of("x", new long[] {0, 3}))) {
        assertEquals(0, call.input("x").address());
        assertEquals(0, call.input("x").bytes().remaining());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void manyThreadsShareOneModel(int threads) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    EngineOptions options = EngineOptions.defaults().withThreads(threads);
    try (Model model = engine.load(Vectors.file("identity/tflite/int64.tflite"), options)) {
      List<Future<Boolean>> results = new ArrayList<>();
      for (int task = 0; task < 4; task++) {
        int first = task * 50;
        results.add(
            pool.submit(
                () -> {
                  boolean same = true;
                  for (int i = 0; i < 500; i++) {
                    byte[] bits = new byte[3 * 8 * (1 + i % 7)];
                    Arrays.fill(bits, (byte) (first + i));
                    same &= Arrays.equals(bits, through(model, bits, 1 + i % 7, 3));
                  }
                  return same;
                }));
      }
      for (Future<Boolean> result : results) {
        assertTrue(result.get());
      }
    } finally {
      pool.shutdownNow();
    }
  }

  @Test
  void pathsThatAreNotAscii(@TempDir Path temp) throws Exception {
    Path folder;
    try {
      folder = Files.createDirectory(temp.resolve("größe 東京 🙂"));
    } catch (InvalidPathException e) {
      return; // the JVM itself cannot name such a file in this locale
    }
    Path file = Files.copy(Vectors.file("models/rows.tflite"), folder.resolve("模型.tflite"));
    engine.load(file, EngineOptions.defaults()).close();
  }
}
