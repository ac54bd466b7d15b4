package exporter.tflite;

import com.sun.jna.Pointer;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.HostTensor;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.util.HashMap;
import java.util.Map;

/** One run in an interpreter that is this call's own until it is closed. */
final class LiteCall implements Call {
  private final LiteModel model;
  private final Signature signature;
  private final Pointer runner;
  private final Map<String, TensorBuffer> inputs = new HashMap<>();
  private final Map<String, TensorBuffer> outputs = new HashMap<>();
  private LiteInterpreter interpreter;
  private boolean started;
  private boolean finished;

  /**
   * @param interpreter given back to the model by {@link #close}; stays the caller's when this throws
   * @param shapes what the signature takes
   * @throws ModelException the graph does not take these shapes
   * @throws Unsupported it holds ops that TensorFlow Lite lacks
   */
  LiteCall(LiteModel model, LiteInterpreter interpreter, Signature signature, Map<String, long[]> shapes) {
    this.model = model;
    this.signature = signature;
    this.interpreter = interpreter;
    this.runner = interpreter.runner(signature.key());
    for (TensorSpec spec : signature.inputs().values()) {
      resize(spec, shapes.get(spec.name()));
    }
    if (TfLite.TfLiteSignatureRunnerAllocateTensors(runner) != 0) {
      throw interpreter.failure("input-shape", "TensorFlow Lite cannot run the model with these shapes", "feed others");
    }
    interpreter.reset();
    for (TensorSpec spec : signature.inputs().values()) {
      inputs.put(
          spec.name(),
          spec.dtype() == DType.STRING
              ? HostTensor.zeros(DType.STRING, shapes.get(spec.name()))
              : new LiteTensor(inputTensor(spec.name())));
    }
  }

  private void resize(TensorSpec spec, long[] shape) {
    int[] dims = new int[shape.length];
    for (int i = 0; i < dims.length; i++) {
      dims[i] = (int) shape[i];
      if (dims[i] != shape[i]) {
        throw new ModelException(
            "input-shape",
            "input '" + spec.name() + "' is fed " + TensorSpec.describe(spec.dtype(), shape)
                + "; TensorFlow Lite takes up to " + Integer.MAX_VALUE + " in a dimension");
      }
    }
    byte[] name = LiteInterpreter.utf8(spec.name());
    if (TfLite.TfLiteSignatureRunnerResizeInputTensor(runner, name, dims, dims.length) != 0) {
      throw interpreter.failure(
          "input-shape",
          "input '" + spec.name() + "' does not take " + TensorSpec.describe(spec.dtype(), shape),
          "feed another shape");
    }
  }

  private Pointer inputTensor(String name) {
    return TfLite.TfLiteSignatureRunnerGetInputTensor(runner, LiteInterpreter.utf8(name));
  }

  @Override
  public TensorBuffer input(String name) {
    return checked(name, signature.inputs(), "input", inputs.get(name));
  }

  @Override
  public void run() {
    if (started || interpreter == null) {
      throw new IllegalStateException("a call runs once; open another one");
    }
    started = true;
    inputs.forEach(
        (name, buffer) -> {
          if (buffer.dtype() == DType.STRING) {
            LiteStrings.write(inputTensor(name), buffer);
          }
        });
    if (TfLite.TfLiteSignatureRunnerInvoke(runner) != 0) {
      throw interpreter.failure("run-failed", "TensorFlow Lite cannot run the model", "check the shapes it is fed");
    }
    finished = true;
  }

  @Override
  public TensorBuffer output(String name) {
    if (!finished || interpreter == null) {
      throw new IllegalStateException("the call has not run");
    }
    return checked(name, signature.outputs(), "output", outputs.computeIfAbsent(name, this::read));
  }

  private TensorBuffer read(String name) {
    TensorSpec spec = signature.outputs().get(name);
    if (spec == null) {
      return null;
    }
    Pointer tensor = TfLite.TfLiteSignatureRunnerGetOutputTensor(runner, LiteInterpreter.utf8(name));
    return spec.dtype() == DType.STRING
        ? HostTensor.ofStrings(LiteTensor.shape(tensor), LiteStrings.read(tensor))
        : new LiteTensor(tensor);
  }

  private static TensorBuffer checked(String name, Map<String, TensorSpec> specs, String side, TensorBuffer found) {
    if (found == null) {
      throw new ModelException(
          "no-" + side, "no " + side + " '" + name + "', found " + String.join(", ", specs.keySet()));
    }
    return found;
  }

  @Override
  public void close() {
    if (interpreter == null) {
      return;
    }
    // one that failed half-way may be in any state
    model.giveBack(interpreter, started == finished);
    interpreter = null;
  }
}
