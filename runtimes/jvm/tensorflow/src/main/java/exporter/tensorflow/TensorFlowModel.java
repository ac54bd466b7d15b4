package exporter.tensorflow;

import exporter.core.Call;
import exporter.core.EngineOptions;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.Unsupported;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.tensorflow.Graph;
import org.tensorflow.GraphOperation;
import org.tensorflow.Output;
import org.tensorflow.Result;
import org.tensorflow.SavedModelBundle;
import org.tensorflow.Session;
import org.tensorflow.Tensor;
import org.tensorflow.TensorFlow;
import org.tensorflow.exceptions.TensorFlowException;
import org.tensorflow.proto.ConfigProto;

/** A SavedModel in a session. */
final class TensorFlowModel implements Model {
  private static final String VARIABLES = "variables/variables.index";
  private static final Set<String> VARIABLE_OPS = Set.of("VarHandleOp", "VariableV2", "Variable");

  private final Path directory;
  private final MetaGraph metaGraph;
  private final Graph graph;
  private final Session session;
  private final Map<String, Binding> bindings = new ConcurrentHashMap<>();
  private volatile boolean closed;

  // the bundle itself would keep the whole graph on the Java heap, as the message it was read from
  private TensorFlowModel(Path directory, MetaGraph metaGraph, SavedModelBundle bundle) {
    this.directory = directory;
    this.metaGraph = metaGraph;
    this.graph = bundle.graph();
    this.session = bundle.session();
  }

  static TensorFlowModel load(Path directory, MetaGraph metaGraph, EngineOptions options) {
    // soft placement: a model that was built for a GPU names it. Threads: the library would start as many as the
    // machine has cores, for each of two pools. The pool between operations is one for the process: with one thread in
    // it concurrent runs would wait for each other, so -1, which is "in the thread that calls" (config.proto)
    ConfigProto config =
        ConfigProto.newBuilder()
            .setAllowSoftPlacement(true)
            .setIntraOpParallelismThreads(options.threads())
            .setInterOpParallelismThreads(options.threads() == 1 ? -1 : options.threads())
            .build();
    try {
      SavedModelBundle bundle =
          SavedModelBundle.loader(directory.toString())
              .withTags(metaGraph.tags().toArray(new String[0]))
              .withConfigProto(config)
              .load();
      TensorFlowModel model = new TensorFlowModel(directory, metaGraph, bundle);
      model.requireVariables();
      return model;
    } catch (TensorFlowException e) {
      throw failed("load", "cannot load " + directory, metaGraph, e);
    } catch (IllegalArgumentException e) {
      // not TensorFlow but the bindings, which refuse the whole model for one signature with sparse inputs
      metaGraph.unsupported().forEach((key, reason) -> {
        throw new Unsupported("TensorFlow Java cannot load " + directory + " because of one signature: " + reason);
      });
      throw failed("load", "cannot load " + directory, metaGraph, e);
    }
  }

  /** Without its variables a model loads, and fails when it is run: the sign of a directory that was copied in part. */
  private void requireVariables() {
    if (Files.exists(directory.resolve(VARIABLES))) {
      return;
    }
    for (Iterator<GraphOperation> operations = graph.operations(); operations.hasNext(); ) {
      if (VARIABLE_OPS.contains(operations.next().type())) {
        close();
        throw new ModelException(
            "no-variables",
            directory + " has no " + VARIABLES + ", but its graph has variables; copy the whole directory again");
      }
    }
  }

  /** What to make of TensorFlow's errors: those of a model too new for it come when it is loaded, or when it runs. */
  static ModelException failed(String code, String what, MetaGraph metaGraph, RuntimeException cause) {
    String why = firstLine(cause);
    if (!why.contains("Op type not registered") && !why.contains("min consumer version")) {
      return new ModelException(code, what + ": " + why, cause);
    }
    String writer = metaGraph.tensorflowVersion();
    String runtime = TensorFlow.version();
    return new ModelException(
        "newer-model",
        what + ": it was written by TensorFlow " + (writer.isEmpty() ? "of an unknown version" : writer)
            + " and uses what this TensorFlow " + runtime + " does not have (" + why + "); export it with TensorFlow "
            + runtime + " or older, run it with a newer TensorFlow Java, or load the library of a custom op first",
        cause);
  }

  /** TensorFlow's messages go on with the nodes of the graph that an error passed through. */
  private static String firstLine(RuntimeException cause) {
    String text = String.valueOf(cause.getMessage()).strip();
    return text.lines().findFirst().orElse(cause.toString());
  }

  @Override
  public Map<String, Signature> signatures() {
    return metaGraph.signatures();
  }

  @Override
  public Signature signature(String key) {
    return metaGraph.signature(key);
  }

  @Override
  public Call newCall(String key, Map<String, long[]> shapes) {
    if (closed) {
      throw new IllegalStateException("the model is closed");
    }
    Binding binding = bindings.get(key);
    if (binding == null) {
      binding = bindings.computeIfAbsent(key, this::bind);
    }
    binding.signature().checkShapes(shapes);
    return new TensorFlowCall(this, binding, shapes);
  }

  /** One run; the result is the caller's to close. */
  Result run(Binding binding, Map<String, Tensor> inputs) {
    try {
      Session.Runner runner = session.runner();
      binding.feeds().forEach((name, output) -> runner.feed(output, inputs.get(name)));
      for (Output<?> output : binding.fetches()) {
        runner.fetch(output);
      }
      return runner.run();
    } catch (TensorFlowException | IllegalArgumentException e) {
      String what = "cannot run the signature '" + binding.signature().key() + "' of " + directory;
      throw failed("run", what, metaGraph, e);
    }
  }

  private Binding bind(String key) {
    Signature signature = metaGraph.signature(key);
    signature.checkCarried(TensorFlowEngine.NAME, TensorTypes.CARRIED);
    return new Binding(graph, signature, metaGraph.definition(key));
  }

  @Override
  public void close() {
    closed = true;
    session.close();
    graph.close();
  }
}
