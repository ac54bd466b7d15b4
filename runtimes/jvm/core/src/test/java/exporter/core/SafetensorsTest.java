package exporter.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The codec against the files that the Python and JavaScript codecs are held to as well. */
class SafetensorsTest {
  private static final Path VECTORS = Path.of(System.getProperty("exporter.vectors", "../../../tests/vectors"));

  @TempDir Path dir;

  private static JsonNode index(String kind) throws IOException {
    return new ObjectMapper().readTree(VECTORS.resolve("vectors.json").toFile()).get(kind);
  }

  private static List<String> names(String kind) throws IOException {
    List<String> files = new ArrayList<>();
    index(kind).fieldNames().forEachRemaining(files::add);
    return files;
  }

  static List<String> good() throws IOException {
    return names("good");
  }

  static List<String> bad() throws IOException {
    return names("bad");
  }

  @Test
  void theVectorsAreThere() throws IOException {
    assertTrue(good().size() >= 9, good()::toString);
    assertTrue(bad().size() >= 45, bad()::toString);
  }

  @ParameterizedTest
  @MethodSource("good")
  void findsExactlyTheTensorsOfAFile(String file) throws IOException {
    Map<String, String> expected = new TreeMap<>();
    for (JsonNode tensor : index("good").get(file)) {
      String shape = tensor.get("shape").toString().replace(",", ", ");
      expected.put(
          tensor.get("name").textValue(),
          tensor.get("dtype").textValue() + " " + shape + " " + tensor.get("sha256").textValue());
    }
    Map<String, String> found = new TreeMap<>();
    Safetensors.read(VECTORS.resolve(file)).forEach((name, tensor) -> found.put(name, tensor + " " + sha256(tensor)));
    assertEquals(expected, found);
  }

  @ParameterizedTest
  @MethodSource("good")
  void writesTheSameBytesAgain(String file) throws IOException {
    byte[] original = Files.readAllBytes(VECTORS.resolve(file));
    Map<String, HostTensor> tensors = Safetensors.read(original, file);
    assertArrayEquals(original, Safetensors.bytes(tensors));
    Path copy = dir.resolve("copy");
    Files.write(copy, new byte[100_000]); // a longer file that was there before leaves nothing behind
    Safetensors.write(copy, tensors);
    assertArrayEquals(original, Files.readAllBytes(copy));
  }

  @ParameterizedTest
  @MethodSource("bad")
  void refusesAMalformedFileAndNamesIt(String file) {
    Path path = VECTORS.resolve(file);
    TensorFileException refusal = assertThrows(TensorFileException.class, () -> Safetensors.read(path));
    assertTrue(refusal.getMessage().startsWith(path + ": "), refusal::getMessage);
  }

  @ParameterizedTest
  @MethodSource("good")
  void refusesEveryTruncation(String file) throws IOException {
    byte[] whole = Files.readAllBytes(VECTORS.resolve(file));
    for (int length = 0; length < whole.length; length++) {
      byte[] part = Arrays.copyOf(whole, length);
      assertThrows(TensorFileException.class, () -> Safetensors.read(part, "part"), length + " bytes");
    }
    assertThrows(
        TensorFileException.class, () -> Safetensors.read(Arrays.copyOf(whole, whole.length + 1), "one byte more"));
  }

  @Test
  void survivesEveryChangedByte() throws IOException {
    byte[] data = Files.readAllBytes(VECTORS.resolve("mixed.safetensors"));
    int header = 8 + (int) ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).getLong();
    for (int i = 0; i < header; i++) {
      for (int bit = 0; bit < 8; bit++) {
        byte[] changed = data.clone();
        changed[i] ^= (byte) (1 << bit);
        try {
          Safetensors.read(changed, "changed"); // another name or shape of the same size is a good file
        } catch (TensorFileException expected) {
          // anything else fails the test
        }
      }
    }
  }

  @Test
  void aFileCutShortWhileItIsReadIsRefused() throws IOException {
    Path file = dir.resolve("x");
    Safetensors.write(file, Map.of("x", HostTensor.zeros(DType.INT8, 4)));
    byte[] data = Files.readAllBytes(file);
    SafetensorsReader reader =
        new SafetensorsReader(
            Channels.newChannel(
new ByteArrayInputStream(data, 0, data.length - 1)), data.length, "x");
    assertTrue(assertThrows(TensorFileException.class, reader::read).getMessage().contains("ends early"));
  }

  @Test
  void anAbsentFileIsAnIoError() {
    assertThrows(NoSuchFileException.class, () -> Safetensors.read(dir.resolve("absent")));
  }

  @Test
  void reservedNamesAreRefused() {
    for (String name : List.of("a#b", "#", "__metadata__")) {
      assertThrows(
          TensorFileException.class, () -> Safetensors.bytes(Map.of(name, HostTensor.zeros(DType.INT8, 1))), name);
    }
  }

  @Test
  void stringsAreBytes() throws IOException {
    byte[][] values = {{}, {0}, {(byte) 0xff, (byte) 0xfe}, "größe".getBytes(StandardCharsets.UTF_8)};
    byte[] file = Safetensors.bytes(Map.of("s", HostTensor.ofStrings(new long[] {2, 2}, values)));
    HostTensor read = Safetensors.read(file, "s").get("s");
    assertArrayEquals(new long[] {2, 2}, read.shape());
    for (int i = 0; i < values.length; i++) {
      assertArrayEquals(values[i], read.string(i));
    }
  }

  @Test
  void aSliceOfABufferIsWrittenAndLeftWhereItIs() throws IOException {
    ByteBuffer buffer = ByteBuffer.allocateDirect(16).position(4).limit(8);
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("x", HostTensor.of(DType.FLOAT32, new long[] {1}, buffer));
    assertArrayEquals(Safetensors.bytes(tensors), Safetensors.bytes(tensors));
    assertEquals(4, buffer.position());
  }

  /** As the vectors' README says: over the data, and for strings over the offsets and then the bytes. */
  private static String sha256(HostTensor tensor) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      if (tensor.dtype() == DType.STRING) {
        int count = (int) tensor.elements();
        ByteBuffer offsets = ByteBuffer.allocate(8 * (count + 1)).order(ByteOrder.LITTLE_ENDIAN).putLong(0);
        long end = 0;
        for (int i = 0; i < count; i++) {
          end += tensor.string(i).length;
          offsets.putLong(end);
        }
        digest.update(offsets.flip());
        for (int i = 0; i < count; i++) {
          digest.update(tensor.string(i));
        }
      } else {
        digest.update(tensor.bytes());
      }
      StringBuilder hex = new StringBuilder();
      for (byte b : digest.digest()) {
        hex.append(String.format("%02x", b));
      }
      return hex.toString();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
