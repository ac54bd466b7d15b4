package exporter.core;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;

/** The smallest engine there can be: a Java function on tensors of the Java heap, under any signatures. */
public class InMemory implements Engine {
  private final Map<String, Signature> signatures = new LinkedHashMap<>();
  private final Set<DType> dtypes;
  private final UnaryOperator<Map<String, HostTensor>> function;
  public final AtomicInteger openModels = new AtomicInteger();
  public final AtomicInteger openCalls = new AtomicInteger();

  public InMemory(Set<DType> dtypes, UnaryOperator<Map<String, HostTensor>> function, Signature... signatures) {
    this.dtypes = dtypes;
    this.function = function;
    for (Signature signature : signatures) {
      this.signatures.put(signature.key(), signature);
    }
  }

  @Override
  public String name() {
    return "in-memory";
  }

  @Override
  public String format() {
    return "function";
  }

  @Override
  public boolean accepts(Path artifact) {
    return artifact.endsWith("function");
  }

  @Override
  public Map<String, String> versions() {
    return Map.of("in-memory", "1");
  }

  @Override
  public Set<DType> dtypes() {
    return dtypes;
  }

  @Override
  public Model load(Path artifact, EngineOptions options) {
    if (!accepts(artifact)) {
      throw new ModelException("no-artifact", artifact + " is no function");
    }
    openModels.incrementAndGet();
    return new Model() {
      @Override
      public Map<String, Signature> signatures() {
        return signatures;
      }

      @Override
      public Call newCall(String key, Map<String, long[]> shapes) {
        signature(key).checkShapes(shapes);
        openCalls.incrementAndGet();
        return new Run(signature(key), shapes);
      }

      @Override
      public void close() {
        openModels.decrementAndGet();
      }
    };
  }

  private final class Run implements Call {
    private final Map<String, HostTensor> inputs = new HashMap<>();
    private Map<String, HostTensor> outputs;

    Run(Signature signature, Map<String, long[]> shapes) {
      shapes.forEach((name, shape) -> inputs.put(name, HostTensor.zeros(signature.inputs().get(name).dtype(), shape)));
    }

    @Override
    public TensorBuffer input(String name) {
      return inputs.get(name);
    }

    @Override
    public void run() {
      outputs = function.apply(inputs);
    }

    @Override
    public TensorBuffer output(String name) {
      return outputs.get(name);
    }

    @Override
    public void close() {
      openCalls.decrementAndGet();
    }
  }
}
