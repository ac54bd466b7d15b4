package exporter.tflite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Call;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** One clear message for each way a file or a call can be wrong. */
class TfLiteFailuresTest {
  private static final String KEY = "serving_default";
  private final TfLiteEngine engine = new TfLiteEngine();

  @TempDir Path temp;

  private Model open(Path file) {
    return engine.load(file, EngineOptions.defaults());
  }

  private ModelException failure(Path file) {
    ModelException failure = assertThrows(ModelException.class, () -> open(file));
    assertTrue(failure.getMessage().contains(file.toString()), failure.getMessage());
    return failure;
  }

  @Test
  void noFile() {
    assertEquals("no-artifact", failure(temp.resolve("gone.tflite")).code());
    assertEquals("no-artifact", failure(temp).code());
  }

  @Test
  void brokenFiles() throws Exception {
    byte[] bytes = Files.readAllBytes(Vectors.file("models/rows.tflite"));
    for (int length = 0; length < bytes.length - 8; length += 7) {
      Path cut = Files.write(temp.resolve("cut.tflite"), Arrays.copyOf(bytes, length));
      assertEquals("broken-artifact", failure(cut).code(), "first " + length + " bytes");
    }
    ModelException text = failure(Files.writeString(temp.resolve("text.tflite"), "this is no model at all"));
    assertEquals("broken-artifact", text.code());
    assertTrue(text.getMessage().contains("Flatbuffer"), text.getMessage());
  }

  @ParameterizedTest
  @CsvSource({"newer-op, ADD in version 99", "custom-op, AcmeTwice", "flex-op, FlexErfinv"})
  void opsThatTensorFlowLiteLacks(String file, String reason) {
    Path path = Vectors.file("models/" + file + ".tflite");
    String message = assertThrows(Unsupported.class, () -> open(path)).getMessage();
    assertTrue(message.contains(reason), message);
    assertTrue(message.contains("TensorFlow Lite " + engine.versions().get("tensorflow-lite")), message);
  }

  @Test
  void filesWithoutSignatures() {
    assertEquals("no-signatures", failure(Vectors.file("models/no-signature.tflite")).code());
  }

  @Test
  @SuppressWarnings("try") // closing twice is what it tests
  void callsThatDoNotFit() {
    try (Model model = open(Vectors.file("models/rows.tflite"))) {
      assertEquals("no-signature", code(() -> model.newCall("other", Map.of())));
      assertEquals("input-names", code(() -> model.newCall(KEY, Map.of())));
      assertEquals("input-shape", code(() -> model.newCall(KEY, Map.of("x", new long[] {4}))));
      assertEquals("input-shape", code(() -> model.newCall(KEY, Map.of("x", new long[] {1, 5}))));
      assertEquals("input-shape", code(() -> model.newCall(KEY, Map.of("x", new long[] {1L << 32, 4}))));
      try (Call call = model.newCall(KEY, Map.of("x", new long[] {1, 4}))) {
        assertEquals("no-input", code(() -> call.input("z")));
        assertThrows(IllegalStateException.class, () -> call.output("total"));
        call.run();
        assertEquals("no-output", code(() -> call.output("z")));
        assertThrows(IllegalStateException.class, call::run);
        call.close();
        assertThrows(IllegalStateException.class, () -> call.output("total"));
      }
      model.close();
      model.close();
      assertThrows(IllegalStateException.class, () -> model.newCall(KEY, Map.of("x", new long[] {1, 4})));
    }
  }

  @Test
  void shapesThatTheGraphDoesNotTake() {
    try (Model model = open(Vectors.file("models/same-tensors.tflite"))) {
      ModelException failure =
          assertThrows(
              ModelException.class,
              () -> model.newCall(KEY, Map.of("p", new long[] {2, 2}, "q", new long[] {3, 2})));
      assertEquals("input-shape", failure.code());
      assertTrue(failure.getMessage().contains("ADD"), failure.getMessage());
      try (Call call = model.newCall(KEY, Map.of("p", new long[] {1, 2}, "q", new long[] {1, 2}))) {
        call.run();
        assertEquals(2, call.output("sum").elements());
      }
    }
  }

  @Test
  void whatFailsWhileItRuns() {
    try (Model model = open(Vectors.file("models/gather.tflite"))) {
      for (int index : new int[] {1, 7, -1, 2}) {
        try (Call call = model.newCall(KEY, Map.of("x", new long[] {1}))) {
          call.input("x").bytes().putInt(index);
          if (index < 0 || index > 2) {
            ModelException failure = assertThrows(ModelException.class, call::run);
            assertEquals("run-failed", failure.code());
            assertTrue(failure.getMessage().contains("index out of bounds"), failure.getMessage());
            assertThrows(IllegalStateException.class, () -> call.output("y"));
          } else {
            call.run();
            assertEquals(10 + index, call.output("y").bytes().getFloat());
          }
        }
      }
    }
  }

  private static String code(Runnable wrong) {
    return assertThrows(ModelException.class, wrong::run).code();
  }
}
