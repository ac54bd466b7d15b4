package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Batch;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Native memory stays flat over 10^4 batches and more, measured in a process of its own whose Java heap cannot grow.
 *
 * <p>One batch holds 64 KiB of floats, or 1000 strings of 64 bytes that TensorFlow allocates one by one: a tensor of
 * each kind that is not freed would add 600 MB, and 800 bytes lost in each batch would show. The bound is 8 MB, for the
 * pages that the allocator keeps for its threads and the code the JVM compiles meanwhile; measured growth is under one.
 */
class MemoryTest {
  /** More of them with {@code -Dexporter.soak.batches=100000}, that is {@code make soak}. */
  private static final int BATCHES = Integer.getInteger("exporter.soak.batches", 10_000);

  private static final long BOUND_KB = 8 * 1024;
  private static final List<String> FLAGS =
      List.of(
          "-Xms96m", "-Xmx96m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
          "-Dexporter.soak.batches=" + BATCHES);

  @TempDir Path dir;

  private void assertFlat(String what, Path model) throws Exception {
    long grown = Long.parseLong(ChildJvm.run(Loop.class, FLAGS, what, model.toString()));
    String found = what + ": " + grown + " kB more after " + BATCHES + " batches";
    System.out.println(found);
    assertTrue(grown < BOUND_KB, found);
  }

  @Test
  void floats() throws Exception {
    assertFlat("floats", SavedModels.rowSums(dir));
  }

  @Test
  void strings() throws Exception {
    assertFlat("strings", SavedModels.strings(dir));
  }

  @Test
  void failures() throws Exception {
    assertFlat("failures", SavedModels.mixed(dir));
  }

  static final class Loop {
    public static void main(String[] arguments) throws IOException {
      try (Model model = new TensorFlowEngine().load(Path.of(arguments[1]), EngineOptions.defaults())) {
        for (int i = 0; i < 1000; i++) {
          batch(model, arguments[0]);
        }
        long before = residentKb();
        for (int i = 0; i < BATCHES; i++) {
          batch(model, arguments[0]);
        }
        System.out.print(residentKb() - before);
      }
    }

    private static void batch(Model model, String what) {
      switch (what) {
        case "floats":
          try (Batch batch = Batch.open(model, SavedModels.DEFAULT, 256, Map.of("x", new long[] {64}))) {
            batch.writer("x").putFloats(255, new float[64], 0);
            batch.run();
            batch.reader("y").getFloat(255, 0);
          }
          break;
        case "strings":
          try (Batch batch = Batch.open(model, SavedModels.DEFAULT, 1000, Map.of())) {
            for (int row = 0; row < 1000; row++) {
              batch.writer("text").putString(row, 0, new byte[64]);
            }
            batch.run();
            batch.reader("same").getString(999, 0);
            batch.reader("marked").getString(999, 0);
          }
          break;
        default:
          // the input that fits is allocated before the one that does not
          try {
            model.newCall(
                SavedModels.DEFAULT, Map.of("amount", new long[] {1 << 14}, "ids", new long[] {1L << 60, 3}));
            throw new AssertionError("a tensor of 2^65 bytes");
          } catch (ModelException expected) {
            // each time
          }
      }
    }

    private static long residentKb() throws IOException {
      System.gc();
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmRSS:")) {
          return Long.parseLong(line.replaceAll("\\D", ""));
        }
      }
      throw new IOException("no VmRSS");
    }
  }
}
