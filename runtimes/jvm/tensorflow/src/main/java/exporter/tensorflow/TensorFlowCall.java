package exporter.tensorflow;

import exporter.core.Call;
import exporter.core.DType;
import exporter.core.ModelException;
import exporter.core.Shapes;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import java.util.HashMap;
import java.util.Map;
import org.tensorflow.Result;
import org.tensorflow.Tensor;
import org.tensorflow.ndarray.Shape;

/** One run: tensors are allocated for it, and freed when it is closed. */
final class TensorFlowCall implements Call {
  private enum State {
    FILLING,
    FAILED,
    DONE,
    CLOSED
  }

  private final TensorFlowModel model;
  private final Binding binding;
  private final Map<String, TensorBuffer> inputs = new HashMap<>();
  private final Map<String, Tensor> tensors = new HashMap<>();
  private Result result;
  private State state = State.FILLING;

  /**
   * @param shapes of all inputs, checked
   */
  TensorFlowCall(TensorFlowModel model, Binding binding, Map<String, long[]> shapes) {
    this.model = model;
    this.binding = binding;
    try {
      for (TensorSpec spec : binding.signature().inputs().values()) {
        inputs.put(spec.name(), allocate(spec, shapes.get(spec.name())));
      }
    } catch (RuntimeException | Error e) {
      close();
      throw e;
    }
  }

  private TensorBuffer allocate(TensorSpec spec, long[] shape) {
    String what = "input '" + spec.name() + "' of " + TensorSpec.describe(spec.dtype(), shape);
    try {
      long elements = Shapes.elements(shape);
      if (spec.dtype() == DType.STRING) {
        return new StringInput(spec.name(), shape, Math.toIntExact(elements));
      }
      Math.multiplyExact(elements, (long) spec.dtype().size());
      Tensor tensor = Tensor.of(TensorTypes.tensorClass(spec.dtype()), Shape.of(shape));
      tensors.put(spec.name(), tensor);
      return new NativeTensor(tensor);
    } catch (ArithmeticException e) {
      throw new ModelException("input-size", what + " is more than can be addressed; run fewer rows at once", e);
    } catch (IllegalStateException | NullPointerException e) {
      // the second is what the bindings make of TensorFlow's null pointer
      throw new ModelException("input-size", what + " could not be allocated; run fewer rows at once", e);
    }
  }

  @Override
  public TensorBuffer input(String name) {
    checkOpen();
    TensorBuffer found = inputs.get(name);
    if (found == null) {
      throw new ModelException(
          "no-input", "no input '" + name + "', found " + String.join(", ", binding.feeds().keySet()));
    }
    return found;
  }

  @Override
  public void run() {
    checkOpen();
    if (state != State.FILLING) {
      throw new IllegalStateException("the call has run already");
    }
    state = State.FAILED;
    inputs.forEach((name, input) -> {
      if (input instanceof StringInput) {
        tensors.put(name, ((StringInput) input).toTensor());
      }
    });
    if (!binding.fetches().isEmpty()) {
      result = model.run(binding, tensors);
    }
    state = State.DONE;
  }

  @Override
  public TensorBuffer output(String name) {
    checkOpen();
    if (state != State.DONE) {
      throw new IllegalStateException("the call has not run");
    }
    Integer position = binding.fetched().get(name);
    Tensor tensor = position != null ? result.get(position) : tensors.get(binding.echoed().get(name));
    if (tensor == null) {
      throw new ModelException(
          "no-output",
          "no output '" + name + "', found " + String.join(", ", binding.signature().outputs().keySet()));
    }
    return TensorTypes.dtype(tensor.dataType()) == DType.STRING ? new StringOutput(tensor) : new NativeTensor(tensor);
  }

  private void checkOpen() {
    if (state == State.CLOSED) {
      throw new IllegalStateException("the call is closed");
    }
  }

  @Override
  public void close() {
    if (state == State.CLOSED) {
      return;
    }
    state = State.CLOSED;
    tensors.values().forEach(Tensor::close);
    if (result != null) {
      result.close();
    }
  }
}
