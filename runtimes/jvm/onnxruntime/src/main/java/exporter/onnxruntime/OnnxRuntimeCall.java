package exporter.onnxruntime;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.HostTensor;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/** Inputs in direct buffers that the session reads in place; outputs copied out of its tensors when asked for. */
final class OnnxRuntimeCall implements Call {
  private final OnnxRuntimeModel model;
  private final Signature signature;
  private final Map<String, TensorBuffer> inputs = new LinkedHashMap<>();
  private final Map<String, TensorBuffer> outputs = new HashMap<>();
  private final Map<String, OnnxTensor> feeds = new LinkedHashMap<>();
  private Scratch scratch;
  private OrtSession.Result result;
  private boolean started;

  /**
   * @param scratch given back to the model by {@link #close}
   */
  OnnxRuntimeCall(OnnxRuntimeModel model, Signature signature, Map<String, long[]> shapes, Scratch scratch) {
    this.model = model;
    this.signature = signature;
    this.scratch = scratch;
    for (TensorSpec spec : signature.inputs().values()) {
      long[] shape = shapes.get(spec.name());
      inputs.put(
          spec.name(),
          spec.dtype() == DType.STRING
              ? HostTensor.zeros(DType.STRING, shape)
              : scratch.tensor("input '" + spec.name() + "'", spec.dtype(), shape));
    }
  }

  @Override
  public TensorBuffer input(String name) {
    return checked(name, signature.inputs(), "input", inputs.get(name));
  }

  @Override
  public void run() {
    if (started || scratch == null) {
      throw new IllegalStateException("a call runs once; open another one");
    }
    started = true;
    try {
      for (Map.Entry<String, TensorBuffer> input : inputs.entrySet()) {
        feeds.put(input.getKey(), model.tensor(input.getValue()));
      }
      result = model.run(feeds);
    } catch (OrtException e) {
      throw new ModelException("run-failed", "ONNX Runtime cannot run the model: " + Failures.words(e), e);
    }
  }

  @Override
  public TensorBuffer output(String name) {
    if (result == null) {
      throw new IllegalStateException("the call has not run");
    }
    return checked(name, signature.outputs(), "output", outputs.computeIfAbsent(name, this::read));
  }

  private TensorBuffer read(String name) {
    OnnxValue value = result.get(name).orElse(null);
    if (!(value instanceof OnnxTensor)) {
      return null;
    }
    OnnxTensor tensor = (OnnxTensor) value;
    DType dtype = OnnxTypes.dtype(tensor.getInfo().onnxType);
    long[] shape = tensor.getInfo().getShape();
    if (dtype == DType.STRING) {
      return HostTensor.ofStrings(shape, model.strings().read(tensor));
    }
    DirectTensor copy = scratch.tensor("output '" + name + "'", dtype, shape);
    if (copy.elements() > 0) {
      ByteBuffer bytes = tensor.getByteBuffer();
      copy.bytes().put(bytes.order(ByteOrder.nativeOrder()));
    }
    return copy;
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
    if (scratch == null) {
      return;
    }
    if (result != null) {
      result.close();
    }
    feeds.values().forEach(OnnxTensor::close);
    model.giveBack(scratch);
    scratch = null;
    result = null;
  }
}
