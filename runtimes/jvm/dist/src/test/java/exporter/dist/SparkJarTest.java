package exporter.dist;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What must be, and what must not be, in the jars that users submit. */
class SparkJarTest {
  /** What Spark brings in versions of its own. */
  private static final List<String> FOREIGN = List.of("com/google/protobuf/", "scala/", "org/apache/", "com/fasterxml/");

  private static final String NATIVES = "org/tensorflow/internal/c_api/";

  private static List<String> files(JarFile jar) {
    return jar.stream().filter(entry -> !entry.isDirectory()).map(JarEntry::getName).collect(Collectors.toList());
  }

  private static JarFile open(String property) throws IOException {
    return new JarFile(System.getProperty(property));
  }

  private static String read(JarFile jar, String name) throws IOException {
    assertNotNull(jar.getEntry(name), name);
    try (InputStream in = jar.getInputStream(jar.getEntry(name))) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"jar.all", "jar.thin"})
  void holdsNothingOfSparkAndEachFileOnce(String property) throws IOException {
    try (JarFile jar = open(property)) {
      List<String> names = files(jar);
      for (String foreign : FOREIGN) {
        assertEquals(List.of(), names.stream().filter(name -> name.startsWith(foreign)).collect(Collectors.toList()));
      }
      assertEquals(names.size(), new HashSet<>(names).size(), "two files of one name");
      assertEquals(
          List.of(),
          names.stream().filter(name -> name.matches("META-INF/[^/]*\\.(SF|DSA|RSA)")).collect(Collectors.toList()));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"jar.all", "jar.thin"})
  void holdsTheLibraryItsServicesAndItsLicences(String property) throws IOException {
    try (JarFile jar = open(property)) {
      assertNotNull(jar.getEntry("exporter/spark/ExporterExtensions.class"));
      assertNotNull(jar.getEntry("exporter/tensorflow/TensorFlowEngine.class"));
      assertNotNull(jar.getEntry("exporter/core/Model.class"));
      assertEquals(
          "exporter.tensorflow.TensorFlowEngine", read(jar, "META-INF/services/exporter.core.Engine").strip());
      assertTrue(read(jar, "META-INF/LICENSE").contains("Apache License"));
      String parties = read(jar, "META-INF/THIRD_PARTY_LICENSES");
      assertTrue(parties.contains("Redistributions in binary form must reproduce"));
      assertTrue(!parties.contains("${"), "a version was not filled in");
    }
  }

  @Test
  void holdsTheNativesOfExactlyOnePlatform() throws IOException {
    try (JarFile jar = open("jar.all")) {
      Set<String> platforms = new TreeSet<>();
      for (String name : files(jar)) {
        if (name.matches(".*\\.(so(\\.\\d+)*|dylib|dll)")) {
          assertTrue(name.startsWith(NATIVES), name);
          platforms.add(name.substring(NATIVES.length()).split("/")[0]);
        }
      }
      assertEquals(Set.of(System.getProperty("native.classifier")), platforms);
      assertNotNull(jar.getEntry(NATIVES + System.getProperty("native.classifier") + "/LICENSE"));
    }
  }

  @Test
  void theThinJarHoldsOurClassesOnly() throws IOException {
    try (JarFile jar = open("jar.thin")) {
      for (String name : files(jar)) {
        assertTrue(name.startsWith("exporter/") || name.startsWith("META-INF/"), name);
      }
    }
  }

  /** Descriptors of .proto files name Java packages too, inside longer texts; nothing resolves those. */
  @Test
  void noClassRefersToProtobufByItsOwnName() throws IOException {
    List<String> found = new ArrayList<>();
    int relocated = 0;
    try (JarFile jar = open("jar.all")) {
      for (String name : files(jar)) {
        if (!name.endsWith(".class")) {
          continue;
        }
        try (InputStream in = jar.getInputStream(jar.getEntry(name))) {
          for (String text : ConstantPool.texts(in)) {
            if (text.contains("com/google/protobuf") || text.startsWith("com.google.protobuf")) {
              found.add(name + ": " + text);
            }
            if (name.startsWith("org/tensorflow/") && text.contains("exporter/shaded/protobuf/")) {
              relocated++;
            }
          }
        }
      }
    }
    assertEquals(List.of(), found);
    assertTrue(relocated > 1000, "only " + relocated + " references are relocated: what did this test read?");
  }
}
