package exporter.worker;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.HostTensor;
import exporter.core.Safetensors;
import exporter.tensorflow.SavedModels;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The worker as its host sees it. */
class MainTest {
  private static final String RUNTIME = "tensorflow-java";

  @TempDir Path dir;

  private WorkerProcess start(String... arguments) throws IOException {
    return new WorkerProcess(dir.resolve("log"), arguments);
  }

  static List<String> runtimes() {
    return ServiceLoader.load(Engine.class).stream()
        .map(engine -> engine.get().name())
        .filter(name -> !name.equals("failing"))
        .collect(Collectors.toList());
  }

  @ParameterizedTest
  @MethodSource("runtimes")
  void everyRuntimeSaysHello(String runtime) throws Exception {
    try (WorkerProcess worker = start(runtime)) {
      JsonNode ok = worker.request("hello", "protocol", 1, "runtime", runtime).path("ok");
      assertEquals(runtime, ok.path("runtime").asText(), worker::log);
      assertEquals(System.getProperty("java.version"), ok.get("versions").get("java").textValue());
      assertTrue(ok.get("versions").size() > 1, ok::toString);
      assertEquals(1, ok.get("formats").size());
      assertEquals(0, worker.end());
    }
  }

  private JsonNode load(WorkerProcess worker, Path model, String signature) throws IOException {
    return worker.request(
        "load", "artifact", model.toString(), "format", "saved-model", "signature", signature);
  }

  private JsonNode run(WorkerProcess worker, String handle, Map<String, HostTensor> feed) throws IOException {
    Safetensors.write(dir.resolve("in"), feed);
    return worker.request(
        "run", "handle", handle, "inputs", dir.resolve("in").toString(), "outputs", dir.resolve("out").toString());
  }

  private static HostTensor floats(long[] shape, float... values) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    return HostTensor.of(DType.FLOAT32, shape, bytes);
  }

  @Test
  void aWholeConversation() throws Exception {
    Path linear = SavedModels.linear(dir.resolve("linear"));
    Path strings = SavedModels.strings(dir.resolve("strings"));
    try (WorkerProcess worker = start(RUNTIME)) {
      JsonNode loaded = load(worker, linear, SavedModels.DEFAULT).get("ok");
      assertEquals(
          "[{\"name\":\"features\",\"dtype\":\"float32\",\"shape\":[null,2]}]", loaded.get("inputs").toString());
      JsonNode ran =
          run(worker, loaded.get("handle").textValue(), Map.of("features", floats(new long[] {2, 2}, 1, 2, 3, 4)));
      assertTrue(ran.get("ok").get("elapsed_ns").longValue() > 0);
      float[] outputs = new float[2];
      Safetensors.read(dir.resolve("out")).get("outputs").bytes().asFloatBuffer().get(outputs);
      assertArrayEquals(new float[] {-3.25f, -6.25f}, outputs);

      String words = load(worker, strings, SavedModels.DEFAULT).get("ok").get("handle").textValue();
      run(worker, words, Map.of("text", HostTensor.ofStrings(new long[] {2}, new byte[] {0, -1}, new byte[0])));
      HostTensor marked = Safetensors.read(dir.resolve("out")).get("marked");
      assertArrayEquals(new byte[] {0, -1, '!'}, marked.string(0));
      assertArrayEquals(new byte[] {'!'}, marked.string(1));

      assertEquals("{\"id\":5,\"ok\":{}}", worker.request("unload", "handle", words).toString());
      assertEquals("{\"id\":6,\"ok\":{}}", worker.request("bye").toString());
      assertEquals("", worker.rest());
      assertEquals(0, worker.end());
    }
  }

  @Test
  void errorsAreAnsweredAndTheWorkerGoesOn() throws Exception {
    Path numbers = SavedModels.numbers(dir.resolve("numbers"));
    try (WorkerProcess worker = start(RUNTIME)) {
      JsonNode absent = load(worker, dir.resolve("absent"), SavedModels.DEFAULT).get("error");
      assertEquals("load no-artifact", absent.get("stage").textValue() + " " + absent.get("code").textValue());
      String handle = load(worker, numbers, SavedModels.DEFAULT).get("ok").get("handle").textValue();
      JsonNode bad = run(worker, handle, Map.of("text", HostTensor.ofStrings(new long[] {1}, new byte[] {'x'})));
      assertEquals("run", bad.get("error").get("code").textValue());
      assertTrue(worker.log().contains("could not correctly convert string: x"), worker::log);
      JsonNode good = run(worker, handle, Map.of("text", HostTensor.ofStrings(new long[] {1}, new byte[] {'7'})));
      assertTrue(good.has("ok"), good::toString);
      assertEquals(0, worker.end());
    }
  }

  @Test
  void whatIsPrintedTouchesNoRecord() throws Exception {
    try (WorkerProcess worker = start(RUNTIME)) {
      load(worker, SavedModels.linear(dir.resolve("linear")), SavedModels.DEFAULT);
      assertTrue(worker.log().contains("SavedModel"), "TensorFlow prints while it loads");
      assertTrue(worker.request("bye").has("ok"));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "other", "tensorflow-java more"})
  void theWrongArgumentsAreExplained(String arguments) throws Exception {
    try (WorkerProcess worker = start(arguments.isEmpty() ? new String[0] : arguments.split(" "))) {
      assertEquals(2, worker.end());
      assertEquals("", worker.rest());
      assertTrue(worker.log().startsWith("usage: exporter.worker.Main RUNTIME... with RUNTIME one of "), worker::log);
      assertTrue(worker.log().contains("tensorflow-java"), worker::log);
      assertTrue(worker.log().endsWith("; found '" + arguments + "'\n"), worker::log);
    }
  }

  @Test
  void whatIsNoRequestEndsTheWorker() throws Exception {
    try (WorkerProcess worker = start(RUNTIME)) {
      worker.write("no request");
      assertEquals(70, worker.end());
      assertEquals("", worker.rest());
      assertTrue(worker.log().contains("not a protocol request"), worker::log);
    }
  }

  /** What a JVM says after it ran out of memory cannot be trusted, so it says nothing. */
  @Test
  void aDamagedJvmEndsWithoutAnAnswer() throws Exception {
    try (WorkerProcess worker = start("failing")) {
      assertNull(worker.request("load", "artifact", dir.toString(), "format", "any", "signature", "s"));
      assertEquals(70, worker.end());
      assertTrue(worker.log().contains("java.lang.OutOfMemoryError: of the test"), worker::log);
    }
  }
}
