package exporter.onnxruntime;

import ai.onnxruntime.OrtException;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What ONNX Runtime's errors mean for the one who exported or deployed the model. */
final class Failures {
  private static final Pattern NEWER_IR = Pattern.compile("IR version: (\\d+), max supported IR version: (\\d+)");
  private static final Pattern NEWER_OPSET =
      Pattern.compile("Opset (\\d+) is under development.*support for domain (\\S+) is till opset (\\d+)");
  private static final Pattern NO_TYPE =
      Pattern.compile("MLDataType for: tensor\\((\\S+)\\) is not currently registered");
  private static final Pattern NO_OP =
      Pattern.compile("is not a registered function/op|Could not find an implementation for|No Op registered for");
  private static final Pattern NO_DATA = Pattern.compile("(?i)external (data|initializer)");
  /** Prefixes that say where in ONNX Runtime's own sources a check failed. */
  private static final Pattern SOURCE =
      Pattern.compile(
          "^.*message: |Load model (from )?.*? failed[:.] ?|/\\S+\\.(cc|h):\\d+ [^)]*\\) |^Exception during \\w+: ?");

  private Failures() {}

  /** ONNX Runtime's own words, without its error code and the places in its sources. */
  static String words(OrtException error) {
    return SOURCE.matcher(String.valueOf(error.getMessage())).replaceAll("").strip();
  }

  /** Why a file could not be opened: {@link Unsupported} or {@link ModelException}. */
  static RuntimeException opening(Path artifact, String version, OrtException error) {
    String words = words(error);
    String runtime = "ONNX Runtime " + version;
    Matcher ir = NEWER_IR.matcher(words);
    if (ir.find()) {
      return newer(
          artifact + " has ONNX IR version " + ir.group(1) + ", " + runtime + " reads up to " + ir.group(2), error);
    }
    Matcher opset = NEWER_OPSET.matcher(words);
    if (opset.find()) {
      return newer(
          artifact + " uses opset " + opset.group(1) + " of " + opset.group(2) + ", " + runtime + " knows up to "
              + opset.group(3),
          error);
    }
    Matcher type = NO_TYPE.matcher(words);
    if (type.find()) {
      return new Unsupported(runtime + " has no tensors of " + type.group(1) + ", which this model takes or returns");
    }
    if (NO_OP.matcher(words).find()) {
      return new Unsupported(runtime + " lacks an op of this model: " + words);
    }
    if (NO_DATA.matcher(words).find()) {
      return new ModelException(
          "no-data",
          artifact + " keeps weights in another file, which cannot be read: " + words
              + "; put the whole file beside it",
          error);
    }
    return new ModelException(
        "broken-artifact", artifact + " is no model that " + runtime + " can open: " + words + "; export it again",
        error);
  }

  private static ModelException newer(String what, OrtException error) {
    return new ModelException(
        "newer-artifact", what + "; export the model with a lower opset, or update ONNX Runtime", error);
  }
}
