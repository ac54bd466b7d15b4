package exporter.onnxruntime;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/**
 * ONNX models in ONNX Runtime's Java binding, on its CPU provider.
 *
 * <p>An ONNX file holds one graph and no signature keys. Its one signature is called {@value #KEY}, and
 * {@link Model#signature} gives it for any key that is asked for.
 */
public final class OnnxRuntimeEngine implements Engine {
  /** The key of the one signature a file has. */
  public static final String KEY = "serving_default";

  @Override
  public String name() {
    return "onnxruntime-java";
  }

  @Override
  public String format() {
    return "onnx";
  }

  @Override
  public boolean accepts(Path artifact) {
    return artifact.toString().endsWith(".onnx") && Files.isRegularFile(artifact);
  }

  @Override
  public Map<String, String> versions() {
    return Map.of("onnxruntime", environment().getVersion());
  }

  @Override
  public Set<DType> dtypes() {
    return OnnxTypes.CARRIED;
  }

  @Override
  public Model load(Path artifact, EngineOptions options) {
    if (!Files.isRegularFile(artifact)) {
      String found = Files.exists(artifact) ? "a directory" : "nothing";
      throw new ModelException(
          "no-artifact",
          "no ONNX model at " + artifact + ": found " + found + ", expected a .onnx file; check the path");
    }
    OrtEnvironment environment = environment();
    OrtSession.SessionOptions settings = new OrtSession.SessionOptions();
    OrtSession session = null;
    try {
      settings.setIntraOpNumThreads(options.threads());
      settings.setInterOpNumThreads(1);
      settings.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL); // errors are thrown as well
      session = open(environment, artifact, settings);
      Signature signature = signature(session, artifact);
      signature.checkCarried(name(), OnnxTypes.CARRIED);
      StringAccess strings = hasStrings(signature) ? StringAccess.open() : null;
      return new OnnxRuntimeModel(environment, session, settings, signature, strings);
    } catch (OrtException e) {
      release(session, settings);
      throw Failures.opening(artifact, environment.getVersion(), e);
    } catch (RuntimeException e) {
      release(session, settings);
      throw e;
    }
  }

  private static OrtSession open(OrtEnvironment environment, Path artifact, OrtSession.SessionOptions settings)
      throws OrtException {
    String path = artifact.toString();
    if (path.chars().noneMatch(unit -> Character.isSurrogate((char) unit))) {
      return environment.createSession(path, settings);
    }
    // the binding writes names as JNI's modified UTF-8, in which a character beyond U+FFFF names no file
    try {
      return environment.createSession(Files.readAllBytes(artifact), settings);
    } catch (IOException e) {
      throw new ModelException("unreadable", "cannot read " + artifact + ": " + e, e);
    }
  }

  private static void release(OrtSession session, OrtSession.SessionOptions settings) {
    try {
      if (session != null) {
        session.close();
      }
    } catch (OrtException ignored) {
      // the first failure is the one to report
    } finally {
      settings.close();
    }
  }

  private static Signature signature(OrtSession session, Path artifact) throws OrtException {
    Set<String> unranked = OnnxFile.unranked(artifact);
    return new Signature(
        KEY, specs(session.getInputInfo().values(), unranked), specs(session.getOutputInfo().values(), unranked));
  }

  private static List<TensorSpec> specs(Collection<NodeInfo> nodes, Set<String> unranked) {
    List<TensorSpec> specs = new ArrayList<>();
    for (NodeInfo node : nodes) {
      if (!(node.getInfo() instanceof TensorInfo)) {
        throw new Unsupported("'" + node.getName() + "' is no tensor but " + node.getInfo());
      }
      TensorInfo info = (TensorInfo) node.getInfo();
      DType dtype = OnnxTypes.dtype(info.onnxType);
      if (dtype == null) {
        throw new Unsupported("'" + node.getName() + "' has elements of " + info.onnxType);
      }
      // the binding shows a tensor without a shape as a scalar
      long[] shape = unranked.contains(node.getName())
          ? null
          : Arrays.stream(info.getShape()).map(dim -> Math.max(dim, TensorSpec.DYNAMIC)).toArray();
      specs.add(new TensorSpec(node.getName(), dtype, shape));
    }
    return specs;
  }

  private static boolean hasStrings(Signature signature) {
    return Stream.concat(signature.inputs().values().stream(), signature.outputs().values().stream())
        .anyMatch(spec -> spec.dtype() == DType.STRING);
  }

  /** One per process, which ONNX Runtime closes at its end. */
  private static OrtEnvironment environment() {
    try {
      return OrtEnvironment.getEnvironment();
    } catch (LinkageError | RuntimeException e) {
      throw new Unsupported(
          "ONNX Runtime has no native library for " + System.getProperty("os.name") + " on "
              + System.getProperty("os.arch") + ", or it cannot be loaded: "
              + (e.getCause() == null ? e : e.getCause()));
    }
  }
}
