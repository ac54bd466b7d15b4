package exporter.tensorflow;

import exporter.core.ModelException;
import exporter.core.Signature;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tensorflow.Graph;
import org.tensorflow.Output;
import org.tensorflow.proto.SignatureDef;

/**
 * A signature bound to the tensors of a loaded graph, so that a run looks no name up. A tensor with several output
 * names is fetched once, and an output that is an input is not fetched at all: TensorFlow refuses both.
 */
final class Binding {
  private final Signature signature;
  private final Map<String, Output<?>> feeds = new LinkedHashMap<>();
  private final List<Output<?>> fetches = new ArrayList<>();
  private final Map<String, Integer> fetched = new LinkedHashMap<>();
  private final Map<String, String> echoed = new LinkedHashMap<>();

  /**
   * @throws ModelException the signature names a tensor that the graph does not have
   */
  Binding(Graph graph, Signature signature, SignatureDef definition) {
    this.signature = signature;
    Map<Output<?>, String> fed = new LinkedHashMap<>();
    for (String name : signature.inputs().keySet()) {
      Output<?> tensor = resolve(graph, definition.getInputsOrThrow(name).getName(), "input '" + name + "'");
      feeds.put(name, tensor);
      fed.put(tensor, name);
    }
    for (String name : signature.outputs().keySet()) {
      Output<?> tensor = resolve(graph, definition.getOutputsOrThrow(name).getName(), "output '" + name + "'");
      if (fed.containsKey(tensor)) {
        echoed.put(name, fed.get(tensor));
      } else {
        if (!fetches.contains(tensor)) {
          fetches.add(tensor);
        }
        fetched.put(name, fetches.indexOf(tensor));
      }
    }
  }

  private Output<?> resolve(Graph graph, String tensor, String what) {
    try {
      Output<?> found = graph.outputOrThrow(tensor);
      if (found.index() >= 0 && found.index() < found.op().numOutputs()) {
        return found;
      }
    } catch (IllegalArgumentException e) {
      // below
    }
    throw new ModelException(
        "broken-signature",
        what + " of signature '" + signature.key() + "' is the tensor '" + tensor
            + "', which is not in the graph; export the model again");
  }

  Signature signature() {
    return signature;
  }

  /** By input name, what to feed. */
  Map<String, Output<?>> feeds() {
    return Collections.unmodifiableMap(feeds);
  }

  /** What to fetch. */
  List<Output<?>> fetches() {
    return Collections.unmodifiableList(fetches);
  }

  /** By output name, the position in {@link #fetches}. */
  Map<String, Integer> fetched() {
    return Collections.unmodifiableMap(fetched);
  }

  /** By output name, the input that it is. */
  Map<String, String> echoed() {
    return Collections.unmodifiableMap(echoed);
  }
}
