package exporter.worker;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A worker in a process of its own, started as the host does: requests on descriptor 3, replies on 4, a log. */
final class WorkerProcess implements AutoCloseable {
  private final ObjectMapper json = new ObjectMapper();
  private final Process process;
  private final BufferedReader replies;
  private final Path log;
  private int id;

  WorkerProcess(Path log, String... arguments) throws IOException {
    this.log = log;
    // this JVM can only make pipes for descriptors 0 to 2; a shell moves two of them
    List<String> command = new ArrayList<>(List.of("bash", "-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "worker"));
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx512m", "-cp", System.getProperty("java.class.path"), Main.class.getName()));
    command.addAll(Arrays.asList(arguments));
    process = new ProcessBuilder(command).redirectError(log.toFile()).start();
    replies = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
  }

  /** The reply to a request, which is the operation and then names and values; null when the worker has ended. */
  JsonNode request(String op, Object... fields) throws IOException {
    id++;
    ObjectNode request = json.createObjectNode().put("id", id).put("op", op);
    for (int i = 0; i < fields.length; i += 2) {
      request.putPOJO(fields[i].toString(), fields[i + 1]);
    }
    write(json.writeValueAsString(request));
    String reply = replies.readLine();
    return reply == null ? null : json.readTree(reply);
  }

  void write(String line) throws IOException {
    process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
    process.getOutputStream().flush();
  }

  /** Ends the requests and waits for the exit status. */
  int end() throws IOException, InterruptedException {
    process.getOutputStream().close();
    if (!process.waitFor(60, TimeUnit.SECONDS)) {
      throw new IllegalStateException("the worker did not end: " + log());
    }
    return process.exitValue();
  }

  /** What else it has written, up to its end. */
  String rest() throws IOException {
    return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  String log() {
    try {
      return Files.readString(log);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    process.destroyForcibly();
  }
}
