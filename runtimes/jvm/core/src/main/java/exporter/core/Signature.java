package exporter.core;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** The contract of one entry point of a model: its inputs and outputs, by name. Immutable. */
public final class Signature implements Serializable {
  private static final long serialVersionUID = 1L;

  private final String key;
  private final Map<String, TensorSpec> inputs;
  private final Map<String, TensorSpec> outputs;

  /**
   * @param key the signature's key inside the artifact, such as {@code serving_default}
   * @param inputs in the artifact's order; formats without one (SavedModel) give them sorted by name
   */
  public Signature(String key, List<TensorSpec> inputs, List<TensorSpec> outputs) {
    this.key = key;
    this.inputs = byName(inputs);
    this.outputs = byName(outputs);
  }

  private static Map<String, TensorSpec> byName(List<TensorSpec> specs) {
    Map<String, TensorSpec> named = new LinkedHashMap<>();
    for (TensorSpec spec : specs) {
      if (named.put(spec.name(), spec) != null) {
        throw new IllegalArgumentException("two tensors are named '" + spec.name() + "'");
      }
    }
    return Collections.unmodifiableMap(named);
  }

  public String key() {
    return key;
  }

  public Map<String, TensorSpec> inputs() {
    return inputs;
  }

  public Map<String, TensorSpec> outputs() {
    return outputs;
  }

  /**
   * Checks the shapes of a feed.
   *
   * @param shapes by input name
   * @throws ModelException an input is missing, unknown, or has a shape that the signature does not take
   */
  public void checkShapes(Map<String, long[]> shapes) {
    checkNames("input", inputs.keySet(), shapes.keySet());
    for (TensorSpec spec : inputs.values()) {
      long[] shape = shapes.get(spec.name());
      if (!spec.accepts(shape) || Arrays.stream(shape).anyMatch(dim -> dim < 0)) {
        throw new ModelException(
            "input-shape",
            "input '" + spec.name() + "' is fed " + TensorSpec.describe(spec.dtype(), shape) + ", expected "
                + TensorSpec.describe(spec.dtype(), spec.shape()));
      }
    }
  }

  /**
   * Checks that two sets of names are one.
   *
   * @param side {@code input} or {@code output}
   * @throws ModelException they differ
   */
  public static void checkNames(String side, Set<String> expected, Set<String> found) {
    if (!expected.equals(found)) {
      throw new ModelException(
          side + "-names",
          side + " names differ: expected " + new TreeSet<>(expected) + ", found " + new TreeSet<>(found));
    }
  }

  /**
   * Checks that a runtime carries every tensor of this signature.
   *
   * @param runtime its name, for the message
   * @throws Unsupported an input or output has none of these element types
   */
  public void checkCarried(String runtime, Set<DType> dtypes) {
    checkCarried("input", inputs, runtime, dtypes);
    checkCarried("output", outputs, runtime, dtypes);
  }

  private static void checkCarried(String side, Map<String, TensorSpec> specs, String runtime, Set<DType> dtypes) {
    for (TensorSpec spec : specs.values()) {
      if (!dtypes.contains(spec.dtype())) {
        throw new Unsupported(
            side + " '" + spec.name() + "' is " + TensorSpec.describe(spec.dtype(), spec.shape()) + "; " + runtime
                + " carries " + dtypes.stream().sorted().map(DType::label).collect(Collectors.joining(", ")));
      }
    }
  }

  @Override
  public String toString() {
    return key + "(" + inputs.values() + ") -> " + outputs.values();
  }
}
