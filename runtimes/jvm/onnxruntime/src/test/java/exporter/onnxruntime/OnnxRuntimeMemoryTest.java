package exporter.onnxruntime;

import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Call;
import exporter.core.DType;
import exporter.core.EngineOptions;
import exporter.core.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is closed gives its memory back: in 10,000 runs each tensor that is not would show. */
@EnabledOnOs(OS.LINUX)
class OnnxRuntimeMemoryTest {
  /** More of them with {@code -Dexporter.soak.batches=100000}, that is {@code make soak}. */
  private static final int RUNS = Integer.getInteger("exporter.soak.batches", 10_000);
  private static final byte[] TEXT = "a string of sixty-four bytes, which no small-string trick holds".getBytes();
  /** A third of what 10 kB in each run would come to. */
  private static final long ALLOWED = 30_000_000;

  @ParameterizedTest
  @EnumSource(value = DType.class, names = {"FLOAT64", "STRING"})
  void runsLeaveMemoryFlat(DType dtype) throws IOException {
    Path file = Vectors.file("identity/onnx/" + dtype.label() + ".onnx");
    try (Model model = new OnnxRuntimeEngine().load(file, EngineOptions.defaults())) {
      run(model, dtype, RUNS / 10);
      long before = resident();
      run(model, dtype, RUNS);
      long grown = resident() - before;
      String found = dtype + ": " + grown / 1024 + " kB more after " + RUNS + " runs";
      System.out.println(found);
      assertTrue(grown < ALLOWED, found);
    }
  }

  private static void run(Model model, DType dtype, int times) {
    int most = dtype == DType.STRING ? 50 : 500; // about 10 kB either way
    byte[] bits = new byte[most * 3 * dtype.size()];
    for (int i = 0; i < times; i++) {
      // shapes that change, so that memory is made anew
      int rows = most - i % 5;
      try (Call call = model.newCall("serving_default", Map.of("x", new long[] {rows, 3}))) {
        if (dtype == DType.STRING) {
          for (int j = 0; j < rows * 3; j++) {
            call.input("x").string(j, TEXT);
          }
        } else {
          Arrays.fill(bits, (byte) i);
          call.input("x").bytes().put(bits, 0, rows * 3 * dtype.size());
        }
        call.run();
        if (call.output("y").elements() != rows * 3) {
          throw new AssertionError();
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(value = DType.class, names = {"FLOAT32", "STRING"})
  void modelsLeaveMemoryFlat(DType dtype) throws IOException {
    Path file = Vectors.file("identity/onnx/" + dtype.label() + ".onnx");
    openAndRun(file, dtype, 500);
    long before = resident();
    openAndRun(file, dtype, 1000);
    long grown = resident() - before;
    assertTrue(grown < ALLOWED, grown + " bytes more");
  }

  private static void openAndRun(Path file, DType dtype, int times) {
    for (int i = 0; i < times; i++) {
      try (Model model = new OnnxRuntimeEngine().load(file, EngineOptions.defaults())) {
        run(model, dtype, 2);
      }
    }
  }

  private static long resident() throws IOException {
    System.gc();
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4096;
  }
}
