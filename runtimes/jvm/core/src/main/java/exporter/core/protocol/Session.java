package exporter.core.protocol;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.HostTensor;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Safetensors;
import exporter.core.Signature;
import exporter.core.TensorBuffer;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * The operations of the worker protocol on the engine that the last {@code hello} named. What must be the same in every runtime happens here: names are
 * compared as sets, dtypes and shapes are checked before anything runs, and every model is closed.
 */
public final class Session implements AutoCloseable {
  /** The version of the protocol. */
  public static final int PROTOCOL = 1;

  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private final List<Engine> engines;
  private final EngineOptions options;
  private final Map<String, Loaded> models = new HashMap<>();
  private Engine engine;
  private int loads;

  /** One signature of an open model. */
  private static final class Loaded {
    final Model model;
    final Signature signature;

    Loaded(Model model, Signature signature) {
      this.model = model;
      this.signature = signature;
    }
  }

  /**
   * @param engines what this process hosts, at least one; the first answers until a {@code hello} names another
   */
  public Session(List<Engine> engines, EngineOptions options) {
    this.engines = List.copyOf(engines);
    this.engine = engines.get(0);
    this.options = options;
  }

  /**
   * Answers one request.
   *
   * @return the content of {@code ok}
   * @throws Unsupported the runtime cannot carry the artifact or the tensors
   * @throws ModelException anything else that went wrong; {@code unknown-op} for an operation that there is not
   * @throws IOException tensor files cannot be read or written
   */
  public ObjectNode answer(JsonNode request) throws IOException {
    String op = request.path("op").asText();
    switch (op) {
      case "hello":
        return hello(request);
      case "load":
        return load(request);
      case "run":
        return run(request);
      case "unload":
        return unload(request);
      case "bye":
        close();
        return JSON.objectNode();
      default:
        throw new ModelException(
            "unknown-op", "unknown op '" + op + "'; this worker answers hello, load, run, unload, bye");
    }
  }

  private ObjectNode hello(JsonNode request) {
    JsonNode protocol = request.path("protocol");
    if (!protocol.isInt() || protocol.intValue() != PROTOCOL) {
      throw new ModelException(
          "protocol-version", "this worker speaks protocol " + PROTOCOL + ", the host asked for " + protocol);
    }
    JsonNode runtime = request.path("runtime");
    Engine named = engines.stream().filter(one -> one.name().equals(runtime.asText())).findFirst().orElse(null);
    if (named == null) {
      String hosted = engines.stream().map(one -> "'" + one.name() + "'").collect(Collectors.joining(", "));
      throw new ModelException("wrong-runtime", "this worker hosts " + hosted + ", the host asked for " + runtime);
    }
    close(); // models of the engine that answered so far
    engine = named;
    ObjectNode ok = JSON.objectNode();
    ok.put("protocol", PROTOCOL);
    ok.put("runtime", engine.name());
    ObjectNode versions = ok.putObject("versions");
    engine.versions().forEach(versions::put);
    versions.put("java", System.getProperty("java.version"));
    ok.putArray("formats").add(engine.format());
    ArrayNode dtypes = ok.putArray("dtypes");
    engine.dtypes().stream().sorted().map(DType::label).forEach(dtypes::add);
    ok.putObject("casts");
    return ok;
  }

  private ObjectNode load(JsonNode request) {
    Path artifact = Path.of(text(request, "artifact"));
    String format = text(request, "format");
    String key = text(request, "signature");
    if (!format.equals(engine.format())) {
      throw new Unsupported(engine.name() + " opens " + engine.format() + "; the artifact is " + format);
    }
    if (!Files.exists(artifact)) { // every library says that in words of its own
      throw new ModelException("no-artifact", "there is no artifact at " + artifact);
    }
    Model model = engine.load(artifact, options);
    Signature signature;
    try {
      signature = model.signature(key);
      signature.checkCarried(engine.name(), engine.dtypes());
    } catch (RuntimeException e) {
      model.close();
      throw e;
    }
    loads++;
    String handle = "m" + loads;
    models.put(handle, new Loaded(model, signature));
    ObjectNode ok = JSON.objectNode();
    ok.put("handle", handle);
    ok.set("inputs", specs(signature.inputs()));
    ok.set("outputs", specs(signature.outputs()));
    return ok;
  }

  private static ArrayNode specs(Map<String, TensorSpec> specs) {
    ArrayNode list = JSON.arrayNode();
    for (TensorSpec spec : specs.values()) {
      ObjectNode node = list.addObject().put("name", spec.name()).put("dtype", spec.dtype().label());
      if (spec.shape() == null) {
        node.putNull("shape");
        continue;
      }
      ArrayNode shape = node.putArray("shape");
      for (long dim : spec.shape()) {
        shape.add(dim == TensorSpec.DYNAMIC ? null : (Long) dim);
      }
    }
    return list;
  }

  private ObjectNode run(JsonNode request) throws IOException {
    Loaded loaded = loaded(request);
    Path from = Path.of(text(request, "inputs"));
    Path to = Path.of(text(request, "outputs"));
    Map<String, HostTensor> fed = read(from);
    check(loaded.signature, fed);
    Map<String, long[]> shapes =
        fed.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().shape()));
    loaded.signature.checkShapes(shapes);
    try (Call call = loaded.model.newCall(loaded.signature.key(), shapes)) {
      fed.forEach((name, tensor) -> copy(tensor, call.input(name)));
      long began = System.nanoTime();
      call.run();
      long elapsed = System.nanoTime() - began;
      Map<String, TensorBuffer> outputs = new LinkedHashMap<>();
      for (String name : loaded.signature.outputs().keySet()) {
        outputs.put(name, call.output(name));
      }
      Safetensors.write(to, outputs);
      return JSON.objectNode().put("elapsed_ns", elapsed);
    }
  }

  private static Map<String, HostTensor> read(Path from) {
    try {
      return Safetensors.read(from);
    } catch (IOException e) {
      throw new ModelException("tensor-file", "the tensors to run cannot be read from " + from + ": " + e, e);
    }
  }

  /** What is fed is checked here, by one rule for all engines, before any of them allocates for it. */
  private void check(Signature signature, Map<String, HostTensor> fed) {
    Signature.checkNames("input", signature.inputs().keySet(), fed.keySet());
    for (TensorSpec spec : signature.inputs().values()) {
      HostTensor tensor = fed.get(spec.name());
      // a dtype the runtime does not have at all is its limit; int32 for float32 is a wrong feed
      if (!engine.dtypes().contains(tensor.dtype())) {
        throw new Unsupported(
            "input '" + spec.name() + "' is fed " + tensor + "; " + engine.name() + " does not carry it");
      }
      if (tensor.dtype() != spec.dtype()) {
        throw new ModelException("input-dtype", "input '" + spec.name() + "' is fed " + tensor + ", expected " + spec);
      }
    }
  }

  private static void copy(HostTensor from, TensorBuffer to) {
    if (from.dtype() != DType.STRING) {
      to.bytes().put(from.bytes());
      return;
    }
    for (int i = 0; i < from.elements(); i++) {
      to.string(i, from.string(i));
    }
  }

  private ObjectNode unload(JsonNode request) {
    Loaded loaded = loaded(request);
    models.remove(text(request, "handle"));
    loaded.model.close();
    return JSON.objectNode();
  }

  private Loaded loaded(JsonNode request) {
    String handle = text(request, "handle");
    Loaded found = models.get(handle);
    if (found == null) {
      throw new ModelException(
          "unknown-handle", "no loaded model has the handle '" + handle + "': it was unloaded or never loaded");
    }
    return found;
  }

  private static String text(JsonNode request, String key) {
    JsonNode value = request.path(key);
    if (!value.isTextual()) {
      throw new ModelException("bad-request", "the field '" + key + "' is " + value + ", expected text");
    }
    return value.textValue();
  }

  /** Closes every model that the host left open. */
  @Override
  public void close() {
    models.values().forEach(loaded -> loaded.model.close());
    models.clear();
  }
}
