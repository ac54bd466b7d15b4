package exporter.onnxruntime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Call;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One clear message for each way a file or a call can be wrong. */
class OnnxRuntimeFailuresTest {
  private static final String KEY = OnnxRuntimeEngine.KEY;
  private final OnnxRuntimeEngine engine = new OnnxRuntimeEngine();

  @TempDir Path temp;

  private static OnnxWriter graph(String op, String domain, String... inputs) {
    OnnxWriter writer = new OnnxWriter().node(op, domain, inputs, "y");
    return writer.input("x", OnnxWriter.FLOAT, -1, 3).output("y", OnnxWriter.FLOAT, -1, 3);
  }

  private ModelException failure(Path file) {
    ModelException failure = assertThrows(ModelException.class, () -> engine.load(file, EngineOptions.defaults()));
    assertTrue(failure.getMessage().contains(file.toString()), failure.getMessage());
    assertFalse(failure.getMessage().contains("onnxruntime_src"), failure.getMessage());
    return failure;
  }

  private String unsupported(OnnxWriter writer) throws IOException {
    Path file = writer.write(temp.resolve("model.onnx"));
    return assertThrows(Unsupported.class, () -> engine.load(file, EngineOptions.defaults())).getMessage();
  }

  @Test
  void noFile() {
    assertEquals("no-artifact", failure(temp.resolve("gone.onnx")).code());
    assertEquals("no-artifact", failure(temp).code());
  }

  @Test
  void brokenFiles() throws Exception {
    Path whole = graph("Identity", "", "x").write(temp.resolve("whole.onnx"));
    byte[] bytes = Files.readAllBytes(whole);
    for (int length = 0; length < bytes.length; length++) {
      Path cut = Files.write(temp.resolve("cut.onnx"), Arrays.copyOf(bytes, length));
      assertEquals("broken-artifact", failure(cut).code(), "first " + length + " bytes");
    }
    assertEquals("broken-artifact", failure(Files.writeString(temp.resolve("text.onnx"), "no model")).code());
    assertEquals("broken-artifact", failure(graph("Neg", "", "gone").write(temp.resolve("graph.onnx"))).code());
  }

  @Test
  void newerFilesNameBothVersions() throws Exception {
    ModelException ir = failure(graph("Identity", "", "x").ir(99).write(temp.resolve("ir.onnx")));
    assertEquals("newer-artifact", ir.code());
    String version = engine.versions().get("onnxruntime");
    assertTrue(ir.getMessage().contains("IR version 99, ONNX Runtime " + version + " reads up to 1"), ir.getMessage());
    ModelException opset = failure(graph("Identity", "", "x").opset(99).write(temp.resolve("opset.onnx")));
    assertEquals("newer-artifact", opset.code());
    assertTrue(
        opset.getMessage().contains("opset 99 of ai.onnx, ONNX Runtime " + version + " knows up to 2"),
        opset.getMessage());
  }

  @Test
  void weightsInAFileThatIsNotThere() throws Exception {
    ModelException failure =
        failure(graph("Add", "", "x", "w").external("w", "weights.bin").write(temp.resolve("external.onnx")));
    assertEquals("no-data", failure.code());
    assertTrue(failure.getMessage().contains("weights.bin"), failure.getMessage());
    Files.write(temp.resolve("weights.bin"), new byte[4]);
    assertEquals("no-data", failure(temp.resolve("external.onnx")).code());
    Files.write(temp.resolve("weights.bin"), new byte[12]);
    engine.load(temp.resolve("external.onnx"), EngineOptions.defaults()).close();
  }

  @Test
  void opsAndTypesThatOnnxRuntimeLacks() throws Exception {
    assertTrue(unsupported(graph("Foo", "com.acme", "x")).contains("com.acme:Foo"));
    assertTrue(unsupported(graph("Foo", "", "x")).contains("Foo"));
    int float8 = 17;
    OnnxWriter writer = new OnnxWriter().opset(19).node("Identity", "", new String[] {"x"}, "y");
    assertTrue(unsupported(writer.input("x", float8, 3).output("y", float8, 3)).contains("FLOAT8E4M3FN"));
  }

  @Test
  @SuppressWarnings("try") // closing twice is what it tests
  void callsThatDoNotFit() throws Exception {
    try (Model model =
        engine.load(graph("Identity", "", "x").write(temp.resolve("model.onnx")), EngineOptions.defaults())) {
      assertEquals(KEY, model.signature("other").key());
      assertEquals("no-signature", code(() -> model.newCall("other", Map.of())));
      assertEquals("input-names", code(() -> model.newCall(KEY, Map.of())));
      assertEquals("input-shape", code(() -> model.newCall(KEY, Map.of("x", new long[] {3}))));
      assertEquals("input-shape", code(() -> model.newCall(KEY, Map.of("x", new long[] {1, 4}))));
      try (Call call = model.newCall(KEY, Map.of("x", new long[] {1, 3}))) {
        assertEquals("no-input", code(() -> call.input("z")));
        assertThrows(IllegalStateException.class, () -> call.output("y"));
        call.run();
        assertEquals("no-output", code(() -> call.output("z")));
        assertThrows(IllegalStateException.class, call::run);
        call.close();
        assertThrows(IllegalStateException.class, () -> call.output("y"));
      }
      model.close();
      model.close();
    }
  }

  @Test
  void whatFailsWhileItRuns() throws Exception {
    OnnxWriter writer = new OnnxWriter().node("Add", "", new String[] {"a", "b"}, "y");
    writer.input("a", OnnxWriter.FLOAT, -1).input("b", OnnxWriter.FLOAT, -1).output("y", OnnxWriter.FLOAT, -1);
    try (Model model = engine.load(writer.write(temp.resolve("add.onnx")), EngineOptions.defaults());
        Call call = model.newCall(KEY, Map.of("a", new long[] {2}, "b", new long[] {3}))) {
      ModelException failure = assertThrows(ModelException.class, call::run);
      assertEquals("run-failed", failure.code());
      assertTrue(failure.getMessage().contains("Add"), failure.getMessage());
    }
  }

  private static String code(Runnable wrong) {
    return assertThrows(ModelException.class, wrong::run).code();
  }
}
