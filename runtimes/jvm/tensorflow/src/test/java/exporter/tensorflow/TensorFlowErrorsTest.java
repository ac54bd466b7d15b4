package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.Batch;
import exporter.core.Call;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.tensorflow.proto.DataType;
import org.tensorflow.proto.MetaGraphDef;
import org.tensorflow.proto.NodeDef;
import org.tensorflow.proto.SignatureDef;
import org.tensorflow.proto.TensorInfo;

/** What cannot work is refused with its reason, and leaves everything else working. */
class TensorFlowErrorsTest {
  private final TensorFlowEngine engine = new TensorFlowEngine();
  @TempDir Path dir;

  private Model load(Path path) {
    return engine.load(path, EngineOptions.defaults());
  }

  private static String refusal(String code, Executable action) {
    ModelException refusal = assertThrows(ModelException.class, action);
    assertEquals(code, refusal.code(), refusal::getMessage);
    return refusal.getMessage();
  }

  private static void assertContains(String expected, String message) {
    assertTrue(message.contains(expected), message);
  }

  /** TensorFlow Java has no tensor class for these; its own error would come after the run, of an output. */
  @ParameterizedTest
  @EnumSource(
      value = DataType.class,
      names = {"DT_INT8", "DT_INT16", "DT_UINT32", "DT_UINT64", "DT_COMPLEX64"})
  void aTypeWithoutATensorClassIsUnsupportedAndOnlyWhereItIs(DataType type) {
    SavedModels.identity(dir, type, DataType.DT_FLOAT);
    SavedModels.edit(dir, meta -> {
      SignatureDef both = meta.getSignatureDefOrThrow(SavedModels.DEFAULT);
      TensorInfo other = both.getInputsOrThrow(type.name());
      return meta.toBuilder()
          .putSignatureDef("plain", both.toBuilder().removeInputs(type.name()).removeOutputs(type.name()).build())
          .putSignatureDef("in", SignatureDef.newBuilder().putInputs("i", other)
              .putOutputs("o", both.getOutputsOrThrow("DT_FLOAT")).build())
          .putSignatureDef("out", SignatureDef.newBuilder().putInputs("i", both.getInputsOrThrow("DT_FLOAT"))
              .putOutputs("o", other).build())
          .build();
    });
    try (Model model = load(dir)) {
      assertEquals(4, model.signatures().size());
      Map<String, long[]> shapes = Map.of("i", new long[] {1, 3});
      String dtype = model.signature("in").inputs().get("i").dtype().label();
      Unsupported in = assertThrows(Unsupported.class, () -> model.newCall("in", shapes));
      assertContains("input 'i' is " + dtype + " [?, 3]; tensorflow-java carries bool, uint8, ", in.getMessage());
      Unsupported out = assertThrows(Unsupported.class, () -> model.newCall("out", shapes));
      assertContains("output 'o' is " + dtype + " [?, 3]; ", out.getMessage());
      try (Call call = model.newCall("plain", Map.of("DT_FLOAT", new long[] {1, 3}))) {
        call.input("DT_FLOAT").bytes().putFloat(0, 1f).putFloat(4, 2f).putFloat(8, 3f);
        call.run();
        assertEquals(3f, call.output("DT_FLOAT").bytes().getFloat(8));
      }
    }
  }

  private MetaGraphDef spoil(MetaGraphDef meta, NodeDef node, String version) {
    MetaGraphDef.Builder builder = meta.toBuilder();
    builder.getMetaInfoDefBuilder().setTensorflowVersion(version);
    builder.getGraphDefBuilder().addNode(node);
    return builder.build();
  }

  @Test
  void aModelOfANewerTensorFlowNamesBothVersions() {
    String runtime = engine.versions().get("tensorflow");
    SavedModels.linear(dir);
    NodeDef unknownOp = NodeDef.newBuilder().setName("new").setOp("OpOfTheFuture").build();
    SavedModels.edit(dir, meta -> spoil(meta, unknownOp, "2.99.0"));
    String message = refusal("newer-model", () -> load(dir));
    assertContains("written by TensorFlow 2.99.0 and uses what this TensorFlow " + runtime + " does not", message);
    assertContains("Op type not registered 'OpOfTheFuture'", message);
    assertContains("export it with TensorFlow " + runtime + " or older", message);
  }

  @Test
  void aGraphThatAsksForANewerTensorFlowIsTheSameTrouble() {
    SavedModels.sameTensor(dir);
    SavedModels.edit(dir, meta -> {
      MetaGraphDef.Builder builder = meta.toBuilder();
      builder.getGraphDefBuilder().getVersionsBuilder().setProducer(999_999).setMinConsumer(999_999);
      return builder.build();
    });
    String message = refusal("newer-model", () -> load(dir));
    assertContains("written by TensorFlow of an unknown version", message);
    assertContains("min consumer version 999999", message);
  }

  @Test
  void aModelWithoutItsVariablesSaysWhatIsMissing() throws IOException {
    SavedModels.linear(dir);
    for (String file : new String[] {"variables.index", "variables.data-00000-of-00001"}) {
      Files.delete(dir.resolve("variables").resolve(file));
    }
    assertContains(
        "has no variables/variables.index, but its graph has variables", refusal("no-variables", () -> load(dir)));
  }

  private void move(String key, String output, String tensor) {
    SavedModels.edit(dir, meta -> {
      SignatureDef signature = meta.getSignatureDefOrThrow(key);
      TensorInfo moved = signature.getOutputsOrThrow(output).toBuilder().setName(tensor).build();
      return meta.toBuilder().putSignatureDef(key, signature.toBuilder().putOutputs(output, moved).build()).build();
    });
  }

  @Test
  void aSignatureOfATensorThatIsNotThere() {
    SavedModels.twoSignatures(dir);
    for (String tensor : new String[] {"absent:0", "absent", "Placeholder:7", "Placeholder:x"}) {
      move("minus", "difference", tensor);
      try (Model model = load(dir)) {
        Map<String, long[]> shapes = Map.of("a", new long[] {1}, "b", new long[] {1});
        assertContains(
            "output 'difference' of signature 'minus' is the tensor '" + tensor + "', which is not in the graph",
            refusal("broken-signature", () -> model.newCall("minus", shapes)));
        model.newCall(SavedModels.DEFAULT, Map.of("x", new long[] {1})).close();
      }
    }
  }

  @Test
  void aSignatureThatTheBindingsFailOn() {
    SavedModels.linear(dir);
    TensorInfo sparse = TensorInfo.newBuilder().setDtype(DataType.DT_FLOAT)
        .setCooSparse(TensorInfo.CooSparse.newBuilder().setValuesTensorName("v:0")).build();
    SavedModels.edit(dir, meta -> meta.toBuilder()
        .putSignatureDef("sparse", SignatureDef.newBuilder().putInputs("s", sparse).build()).build());
    Unsupported refusal = assertThrows(Unsupported.class, () -> load(dir));
    assertContains(
        "because of one signature: signature 'sparse': input 's' is encoded as COO_SPARSE", refusal.getMessage());
  }

  @Test
  void feedsThatDoNotFit() {
    try (Model model = load(SavedModels.mixed(dir))) {
      long[] rows = {2};
      long[] ids = {2, 3};
      assertContains(
          "no signature 'other', found serving_default",
          refusal("no-signature", () -> model.newCall("other", Map.of())));
      String key = SavedModels.DEFAULT;
      assertContains(
          "expected [amount, ids], found [amount]",
          refusal("input-names", () -> model.newCall(key, Map.of("amount", rows))));
      refusal("input-names", () -> model.newCall(key, Map.of("amount", rows, "ids", ids, "more", rows)));
      assertContains(
          "input 'ids' is fed int64 [2, 4], expected int64 [?, 3]",
          refusal("input-shape", () -> model.newCall(key, Map.of("amount", rows, "ids", new long[] {2, 4}))));
      refusal("input-shape", () -> model.newCall(key, Map.of("amount", rows, "ids", new long[] {6})));
      refusal("input-shape", () -> model.newCall(key, Map.of("amount", new long[] {-1}, "ids", ids)));
    }
  }

  @Test
  void feedsThatNoMemoryHolds() {
    try (Model model = load(SavedModels.rowSums(dir.resolve("floats")))) {
      for (long[] shape : new long[][] {{1L << 40, 1L << 40}, {1L << 62, 1}, {1L << 45, 4}}) {
        assertContains(
            "run fewer rows at once",
            refusal("input-size", () -> model.newCall(SavedModels.DEFAULT, Map.of("x", shape))));
      }
    }
    try (Model model = load(SavedModels.strings(dir.resolve("strings")))) {
      refusal("input-size", () -> model.newCall(SavedModels.DEFAULT, Map.of("text", new long[] {1L << 31})));
    }
  }

  @Test
  void namesThatAreNotThere() {
    try (Model model = load(SavedModels.rowSums(dir));
        Call call = model.newCall(SavedModels.DEFAULT, Map.of("x", new long[] {0, 1}))) {
      assertContains("no input 'y', found x", refusal("no-input", () -> call.input("y")));
      call.run();
      assertContains("no output 'x', found y", refusal("no-output", () -> call.output("x")));
      assertContains("no output 'z', found y", refusal("no-output", () -> call.output("z")));
    }
  }

  @Test
  void aStringThatWasNeverSet() {
    try (Model model = load(SavedModels.strings(dir));
        Batch batch = Batch.open(model, SavedModels.DEFAULT, 2, Map.of())) {
      batch.writer("text").putString(0, 0, new byte[0]);
      assertContains("input 'text': string 1 of 2 was not set", refusal("no-value", batch::run));
    }
  }

  @Test
  void aRunThatFailsLeavesTheModelUsable() {
    try (Model model = load(SavedModels.numbers(dir));
        Batch bad = Batch.open(model, SavedModels.DEFAULT, 1, Map.of());
        Batch good = Batch.open(model, SavedModels.DEFAULT, 1, Map.of())) {
      bad.writer("text").putString(0, 0, "twelve".getBytes(StandardCharsets.UTF_8));
      String message = refusal("run", bad::run);
      assertContains("cannot run the signature 'serving_default' of " + dir + ": ", message);
      assertContains("could not correctly convert string: twelve", message);
      assertEquals(1, message.lines().count());
      assertThrows(IllegalStateException.class, () -> bad.reader("number"));
      assertThrows(IllegalStateException.class, bad::run);
      good.writer("text").putString(0, 0, "12".getBytes(StandardCharsets.UTF_8));
      good.run();
      assertEquals(12f, good.reader("number").getFloat(0, 0));
    }
  }

  @Test
  void theWrongTimeIsAnsweredCleanly() {
    Model model = load(SavedModels.rowSums(dir));
    Call call = model.newCall(SavedModels.DEFAULT, Map.of("x", new long[] {1, 1}));
    assertThrows(IllegalStateException.class, () -> call.output("y"));
    call.run();
    assertThrows(IllegalStateException.class, call::run);
    call.close();
    call.close();
    assertThrows(IllegalStateException.class, call::run);
    assertThrows(IllegalStateException.class, () -> call.input("x"));
    assertThrows(IllegalStateException.class, () -> call.output("y"));
    Call late = model.newCall(SavedModels.DEFAULT, Map.of("x", new long[] {1, 1}));
    model.close();
    model.close();
    assertThrows(IllegalStateException.class, late::run);
    late.close();
    assertThrows(IllegalStateException.class, () -> model.newCall(SavedModels.DEFAULT, Map.of("x", new long[] {1, 1})));
  }

  @Test
  void buffersRefuseWhatTheyAreNot() {
    try (Model model = load(SavedModels.strings(dir.resolve("strings")));
        Call call = model.newCall(SavedModels.DEFAULT, Map.of("text", new long[] {1}))) {
      call.input("text").string(0, new byte[] {1});
      call.run();
      assertThrows(UnsupportedOperationException.class, () -> call.input("text").bytes());
      assertThrows(UnsupportedOperationException.class, () -> call.input("text").address());
      assertThrows(UnsupportedOperationException.class, () -> call.output("same").bytes());
      assertThrows(UnsupportedOperationException.class, () -> call.output("same").address());
      assertThrows(UnsupportedOperationException.class, () -> call.output("same").string(0, new byte[0]));
      assertThrows(IndexOutOfBoundsException.class, () -> call.output("same").string(1));
      assertThrows(IndexOutOfBoundsException.class, () -> call.input("text").string(1, new byte[0]));
    }
    try (Model model = load(SavedModels.rowSums(dir.resolve("floats")));
        Call call = model.newCall(SavedModels.DEFAULT, Map.of("x", new long[] {1, 1}))) {
      assertThrows(UnsupportedOperationException.class, () -> call.input("x").string(0));
      assertThrows(UnsupportedOperationException.class, () -> call.input("x").string(0, new byte[0]));
      assertThrows(IndexOutOfBoundsException.class, () -> call.input("x").bytes().putFloat(4, 1f));
    }
  }
}
