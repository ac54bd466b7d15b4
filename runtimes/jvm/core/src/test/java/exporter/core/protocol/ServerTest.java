package exporter.core.protocol;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.HostTensor;
import exporter.core.InMemory;
import exporter.core.ModelException;
import exporter.core.Safetensors;
import exporter.core.Signature;
import exporter.core.TensorSpec;
import exporter.core.Unsupported;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whole conversations with a worker's loop, on an engine of the test's own. */
class ServerTest {
  private static final Set<DType> CARRIED = EnumSet.of(DType.FLOAT32, DType.INT64, DType.STRING);
  private static final String LOAD =
      "{'id': 1, 'op': 'load', 'artifact': 'ARTIFACT', 'format': 'function', 'signature': 'f'}";
  private static final String RUN = "{'id': 2, 'op': 'run', 'handle': 'm1', 'inputs': 'IN', 'outputs': 'OUT'}";

  @TempDir Path dir;
  private UnaryOperator<Map<String, HostTensor>> function =
      inputs -> Map.of("y", inputs.get("x"), "t", inputs.get("s"), "n", inputs.get("x"));
  private final InMemory engine =
      new InMemory(
          CARRIED,
          inputs -> function.apply(inputs),
          new Signature(
              "f",
              List.of(spec("s", DType.STRING, -1), spec("x", DType.FLOAT32, -1, 2)),
              List.of(spec("y", DType.FLOAT32, -1, 2), spec("t", DType.STRING, -1), spec("n", DType.FLOAT32, null))),
          new Signature("int8", List.of(spec("i", DType.INT8, -1)), List.of()));

  private List<Engine> hosted = List.of(engine);

  private static TensorSpec spec(String name, DType dtype, long... shape) {
    return new TensorSpec(name, dtype, shape);
  }

  /** The replies to some requests, which are written with ' for ". */
  private List<JsonNode> talk(String... requests) throws IOException {
    Path artifact = dir.resolve("function");
    if (!Files.exists(artifact)) {
      Files.createFile(artifact);
    }
    String text = String.join("\n", requests).replace('\'', '"').replace("ARTIFACT", artifact.toString())
        .replace("IN", dir.resolve("in").toString()).replace("OUT", dir.resolve("out").toString()) + "\n";
    ByteArrayOutputStream replies = new ByteArrayOutputStream();
    new Server(new Session(hosted, EngineOptions.defaults()), new PrintStream(OutputStream.nullOutputStream()))
        .serve(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)), replies);
    List<JsonNode> records = new ArrayList<>();
    for (String line : replies.toString(StandardCharsets.UTF_8).split("\n")) {
      records.add(new ObjectMapper().readTree(line));
    }
    assertEquals(0, engine.openCalls.get());
    return records;
  }

  private JsonNode last(String... requests) throws IOException {
    List<JsonNode> replies = talk(requests);
    assertEquals(requests.length, replies.size());
    return replies.get(replies.size() - 1);
  }

  private void assertError(String stage, String code, String message, JsonNode reply) {
    JsonNode error = reply.path("error");
    assertEquals(stage + " " + code, error.path("stage").asText() + " " + error.path("code").asText(), reply::toString);
    assertTrue(error.get("message").textValue().contains(message), reply::toString);
    assertTrue(error.get("trace").textValue().contains("\tat "), reply::toString);
  }

  private void feed(Map<String, HostTensor> tensors) throws IOException {
    Safetensors.write(dir.resolve("in"), tensors);
  }

  private Map<String, HostTensor> goodFeed() {
    Map<String, HostTensor> tensors = new HashMap<>();
    tensors.put("x", HostTensor.zeros(DType.FLOAT32, 3, 2));
    tensors.put("s", HostTensor.ofStrings(new long[] {1}, new byte[] {0, (byte) 0xff}));
    return tensors;
  }

  @Test
  void hello() throws IOException {
    JsonNode ok = last("{'id': 7, 'op': 'hello', 'protocol': 1, 'runtime': 'in-memory'}");
    assertEquals(
        "{'id':7,'ok':{'protocol':1,'runtime':'in-memory','versions':{'in-memory':'1','java':'JAVA'},"
            .replace("JAVA", System.getProperty("java.version")).replace('\'', '"')
            + "\"formats\":[\"function\"],\"dtypes\":[\"float32\",\"int64\",\"string\"],\"casts\":{}}}",
        ok.toString());
    assertError(
        "load", "protocol-version", "speaks protocol 1, the host asked for 2",
        last("{'id': 1, 'op': 'hello', 'protocol': 2, 'runtime': 'in-memory'}"));
    assertError(
        "load", "wrong-runtime", "hosts 'in-memory', the host asked for \"other\"",
        last("{'id': 1, 'op': 'hello', 'protocol': 1, 'runtime': 'other'}"));
  }

  /** One process hosts several runtimes: hello names the one that answers, and ends what the earlier one had open. */
  @Test
  void turns() throws IOException {
    feed(goodFeed());
    InMemory other =
        new InMemory(Set.of(), inputs -> inputs) {
          @Override
          public String name() {
            return "other";
          }
        };
    hosted = List.of(engine, other);
    List<JsonNode> replies = talk(LOAD, "{'id': 5, 'op': 'hello', 'protocol': 1, 'runtime': 'other'}", RUN,
        "{'id': 6, 'op': 'hello', 'protocol': 1, 'runtime': 'in-memory'}", LOAD.replace("1", "7"),
        "{'id': 8, 'op': 'hello', 'protocol': 1, 'runtime': 'third'}", "{'id': 9, 'op': 'bye'}");
    assertEquals("other", replies.get(1).get("ok").get("runtime").asText());
    assertEquals(0, replies.get(1).get("ok").get("dtypes").size());
    assertTrue(replies.get(2).path("error").isObject(), replies.get(2)::toString);
    assertEquals("in-memory", replies.get(3).get("ok").get("runtime").asText());
    assertEquals("m2", replies.get(4).get("ok").get("handle").asText());
    assertError("load", "wrong-runtime", "hosts 'in-memory', 'other', the host asked for", replies.get(5));
    assertEquals(0, engine.openModels.get() + other.openModels.get());
  }

  @Test
  void loadRunUnloadBye() throws IOException {
    feed(goodFeed());
    List<JsonNode> replies = talk(LOAD, RUN, "", "{'id': 3, 'op': 'unload', 'handle': 'm1'}", "{'id': 4, 'op': 'bye'}",
        "{'id': 5, 'op': 'hello'}");
    assertEquals(
        "{'handle':'m1','inputs':[{'name':'s','dtype':'string','shape':[null]},{'name':'x','dtype':'float32','shape':"
            + "[null,2]}],'outputs':[{'name':'y','dtype':'float32','shape':[null,2]},{'name':'t','dtype':'string',"
            + "'shape':[null]},{'name':'n','dtype':'float32','shape':null}]}",
        replies.get(0).get("ok").toString().replace('"', '\''));
    assertTrue(replies.get(1).get("ok").get("elapsed_ns").isIntegralNumber());
    assertEquals("{\"id\":3,\"ok\":{}}", replies.get(2).toString());
    assertEquals("{\"id\":4,\"ok\":{}}", replies.get(3).toString());
    assertEquals(4, replies.size()); // nothing is answered after bye
    Map<String, HostTensor> outputs = Safetensors.read(dir.resolve("out"));
    assertEquals(Set.of("y", "t", "n"), outputs.keySet());
    assertArrayEquals(new long[] {3, 2}, outputs.get("y").shape());
    assertArrayEquals(new byte[] {0, (byte) 0xff}, outputs.get("t").string(0));
    assertEquals(0, engine.openModels.get());
  }

  @Test
  void byeClosesWhatWasLeftOpen() throws IOException {
    talk(LOAD, LOAD, "{'id': 3, 'op': 'bye'}");
    assertEquals(0, engine.openModels.get());
  }

  @Test
  void handlesAreNotUsedAgain() throws IOException {
    String unload = "{'id': 2, 'op': 'unload', 'handle': 'm1'}";
    List<JsonNode> replies = talk(LOAD, unload, LOAD, unload, RUN);
    assertEquals("m2", replies.get(2).get("ok").get("handle").textValue());
    assertError("load", "unknown-handle", "'m1'", replies.get(3));
    assertError("run", "unknown-handle", "'m1'", replies.get(4));
  }

  @Test
  void loadsThatFail() throws IOException {
    assertEquals(
        "in-memory opens function; the artifact is onnx",
        last(LOAD.replace("'format': 'function'", "'format': 'onnx'")).get("unsupported").get("reason").textValue());
    assertError(
        "load", "no-artifact", "there is no artifact at x", last(LOAD.replace("'ARTIFACT'", "'x'")));
    assertError("load", "no-signature", "no signature 'g', found f, int8", last(LOAD.replace("'f'", "'g'")));
    assertError(
        "load", "bad-request", "the field 'format' is 3", last(LOAD.replace("'format': 'function'", "'format': 3")));
    assertEquals(
        "input 'i' is int8 [?]; in-memory carries float32, int64, string",
        last(LOAD.replace("'f'", "'int8'")).get("unsupported").get("reason").textValue());
    assertEquals(0, engine.openModels.get());
  }

  @Test
  void feedsThatDoNotFit() throws IOException {
    Map<String, HostTensor> tensors = goodFeed();
    tensors.remove("s");
    feed(tensors);
    assertError("run", "input-names", "expected [s, x], found [x]", last(LOAD, RUN));

    tensors = goodFeed();
    tensors.put("z", HostTensor.zeros(DType.FLOAT32, 1));
    feed(tensors);
    assertError("run", "input-names", "expected [s, x], found [s, x, z]", last(LOAD, RUN));

    tensors = goodFeed();
    tensors.put("x", HostTensor.zeros(DType.INT64, 3, 2));
    feed(tensors);
    assertError("run", "input-dtype", "'x' is fed int64 [3, 2], expected x: float32 [?, 2]", last(LOAD, RUN));

    tensors.put("x", HostTensor.zeros(DType.BFLOAT16, 3, 2));
    feed(tensors);
    assertEquals(
        "input 'x' is fed bfloat16 [3, 2]; in-memory does not carry it",
        last(LOAD, RUN).get("unsupported").get("reason").textValue());

    tensors.put("x", HostTensor.zeros(DType.FLOAT32, 3, 3));
    feed(tensors);
    assertError("run", "input-shape", "'x' is fed float32 [3, 3], expected float32 [?, 2]", last(LOAD, RUN));

    Files.writeString(dir.resolve("in"), "garbage");
    assertError("run", "tensor-file", dir.resolve("in") + ": ", last(LOAD, RUN));
    Files.delete(dir.resolve("in"));
    assertError("run", "tensor-file", dir.resolve("in").toString(), last(LOAD, RUN));
  }

  @Test
  void runsThatFail() throws IOException {
    feed(goodFeed());
    function = inputs -> {
      throw new ModelException("run", "the library says no");
    };
    assertError("run", "run", "the library says no", last(LOAD, RUN));
    function = inputs -> {
      throw new IllegalStateException("a bug");
    };
    assertError("run", "IllegalStateException", "IllegalStateException: a bug", last(LOAD, RUN));
    function = inputs -> {
      throw new Unsupported("not this value");
    };
    assertEquals("not this value", last(LOAD, RUN).get("unsupported").get("reason").textValue());
    function = inputs -> inputs;
    assertError("run", "NullPointerException", "", last(LOAD, RUN)); // an engine that lacks an output
  }

  /** The worker goes on after a failed run, and its next answer is right. */
  @Test
  void anErrorIsNotTheEnd() throws IOException {
    List<JsonNode> replies = talk(LOAD, RUN, "{'id': 3, 'op': 'fly'}", RUN);
    assertError("run", "tensor-file", "", replies.get(1));
    assertError(
        "load", "unknown-op", "unknown op 'fly'; this worker answers hello, load, run, unload, bye", replies.get(2));
    assertEquals(4, replies.size());
  }

  @Test
  void aFullDiskIsCalledThat() throws IOException {
    feed(goodFeed());
    assertError("run", "disk-full", "No space left", last(LOAD, RUN.replace("OUT", "/dev/full")));
  }

  @Test
  void aDamagedJvmDoesNotAnswer() throws IOException {
    feed(goodFeed());
    for (Error error : List.of(new OutOfMemoryError("heap"), new NoClassDefFoundError("x"), new StackOverflowError())) {
      function = inputs -> {
        throw error;
      };
      assertThrows(error.getClass(), () -> talk(LOAD, RUN));
    }
  }

  @Test
  void whatIsNoRequestEndsTheConversation() {
    for (String line : List.of("garbage", "[1]", "{}", "{'id': 0, 'op': 'bye'}", "{'id': 1.5, 'op': 'bye'}",
        "{'id': '1', 'op': 'bye'}", "{'id': 1}", "{'id': 1, 'op': 2}", "{'id': 1, 'op': 'bye'} {}")) {
      IllegalArgumentException end = assertThrows(IllegalArgumentException.class, () -> talk(line), line);
      assertTrue(end.getMessage().startsWith("not a protocol request"), end::getMessage);
    }
  }
}
