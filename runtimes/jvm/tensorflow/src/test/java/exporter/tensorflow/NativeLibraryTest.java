package exporter.tensorflow;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import exporter.core.ModelException;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tensorflow.ndarray.buffer.DataBuffers;

class NativeLibraryTest {
  @TempDir Path dir;

  /** The jars with the natives, or all others. */
  private static Stream<String> classPath(boolean natives) {
    return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
        .filter(path -> path.matches(".*tensorflow-core-native-[\\d.]+-.*") == natives);
  }

  @Test
  void aStepThatFailsIsTriedOnceMore() {
    List<Integer> tries = new ArrayList<>();
    NativeLibrary.twice(() -> {
      tries.add(tries.size());
      if (tries.size() == 1) {
        throw new UnsatisfiedLinkError("no jnitensorflow in java.library.path");
      }
    }, 1);
    assertEquals(List.of(0, 1), tries);
  }

  @Test
  void aStepThatFailsTwiceSaysWhatToDo() {
    IOException full = new IOException("No space left on device");
    ModelException refusal = assertThrows(ModelException.class, () -> NativeLibrary.twice(() -> {
      throw full;
    }, 1));
    assertEquals("native-library", refusal.code());
    assertTrue(refusal.getMessage().contains("No space left on device"), refusal::getMessage);
    assertTrue(refusal.getMessage().contains("-Dorg.bytedeco.javacpp.cachedir="), refusal::getMessage);
    assertSame(full, refusal.getCause());
  }

  /** Where the bindings may not use memory by address they give a read-only buffer of the same memory. */
  @Test
  void anAddressIsFoundInAReadOnlyBufferToo() {
    NativeLibrary.load();
    try (BytePointer memory = new BytePointer(8L)) {
      ByteBuffer readOnly = memory.asByteBuffer().asReadOnlyBuffer();
      assertEquals(memory.address(), DataBuffers.of(readOnly).accept(Address.VISITOR));
    }
  }

  /** A class whose initialiser has failed can never be used again; the library must not be lost with it. */
  @Test
  void aFailedUnpackingAndAnInterruptedThreadDoNotPoisonTheProcess() throws Exception {
    // the cache has a directory of the jar's name
    String jar = classPath(true).map(path -> Path.of(path).getFileName().toString()).findFirst().orElseThrow();
    Path blocker = dir.resolve(jar);
    Files.writeString(blocker, "in the way of the directory to unpack to");
    assertEquals(
        "native-library native-library true true 0",
        ChildJvm.run(FailsThenLoads.class, List.of("-Dorg.bytedeco.javacpp.cachedir=" + dir), blocker.toString()));
  }

  static final class FailsThenLoads {
    public static void main(String[] arguments) throws IOException {
      for (int i = 0; i < 2; i++) {
        try {
          NativeLibrary.load();
        } catch (ModelException e) {
          System.out.print(e.code() + " ");
        }
      }
      Files.delete(Path.of(arguments[0]));
      Thread.currentThread().interrupt();
      boolean loads = new TensorFlowEngine().versions().containsKey("tensorflow");
      System.out.print(loads + " " + Thread.currentThread().isInterrupted() + " " + Pointer.maxPhysicalBytes());
    }
  }

  @Test
  void aMissingJarIsExplainedEachTime() throws Exception {
    String withoutNatives = classPath(false).collect(Collectors.joining(File.pathSeparator));
    String message = ChildJvm.run(withoutNatives, Fails.class, List.of());
    String platform = Loader.getPlatform();
    assertTrue(message.startsWith("native-library: cannot load TensorFlow's native library for " + platform), message);
    assertTrue(message.contains("tensorflow-core-native for this platform has to be on the class path"), message);
    assertEquals(2, message.lines().count(), message);
  }

  static final class Fails {
    public static void main(String[] arguments) {
      for (int i = 0; i < 2; i++) {
        ModelException refusal = assertThrows(ModelException.class, NativeLibrary::load);
        System.out.println(refusal.code() + ": " + refusal.getMessage());
      }
    }
  }
}
