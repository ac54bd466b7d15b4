package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertEquals;

import exporter.core.Batch;
import exporter.core.EngineOptions;
import exporter.core.Model;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Many threads share one model, as the tasks of a Spark executor do. */
class ConcurrencyTest {
  private static final int THREADS = 8;

  @TempDir Path dir;

  private static void inThreads(Path path, int runs, RowCheck check) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(THREADS);
    try (Model model = new TensorFlowEngine().load(path, EngineOptions.defaults().withThreads(2))) {
      List<Callable<Void>> tasks = new ArrayList<>();
      for (int thread = 0; thread < THREADS; thread++) {
        int seed = thread;
        tasks.add(() -> {
          for (int run = 0; run < runs; run++) {
            check.run(model, 1 + (seed * 31 + run * 7) % 97, seed * 1000 + run);
          }
          return null;
        });
      }
      for (Future<Void> done : threads.invokeAll(tasks)) {
        done.get();
      }
    } finally {
      threads.shutdownNow();
    }
  }

  private interface RowCheck {
    void run(Model model, int rows, int offset);
  }

  @Test
  void floats() throws Exception {
    inThreads(SavedModels.rowSums(dir), 300, (model, rows, offset) -> {
      try (Batch batch = Batch.open(model, SavedModels.DEFAULT, rows, Map.of("x", new long[] {2}))) {
        for (int row = 0; row < rows; row++) {
          batch.writer("x").putFloats(row, new float[] {row, offset}, 0);
        }
        batch.run();
        for (int row = 0; row < rows; row++) {
          assertEquals(row + offset, batch.reader("y").getFloat(row, 0));
        }
      }
    });
  }

  @Test
  void strings() throws Exception {
    inThreads(SavedModels.strings(dir), 100, (model, rows, offset) -> {
      try (Batch batch = Batch.open(model, SavedModels.DEFAULT, rows, Map.of())) {
        for (int row = 0; row < rows; row++) {
          batch.writer("text").putString(row, 0, (offset + "/" + row).getBytes(StandardCharsets.UTF_8));
        }
        batch.run();
        for (int row = 0; row < rows; row++) {
          assertEquals(
              offset + "/" + row + "!", new String(batch.reader("marked").getString(row, 0), StandardCharsets.UTF_8));
        }
      }
    });
  }
}
