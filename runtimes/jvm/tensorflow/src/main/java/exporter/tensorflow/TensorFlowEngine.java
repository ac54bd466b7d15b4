package exporter.tensorflow;

import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Signature;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import org.tensorflow.TensorFlow;

/** SavedModels in TensorFlow Java. */
public final class TensorFlowEngine implements Engine {
  /** The name of the runtime. */
  public static final String NAME = "tensorflow-java";

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String format() {
    return "saved-model";
  }

  @Override
  public boolean accepts(Path artifact) {
    return Files.isRegularFile(artifact.resolve(SavedModelFile.NAME));
  }

  /**
   * @throws ModelException the native library cannot be loaded
   */
  @Override
  public Map<String, String> versions() {
    NativeLibrary.load();
    Map<String, String> versions = new TreeMap<>();
    versions.put("tensorflow", TensorFlow.version());
    versions.put("tensorflow-java", bindingsVersion());
    return versions;
  }

  private static String bindingsVersion() {
    String file = "/META-INF/maven/org.tensorflow/tensorflow-core-api/pom.properties";
    try (InputStream in = TensorFlow.class.getResourceAsStream(file)) {
      Properties properties = new Properties();
      if (in != null) {
        properties.load(in);
      }
      return properties.getProperty("version", "unknown");
    } catch (IOException e) {
      return "unknown";
    }
  }

  @Override
  public Set<DType> dtypes() {
    return TensorTypes.CARRIED;
  }

  @Override
  public Model load(Path artifact, EngineOptions options) {
    MetaGraph metaGraph = SavedModelFile.read(artifact).metaGraph(options.tags());
    NativeLibrary.load();
    return TensorFlowModel.load(artifact, metaGraph, options);
  }

  /** Reads the file and loads no native code. */
  @Override
  public Map<String, Signature> signatures(Path artifact, EngineOptions options) {
    return SavedModelFile.read(artifact).metaGraph(options.tags()).signatures();
  }
}
