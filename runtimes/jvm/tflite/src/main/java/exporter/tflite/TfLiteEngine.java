package exporter.tflite;

import com.sun.jna.Pointer;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/**
 * TensorFlow Lite models by their signatures, in the library's own optimized kernels and without any delegate: what
 * Python calls {@code BUILTIN_WITHOUT_DEFAULT_DELEGATES}.
 */
public final class TfLiteEngine implements Engine {
  @Override
  public String name() {
    return "tflite-java";
  }

  @Override
  public String format() {
    return "tflite";
  }

  @Override
  public boolean accepts(Path artifact) {
    return artifact.toString().endsWith(".tflite") && Files.isRegularFile(artifact);
  }

  @Override
  public Map<String, String> versions() {
    TfLite.load();
    return Map.of("tensorflow-lite", TfLite.TfLiteVersion().getString(0));
  }

  /** The library with its version, for messages. */
  static String library() {
    return "TensorFlow Lite " + TfLite.TfLiteVersion().getString(0);
  }

  @Override
  public Set<DType> dtypes() {
    return LiteTypes.CARRIED;
  }

  @Override
  public Model load(Path artifact, EngineOptions options) {
    if (!Files.isRegularFile(artifact)) {
      String found = Files.exists(artifact) ? "a directory" : "nothing";
      throw new ModelException(
          "no-artifact",
          "no TensorFlow Lite model at " + artifact + ": found " + found + ", expected a .tflite file; check the path");
    }
    TfLite.load();
    ErrorLog log = new ErrorLog();
    Pointer model = TfLite.TfLiteModelCreateFromFileWithErrorReporter(nativePath(artifact), log, null);
    if (model == null) {
      throw log.failure(
          "broken-artifact", artifact + " is no model that " + library() + " can open", "convert it again");
    }
    return new LiteModel(model, options.threads(), artifact);
  }

  /** The bytes of a path, as the JVM itself gives them to the system. */
  private static byte[] nativePath(Path path) {
    return (path + "\0").getBytes(Charset.forName(System.getProperty("sun.jnu.encoding", "UTF-8")));
  }
}
