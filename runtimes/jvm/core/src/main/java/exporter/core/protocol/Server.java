package exporter.core.protocol;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;

/** The loop of a worker: reads requests, lets a session answer them, writes replies. */
public final class Server {
  private static final int MAX_TRACE = 8000;

  private final ObjectMapper json = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
  private final Session session;
  private final PrintStream log;

  /**
   * @param log takes the traces of errors, whole
   */
  public Server(Session session, PrintStream log) {
    this.session = session;
    this.log = log;
  }

  /**
   * Answers requests one after the other until {@code bye} or the end of the requests.
   *
   * <p>Errors (out of memory, a class that cannot be linked) are not answered but end the loop: what such a JVM says
   * afterwards cannot be trusted, and the host counts a dead worker as one failed answer.
   *
   * @throws IllegalArgumentException a line that is no request; it cannot be answered, because an answer needs its id
   * @throws IOException the pipes are broken
   */
  public void serve(InputStream requests, OutputStream replies) throws IOException {
    BufferedReader lines = new BufferedReader(new InputStreamReader(requests, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      if (line.isBlank()) {
        continue;
      }
      JsonNode request = parse(line);
      ObjectNode reply = answer(request);
      // one write for one record
      replies.write((json.writeValueAsString(reply) + "\n").getBytes(StandardCharsets.UTF_8));
      replies.flush();
      if (request.get("op").textValue().equals("bye")) {
        return;
      }
    }
  }

  private JsonNode parse(String line) {
    try {
      JsonNode request = json.readTree(line);
      JsonNode id = request.path("id");
      if (id.isIntegralNumber() && id.canConvertToLong() && id.longValue() >= 1 && request.path("op").isTextual()) {
        return request;
      }
    } catch (JsonProcessingException e) {
      // the same complaint
    }
    throw new IllegalArgumentException(
        "not a protocol request (expected an object with an integer id and an op): "
            + line.substring(0, Math.min(200, line.length())));
  }

  private ObjectNode answer(JsonNode request) {
    ObjectNode reply = json.createObjectNode();
    reply.set("id", request.get("id"));
    try {
      reply.set("ok", session.answer(request));
    } catch (Unsupported e) {
      reply.putObject("unsupported").put("reason", e.getMessage());
    } catch (Exception e) {
      // also checked ones: Scala does not declare what it throws
      String stage = request.get("op").textValue().equals("run") ? "run" : "load";
      e.printStackTrace(log);
      ObjectNode error = reply.putObject("error").put("stage", stage).put("code", code(e));
      error.put("message", message(e)).put("trace", trace(e));
    }
    return reply;
  }

  private static String code(Exception e) {
    if (e instanceof IOException && message(e).contains("No space left on device")) {
      return "disk-full";
    }
    return e instanceof ModelException ? ((ModelException) e).code() : e.getClass().getSimpleName();
  }

  /** Exceptions of the JVM need their name to be understood: the message of a missing file is its path. */
  private static String message(Exception e) {
    return e instanceof ModelException ? e.getMessage() : e.toString();
  }

  private static String trace(Exception e) {
    StringWriter text = new StringWriter();
    e.printStackTrace(new PrintWriter(text));
    return text.toString().substring(0, Math.min(MAX_TRACE, text.getBuffer().length()));
  }
}
