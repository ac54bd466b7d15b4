package exporter.tensorflow;

import exporter.core.DType;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.tensorflow.proto.SignatureDef;
import org.tensorflow.proto.TensorInfo;
import org.tensorflow.proto.TensorShapeProto;

/**
 * What one MetaGraph of a SavedModel says about itself: tags, the version that wrote it, and its signatures with the
 * tensors behind them. Read from the file and not from a loaded model, because the bindings' own signature shows an
 * unknown rank as a scalar.
 */
public final class MetaGraph {
  /** Not a signature: it marks the op that initialises the model. */
  private static final String INIT = "__saved_model_init_op";

  private final String where;
  private final Set<String> tags;
  private final String version;
  private final Map<String, Signature> signatures = new TreeMap<>();
  private final Map<String, String> unsupported = new TreeMap<>();
  private final Map<String, SignatureDef> definitions;

  MetaGraph(String where, Set<String> tags, String version, Map<String, SignatureDef> definitions) {
    this.where = where;
    this.tags = Collections.unmodifiableSet(new TreeSet<>(tags));
    this.version = version;
    this.definitions = new TreeMap<>(definitions);
    this.definitions.remove(INIT);
    this.definitions.forEach(this::describe);
  }

  private void describe(String key, SignatureDef definition) {
    try {
      List<TensorSpec> inputs = specs("input", definition.getInputsMap());
      List<TensorSpec> outputs = specs("output", definition.getOutputsMap());
      signatures.put(key, new Signature(key, inputs, outputs));
    } catch (Unsupported reason) {
      unsupported.put(key, "signature '" + key + "': " + reason.getMessage());
    }
  }

  /** Sorted by name, because the file keeps no order. */
  private static List<TensorSpec> specs(String side, Map<String, TensorInfo> tensors) {
    List<TensorSpec> specs = new ArrayList<>();
    new TreeMap<>(tensors).forEach((name, info) -> {
      // sparse and composite tensors are several tensors under one name; the bindings feed and fetch only plain ones
      if (info.getEncodingCase() != TensorInfo.EncodingCase.NAME) {
        throw new Unsupported(
            side + " '" + name + "' is encoded as " + info.getEncodingCase() + ", expected a dense tensor; export a "
                + "signature that takes and returns dense tensors");
      }
      DType dtype = TensorTypes.dtype(info.getDtype());
      if (dtype == null) {
        throw new Unsupported(side + " '" + name + "' is " + info.getDtype() + ", a type no tensor file can hold");
      }
      specs.add(new TensorSpec(name, dtype, shape(info.getTensorShape())));
    });
    return specs;
  }

  private static long[] shape(TensorShapeProto shape) {
    return shape.getUnknownRank()
        ? null
        : shape.getDimList().stream().mapToLong(dim -> Math.max(dim.getSize(), TensorSpec.DYNAMIC)).toArray();
  }

  /** Sorted. */
  public Set<String> tags() {
    return tags;
  }

  /** The TensorFlow that wrote it, such as {@code 2.21.0}; empty where the writer did not say. */
  public String tensorflowVersion() {
    return version;
  }

  /** By key, without signatures that hold tensors no {@link DType} describes; {@link #signature} says why. */
  public Map<String, Signature> signatures() {
    return Collections.unmodifiableMap(signatures);
  }

  /**
   * @throws ModelException there is no such signature
   * @throws Unsupported it is there, but holds tensors that no {@link DType} describes
   */
  public Signature signature(String key) {
    Signature found = signatures.get(key);
    if (found != null) {
      return found;
    }
    if (unsupported.containsKey(key)) {
      throw new Unsupported(unsupported.get(key));
    }
    throw new ModelException(
        "no-signature",
        where + " has no signature '" + key + "', found " + String.join(", ", definitions.keySet())
            + "; name one of these");
  }

  /** By key, the signatures that {@link #signature} refuses, with the reason. */
  Map<String, String> unsupported() {
    return Collections.unmodifiableMap(unsupported);
  }

  /** True when nothing in it can be called. */
  boolean isEmpty() {
    return definitions.isEmpty();
  }

  /** Names of the tensors behind a signature that {@link #signature} has found. */
  SignatureDef definition(String key) {
    return definitions.get(key);
  }
}
