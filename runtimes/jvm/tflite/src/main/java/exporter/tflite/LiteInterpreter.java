package exporter.tflite;

import com.sun.jna.Pointer;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** An interpreter with its tensors' memory and its runners of signatures. Used by one thread at a time. */
final class LiteInterpreter implements AutoCloseable {
  private final ErrorLog log = new ErrorLog();
  private final Map<String, Pointer> runners = new HashMap<>();
  private Pointer interpreter;

  /**
   * @throws Unsupported the model needs ops that TensorFlow Lite lacks
   * @throws ModelException it cannot be built for another reason
   */
  LiteInterpreter(Pointer model, int threads) {
    Pointer options = TfLite.TfLiteInterpreterOptionsCreate();
    try {
      TfLite.TfLiteInterpreterOptionsSetNumThreads(options, threads);
      TfLite.TfLiteInterpreterOptionsSetErrorReporter(options, log, null);
      interpreter = TfLite.TfLiteInterpreterCreate(model, options);
    } finally {
      TfLite.TfLiteInterpreterOptionsDelete(options);
    }
    if (interpreter == null) {
      throw failure("broken-artifact", "TensorFlow Lite cannot prepare the model", "convert it again");
    }
  }

  /** Text as the C functions take it. */
  static byte[] utf8(String text) {
    return (text + "\0").getBytes(StandardCharsets.UTF_8);
  }

  private static String text(Pointer utf8) {
    return utf8.getString(0, StandardCharsets.UTF_8.name());
  }

  RuntimeException failure(String code, String what, String remedy) {
    return log.failure(code, what, remedy);
  }

  List<String> keys() {
    List<String> keys = new ArrayList<>();
    for (int i = 0; i < TfLite.TfLiteInterpreterGetSignatureCount(interpreter); i++) {
      keys.add(text(TfLite.TfLiteInterpreterGetSignatureKey(interpreter, i)));
    }
    return keys;
  }

  /**
   * What runs one signature; lives as long as this.
   *
   * @param key one of {@link #keys}
   */
  Pointer runner(String key) {
    return runners.computeIfAbsent(
        key,
        absent -> {
          Pointer runner = TfLite.TfLiteInterpreterGetSignatureRunner(interpreter, utf8(absent));
          if (runner == null) {
            throw failure(
                "broken-artifact", "TensorFlow Lite cannot prepare signature '" + key + "'", "convert it again");
          }
          return runner;
        });
  }

  /**
   * The contract of a signature, its inputs and outputs by position.
   *
   * @throws Unsupported a tensor has a type that no {@link exporter.core.DType} describes
   */
  Signature signature(String key, LiteFile.Order order) {
    Pointer runner = runner(key);
    List<TensorSpec> inputs = new ArrayList<>();
    for (String name : order.inputs) {
      inputs.add(LiteTensor.spec(name, TfLite.TfLiteSignatureRunnerGetInputTensor(runner, utf8(name))));
    }
    List<TensorSpec> outputs = new ArrayList<>();
    for (String name : order.outputs) {
      outputs.add(LiteTensor.spec(name, TfLite.TfLiteSignatureRunnerGetOutputTensor(runner, utf8(name))));
    }
    return new Signature(key, inputs, outputs);
  }

  /**
   * Finds out, before there is anything to run, whether the ops of a signature can be had.
   *
   * @throws Unsupported they cannot
   */
  void checkOps(String key) {
    if (TfLite.TfLiteSignatureRunnerAllocateTensors(runner(key)) != 0) {
      // other reasons may lie in the shapes, and shapes are not known yet
      RuntimeException failure = failure("input-shape", "", "");
      if (failure instanceof Unsupported) {
        throw failure;
      }
    }
  }

  /** Forgets what variables of the last run were left with. */
  void reset() {
    TfLite.TfLiteInterpreterResetVariableTensors(interpreter);
  }

  @Override
  public void close() {
    runners.values().forEach(TfLite::TfLiteSignatureRunnerDelete);
    runners.clear();
    if (interpreter != null) {
      TfLite.TfLiteInterpreterDelete(interpreter);
      interpreter = null;
    }
  }
}
