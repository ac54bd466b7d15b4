package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.EngineOptions;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.Unsupported;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tensorflow.proto.DataType;
import org.tensorflow.proto.MetaGraphDef;
import org.tensorflow.proto.SignatureDef;
import org.tensorflow.proto.TensorInfo;

/** What a SavedModel says about itself, read without TensorFlow. */
class SavedModelFileTest {
  private static final Set<String> SERVE = Set.of("serve");

  @TempDir Path dir;

  private Map<String, Signature> signatures() {
    return new TensorFlowEngine().signatures(dir, EngineOptions.defaults());
  }

  private ModelException refusal(String code) {
    ModelException refusal = assertThrows(ModelException.class, this::signatures);
    assertEquals(code, refusal.code(), refusal::getMessage);
    return refusal;
  }

  @Test
  void namesDtypesAndShapesSortedByName() {
    SavedModels.mixed(dir);
    assertEquals(
        "{serving_default=serving_default([amount: float32 [?], ids: int64 [?, 3]]) -> [large: bool [?], total: int64"
            + " [?]]}",
        signatures().toString());
  }

  @Test
  void anUnknownRankIsNoScalar() {
    SavedModels.unknownRank(dir);
    assertNull(signatures().get(SavedModels.DEFAULT).inputs().get("x").shape());
    assertNull(signatures().get(SavedModels.DEFAULT).outputs().get("y").shape());
  }

  @Test
  void aScalarHasNoDimensions() {
    SavedModels.scalar(dir);
    assertEquals(0, signatures().get(SavedModels.DEFAULT).inputs().get("x").shape().length);
  }

  @Test
  void theMarkerOfTheInitialiserIsNoSignature() {
    SavedModels.twoSignatures(dir);
    assertEquals(List.of("minus", "serving_default"), List.copyOf(signatures().keySet()));
  }

  @Test
  void theMetaGraphIsChosenByItsTags() {
    SavedModels.linear(dir);
    SavedModels.edit(dir, meta -> {
      MetaGraphDef.Builder builder = meta.toBuilder();
      builder.getMetaInfoDefBuilder().addTags("gpu");
      return builder.build();
    });
    ModelException refusal = refusal("no-tags");
    assertTrue(refusal.getMessage().contains("[serve], found [gpu, serve]"), refusal::getMessage);
    EngineOptions options = EngineOptions.defaults().withTags(Set.of("serve", "gpu"));
    assertEquals(Set.of(SavedModels.DEFAULT), new TensorFlowEngine().signatures(dir, options).keySet());
  }

  @Test
  void thereMayBeSeveralMetaGraphs() throws IOException {
    SavedModels.write(dir, metaGraph("one", "a"), metaGraph("two", "b"));
    SavedModelFile file = SavedModelFile.read(dir);
    assertEquals(Set.of("one"), file.metaGraph(Set.of("a")).signatures().keySet());
    assertEquals(Set.of("two"), file.metaGraph(Set.of("b")).signatures().keySet());
  }

  private static MetaGraphDef metaGraph(String key, String... tags) {
    MetaGraphDef.Builder builder = MetaGraphDef.newBuilder();
    builder.getMetaInfoDefBuilder().addAllTags(Arrays.asList(tags));
    return builder.putSignatureDef(key, SignatureDef.getDefaultInstance()).build();
  }

  @Test
  void withoutSignaturesThereIsNothingToCall() {
    SavedModels.twoSignatures(dir);
    SavedModels.edit(dir, meta -> meta.toBuilder().removeSignatureDef("minus").removeSignatureDef("serving_default")
        .build());
    refusal("no-signatures");
  }

  @Test
  void anUnknownKeyIsAnsweredWithTheKnownOnes() {
    SavedModels.twoSignatures(dir);
    MetaGraph metaGraph = SavedModelFile.read(dir).metaGraph(SERVE);
    ModelException refusal = assertThrows(ModelException.class, () -> metaGraph.signature("plus"));
    assertEquals("no-signature", refusal.code());
    assertTrue(refusal.getMessage().contains("'plus', found minus, serving_default;"), refusal::getMessage);
  }

  @Test
  void whatIsNotDenseIsUnsupportedAndTheRestIsNot() {
    SavedModels.twoSignatures(dir);
    TensorInfo sparse = TensorInfo.newBuilder().setDtype(DataType.DT_FLOAT)
        .setCooSparse(TensorInfo.CooSparse.newBuilder().setValuesTensorName("v:0")).build();
    TensorInfo composite = TensorInfo.newBuilder().setDtype(DataType.DT_VARIANT)
        .setCompositeTensor(TensorInfo.CompositeTensor.getDefaultInstance()).build();
    TensorInfo complex = TensorInfo.newBuilder().setDtype(DataType.DT_COMPLEX128).setName("x:0").build();
    SavedModels.edit(dir, meta -> meta.toBuilder()
        .putSignatureDef("sparse", SignatureDef.newBuilder().putInputs("s", sparse).build())
        .putSignatureDef("composite", SignatureDef.newBuilder().putOutputs("c", composite).build())
        .putSignatureDef("complex", SignatureDef.newBuilder().putOutputs("z", complex).build())
        .build());
    MetaGraph metaGraph = SavedModelFile.read(dir).metaGraph(SERVE);
    assertEquals(Set.of("minus", "serving_default"), metaGraph.signatures().keySet());
    Map<String, String> reasons =
        Map.of("sparse", "input 's' is encoded as COO_SPARSE", "composite", "output 'c' is encoded as COMPOSITE",
            "complex", "output 'z' is DT_COMPLEX128");
    reasons.forEach((key, reason) -> {
      Unsupported refusal = assertThrows(Unsupported.class, () -> metaGraph.signature(key));
      assertTrue(refusal.getMessage().contains(reason), refusal::getMessage);
    });
  }

  @Test
  void aModelThatIsNotThere() throws IOException {
    dir = dir.resolve("absent");
    assertTrue(refusal("no-artifact").getMessage().contains("nothing is there"));
    Files.writeString(dir, "x");
    assertTrue(refusal("no-artifact").getMessage().contains("is a file, expected a SavedModel directory"));
    Files.delete(dir);
    Files.createDirectory(dir);
    assertTrue(refusal("no-artifact").getMessage().contains("found an empty directory, expected saved_model.pb"));
    Files.createDirectory(dir.resolve("1"));
    Files.writeString(dir.resolve("saved_model.pbtxt"), "x");
    assertTrue(refusal("no-artifact").getMessage().contains("found 1, saved_model.pbtxt, expected saved_model.pb"));
    assertFalse(new TensorFlowEngine().accepts(dir));
  }

  @Test
  void garbageIsRefused() throws IOException {
    Random random = new Random(7);
    for (int size : new int[] {0, 1, 10, 1000, 100_000}) {
      byte[] bytes = new byte[size];
      random.nextBytes(bytes);
      Files.write(dir.resolve(SavedModelFile.NAME), bytes);
      assertTrue(refusal("broken-artifact").getMessage().contains(SavedModelFile.NAME));
    }
    Files.writeString(dir.resolve(SavedModelFile.NAME), "<html>502 Bad Gateway</html>");
    refusal("broken-artifact");
  }

  @Test
  void everyTruncationIsRefused() throws IOException {
    byte[] whole = Files.readAllBytes(SavedModels.mixed(dir).resolve(SavedModelFile.NAME));
    for (int length = 0; length < whole.length; length++) {
      byte[] part = Arrays.copyOf(whole, length);
      assertThrows(
          ModelException.class, () -> SavedModelFile.read(new ByteArrayInputStream(part), "part"), length + " bytes");
    }
    assertEquals(
        Set.of(SavedModels.DEFAULT),
        SavedModelFile.read(new ByteArrayInputStream(whole), "whole").metaGraph(SERVE).signatures().keySet());
  }

  @Test
  void readingLoadsNoNativeCode() throws Exception {
    SavedModels.mixed(dir);
    assertEquals("[serving_default] false", ChildJvm.run(Reading.class, List.of(), dir.toString()));
  }

  static final class Reading {
    public static void main(String[] arguments) throws IOException {
      Set<String> keys =
          new TensorFlowEngine().signatures(Path.of(arguments[0]), EngineOptions.defaults()).keySet();
      System.out.print(keys + " " + Files.readString(Path.of("/proc/self/maps")).contains("tensorflow_cc"));
    }
  }
}
