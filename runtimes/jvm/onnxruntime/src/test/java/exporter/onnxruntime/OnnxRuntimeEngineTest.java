package exporter.onnxruntime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Batch;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The engine on small files: every dtype, strings that the binding alone would alter, shapes, threads. */
class OnnxRuntimeEngineTest {
  private static final String KEY = OnnxRuntimeEngine.KEY;
  private final Engine engine = new OnnxRuntimeEngine();

  @TempDir Path temp;

  private Model open(Path file) {
    return engine.load(file, EngineOptions.defaults());
  }

  private Model identity(String dtype) {
    return open(Vectors.file("identity/onnx/" + dtype + ".onnx"));
  }

  @Test
  void isFoundAndTellsItsVersion() {
    Engine found = ServiceLoader.load(Engine.class).findFirst().orElseThrow();
    assertEquals("onnxruntime-java", found.name());
    assertEquals("onnx", found.format());
    assertTrue(found.versions().get("onnxruntime").matches("\\d+\\.\\d+\\.\\d+"), found.versions().toString());
  }

  @Test
  void acceptsFilesByTheirName() {
    assertTrue(engine.accepts(Vectors.file("models/minus.onnx")));
    assertFalse(engine.accepts(Vectors.file("models/rows.tflite")));
    assertFalse(engine.accepts(temp));
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void everyDtypeComesBackBitForBitOrIsRefused(DType dtype) {
    if (!engine.dtypes().contains(dtype)) {
      assertTrue(assertThrows(Unsupported.class, () -> identity(dtype.label())).getMessage().contains(dtype.label()));
      return;
    }
    if (dtype == DType.STRING) {
      return; // has a test of its own
    }
    try (Model model = identity(dtype.label())) {
      assertEquals(
          Map.of("x", new TensorSpec("x", dtype, new long[] {-1, 3})), model.signature(KEY).inputs());
      for (int rows : new int[] {5, 1, 0, 300}) {
        byte[] bits = new byte[rows * 3 * dtype.size()];
        new Random(rows).nextBytes(bits);
        if (dtype == DType.BOOL) {
          for (int i = 0; i < bits.length; i++) {
            bits[i] &= 1;
          }
        }
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
    try (Model model = identity("string");
        Call call = model.newCall(KEY, Map.of("x", new long[] {2, 3}))) {
      for (int i = 0; i < values.length; i++) {
        call.input("x").string(i, values[i]);
      }
      call.run();
      assertEquals(6, call.output("y").elements());
      for (int i = 0; i < values.length; i++) {
        assertArrayEquals(values[i], call.output("y").string(i), "string " + i);
      }
    }
  }

  @Test
  void stringsOfAModelItself() throws Exception {
    byte[][] values = {"🙂".getBytes(StandardCharsets.UTF_8), {'a', 0, 'b'}, {(byte) 0xE9}};
    Path file =
        new OnnxWriter()
            .strings("s", values)
            .node("Identity", "", new String[] {"s"}, "y")
            .output("y", OnnxWriter.STRING, 3)
            .write(temp.resolve("constant.onnx"));
    try (Model model = open(file);
        Call call = model.newCall(KEY, Map.of())) {
      call.run();
      for (int i = 0; i < values.length; i++) {
        assertArrayEquals(values[i], call.output("y").string(i));
      }
    }
  }

  @Test
  void noStringsAtAll() {
    try (Model model = identity("string");
        Call call = model.newCall(KEY, Map.of("x", new long[] {0, 3}))) {
      call.run();
      assertArrayEquals(new long[] {0, 3}, call.output("y").shape());
    }
  }

  @Test
  void tensorsGoByNameNotByPosition() {
    try (Model model = open(Vectors.file("models/minus.onnx"));
        Batch batch = Batch.open(model, KEY, 2, Map.of())) {
      assertEquals(List.of("b", "a"), new ArrayList<>(model.signature(KEY).inputs().keySet()));
      batch.writer("a").putFloats(0, new float[] {5, 6}, 0);
      batch.writer("a").putFloats(1, new float[] {7, 8}, 0);
      batch.writer("b").putFloats(0, new float[] {1, 2}, 0);
      batch.writer("b").putFloats(1, new float[] {3, 5}, 0);
      batch.run();
      float[] found = new float[4];
      batch.reader("difference").getFloats(0, found, 0);
      batch.reader("difference").getFloats(1, found, 2);
      assertArrayEquals(new float[] {4, 4, 4, 3}, found);
      assertEquals(5, batch.reader("same").getFloat(1, 1));
    }
  }

  @Test
  void scalarsAndUnknownRankAreToldApart() throws Exception {
    OnnxWriter writer = new OnnxWriter().node("Add", "", new String[] {"scalar", "any"}, "y");
    writer.input("scalar", OnnxWriter.FLOAT).input("any", OnnxWriter.FLOAT, (long[]) null);
    Path file = writer.output("y", OnnxWriter.FLOAT, (long[]) null).write(temp.resolve("ranks.onnx"));
    try (Model model = open(file)) {
      assertArrayEquals(new long[0], model.signature(KEY).inputs().get("scalar").shape());
      assertEquals(new TensorSpec("any", DType.FLOAT32, null), model.signature(KEY).inputs().get("any"));
      for (long[] shape : new long[][] {{}, {2}, {2, 1, 2}}) {
        try (Call call = model.newCall(KEY, Map.of("scalar", new long[0], "any", shape))) {
          call.input("scalar").bytes().putFloat(1);
          ByteBuffer any = call.input("any").bytes();
          while (any.hasRemaining()) {
            any.putFloat(2);
          }
          call.run();
          assertArrayEquals(shape, call.output("y").shape());
          assertEquals(3, call.output("y").bytes().getFloat(0));
        }
      }
    }
  }

  @Test
  void anOutputThatIsAnInput() throws Exception {
    OnnxWriter writer = new OnnxWriter().node("Neg", "", new String[] {"x"}, "negative");
    writer.input("x", OnnxWriter.FLOAT, -1).output("x", OnnxWriter.FLOAT, -1).output("negative", OnnxWriter.FLOAT, -1);
    try (Model model = open(writer.write(temp.resolve("through.onnx")));
        Call call = model.newCall(KEY, Map.of("x", new long[] {2}))) {
      call.input("x").bytes().putFloat(1.5f).putFloat(-2);
      call.run();
      assertEquals(-2, call.output("x").bytes().getFloat(4));
      assertEquals(2, call.output("negative").bytes().getFloat(4));
      assertEquals(1.5f, call.input("x").bytes().getFloat(0));
    }
  }

  @Test
  void memoryIsDirectAndHasAnAddress() {
    try (Model model = identity("int32");
        Call call = model.newCall(KEY, Map.of("x", new long[] {2, 3}))) {
      TensorBuffer input = call.input("x");
      assertTrue(input.bytes().isDirect());
      for (int i = 0; i < 6; i++) {
        new com.sun.jna.Pointer(input.address()).setInt(4L * i, 100 + i);
      }
      call.run();
      assertTrue(call.output("y").bytes().isDirect());
      assertEquals(105, new com.sun.jna.Pointer(call.output("y").address()).getInt(20));
      assertThrows(UnsupportedOperationException.class, () -> input.string(0));
    }
    try (Model model = identity("int32");
        Call call = model.newCall(KEY, Map.of("x", new long[] {0, 3}))) {
      assertEquals(0, call.input("x").address());
    }
  }

  @ParameterizedTest
  @CsvSource({"1", "2"})
  void manyThreadsShareOneModel(int threads) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    try (Model model =
        engine.load(Vectors.file("identity/onnx/int64.onnx"), EngineOptions.defaults().withThreads(threads))) {
      List<Future<Boolean>> results = new ArrayList<>();
      for (int task = 0; task < 4; task++) {
        long first = task * 1000L;
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
  @EnabledOnOs(OS.LINUX)
  void asManyThreadsAsAskedFor() throws Exception {
    Path file = Vectors.file("identity/onnx/float32.onnx");
    long before = threads();
    try (Model model = engine.load(file, EngineOptions.defaults().withThreads(5))) {
      assertEquals(before + 4, threads(), model.toString());
    }
    try (Model model = engine.load(file, EngineOptions.defaults())) {
      assertEquals(before, threads(), model.toString());
    }
  }

  /** Of ONNX Runtime; the JVM's own come and go. */
  private static long threads() throws IOException {
    long count = 0;
    try (DirectoryStream<Path> tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
      for (Path task : tasks) {
        count += Files.readString(task.resolve("comm")).startsWith("java") ? 1 : 0;
      }
    }
    return count;
  }

  @Test
  void pathsThatAreNotAscii() throws Exception {
    Path folder;
    try {
      folder = Files.createDirectory(temp.resolve("größe 東京 🙂"));
    } catch (InvalidPathException e) {
      return; // the JVM itself cannot name such a file in this locale
    }
    Path file = Files.copy(Vectors.file("models/minus.onnx"), folder.resolve("模型.onnx"));
    open(file).close();
  }
}
