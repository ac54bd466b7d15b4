package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Runs a program of the test classes in a JVM of its own: for what happens once in a process, or is measured there. */
final class ChildJvm {
  private ChildJvm() {}

  /** What the program prints to its standard output. Fails when it does not end with 0. */
  static String run(Class<?> program, List<String> flags, String... arguments) throws Exception {
    return run(System.getProperty("java.class.path"), program, flags, arguments);
  }

  /** The same, with another class path. */
  static String run(String classPath, Class<?> program, List<String> flags, String... arguments) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(flags);
    command.addAll(List.of("-cp", classPath, program.getName()));
    command.addAll(Arrays.asList(arguments));
    Path log = Files.createTempFile("child", ".log");
    try {
      Process process = new ProcessBuilder(command).redirectError(log.toFile()).start();
      process.getOutputStream().close();
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertEquals(0, process.waitFor(), () -> output + read(log));
      return output;
    } finally {
      Files.delete(log);
    }
  }

  private static String read(Path log) {
    try {
      return Files.readString(log);
    } catch (IOException e) {
      return e.toString();
    }
  }
}
