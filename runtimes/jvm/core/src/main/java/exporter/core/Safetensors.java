package exporter.core;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Tensors as safetensors files, bit for bit, to the same bytes as the Python and JavaScript sides of this project
 * write.
 *
 * <p>Format: https://huggingface.co/docs/safetensors (8-byte little-endian header length, JSON header, raw data).
 * Strings are bytes: tensor {@code x} is stored as {@code x#bytes} (U8) and {@code x#offsets} (I64, n+1 entries), its
 * shape as a JSON list under {@code x#shape} in {@code __metadata__}.
 */
public final class Safetensors {
  static final String METADATA = "__metadata__";
  static final String BYTES = "#bytes";
  static final String OFFSETS = "#offsets";
  static final String SHAPE = "#shape";
  static final Map<DType, String> TAGS = new EnumMap<>(DType.class);

  static {
    TAGS.put(DType.BOOL, "BOOL");
    TAGS.put(DType.UINT8, "U8");
    TAGS.put(DType.INT8, "I8");
    TAGS.put(DType.UINT16, "U16");
    TAGS.put(DType.INT16, "I16");
    TAGS.put(DType.FLOAT16, "F16");
    TAGS.put(DType.BFLOAT16, "BF16");
    TAGS.put(DType.UINT32, "U32");
    TAGS.put(DType.INT32, "I32");
    TAGS.put(DType.FLOAT32, "F32");
    TAGS.put(DType.UINT64, "U64");
    TAGS.put(DType.INT64, "I64");
    TAGS.put(DType.FLOAT64, "F64");
    TAGS.put(DType.COMPLEX64, "C64");
  }

  private Safetensors() {}

  /**
   * Reads a file.
   *
   * @throws TensorFileException truncated, holes, overlaps, unknown dtype, a broken string pair, or a tensor over 2 GiB
   * @throws IOException it cannot be read at all
   */
  public static Map<String, HostTensor> read(Path file) throws IOException {
    try (SeekableByteChannel channel = Files.newByteChannel(file)) {
      return new SafetensorsReader(channel, channel.size(), file.toString()).read();
    }
  }

  /**
   * Reads the bytes of a file; {@code where} names them in messages.
   *
   * @throws TensorFileException as {@link #read}
   */
  public static Map<String, HostTensor> read(byte[] data, String where) throws IOException {
    ReadableByteChannel channel = Channels.newChannel(new ByteArrayInputStream(data));
    return new SafetensorsReader(channel, data.length, where).read();
  }

  /**
   * Writes tensors to a file, which is created or replaced.
   *
   * @throws TensorFileException a name that is reserved
   */
  public static void write(Path file, Map<String, ? extends TensorBuffer> tensors) throws IOException {
    List<Part> parts = parts(tensors);
    try (WritableByteChannel channel =
        Files.newByteChannel(
            file, StandardOpenOption.WRITE, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING)) {
      write(channel, parts, shapes(tensors));
    }
  }

  /**
   * The bytes of a file of these tensors.
   *
   * @throws TensorFileException as {@link #write}
   */
  public static byte[] bytes(Map<String, ? extends TensorBuffer> tensors) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    write(Channels.newChannel(out), parts(tensors), shapes(tensors));
    return out.toByteArray();
  }

  /** One entry of the header and its data. */
  private static final class Part {
    final String name;
    final DType dtype;
    final long[] shape;
    final ByteBuffer data;

    Part(String name, DType dtype, long[] shape, ByteBuffer data) {
      this.name = name;
      this.dtype = dtype;
      this.shape = shape;
      this.data = data;
    }

    byte[] key() {
      return name.getBytes(StandardCharsets.UTF_8);
    }
  }

  private static List<Part> parts(Map<String, ? extends TensorBuffer> tensors) throws TensorFileException {
    List<Part> parts = new ArrayList<>();
    for (Map.Entry<String, ? extends TensorBuffer> entry : tensors.entrySet()) {
      String name = entry.getKey();
      TensorBuffer tensor = entry.getValue();
      if (name.contains("#") || name.equals(METADATA)) {
        throw new TensorFileException("tensor name '" + name + "' is reserved");
      }
      if (tensor.dtype() == DType.STRING) {
        parts.addAll(stringParts(name, tensor));
      } else {
        parts.add(new Part(name, tensor.dtype(), tensor.shape(), tensor.bytes()));
      }
    }
    // largest items first, so that every tensor starts at a multiple of its item size; then by name, in code points
    parts.sort(
        Comparator.<Part>comparingInt(part -> -part.dtype.size()).thenComparing(Part::key, Arrays::compareUnsigned));
    return parts;
  }

  private static Collection<Part> stringParts(String name, TensorBuffer tensor) {
    int count = Math.toIntExact(tensor.elements());
    ByteBuffer offsets = ByteBuffer.allocate((count + 1) * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    ByteArrayOutputStream joined = new ByteArrayOutputStream();
    offsets.putLong(0);
    for (int i = 0; i < count; i++) {
      joined.writeBytes(tensor.string(i));
      offsets.putLong(joined.size());
    }
    return List.of(
        new Part(name + BYTES, DType.UINT8, new long[] {joined.size()}, ByteBuffer.wrap(joined.toByteArray())),
        new Part(name + OFFSETS, DType.INT64, new long[] {count + 1}, offsets.flip()));
  }

  private static Map<String, String> shapes(Map<String, ? extends TensorBuffer> tensors) {
    Map<String, String> shapes = new LinkedHashMap<>();
    tensors.forEach((name, tensor) -> {
      if (tensor.dtype() == DType.STRING) {
        shapes.put(name + SHAPE, Arrays.toString(tensor.shape()));
      }
    });
    return shapes;
  }

  private static void write(WritableByteChannel channel, List<Part> parts, Map<String, String> metadata)
      throws IOException {
    List<String> fields = new ArrayList<>();
    if (!metadata.isEmpty()) {
      fields.add(
          metadata.entrySet().stream()
              .map(entry -> quote(entry.getKey()) + ":" + quote(entry.getValue()))
              .collect(Collectors.joining(",", quote(METADATA) + ":{", "}")));
    }
    long position = 0;
    for (Part part : parts) {
      long end = position + part.data.remaining();
      fields.add(
          quote(part.name) + ":{\"dtype\":" + quote(TAGS.get(part.dtype)) + ",\"shape\":"
              + Arrays.toString(part.shape).replace(" ", "") + ",\"data_offsets\":[" + position + "," + end + "]}");
      position = end;
    }
    String header = "{" + String.join(",", fields) + "}";
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    byte[] padded = Arrays.copyOf(text, (text.length + 7) / 8 * 8);
    Arrays.fill(padded, text.length, padded.length, (byte) ' ');
    writeFully(channel, ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(padded.length).flip());
    writeFully(channel, ByteBuffer.wrap(padded));
    for (Part part : parts) {
      writeFully(channel, part.data.duplicate());
    }
  }

  private static void writeFully(WritableByteChannel channel, ByteBuffer data) throws IOException {
    while (data.hasRemaining()) {
      channel.write(data);
    }
  }

  /** A JSON string with the escapes that Python and JavaScript choose, which the bytes of a header depend on. */
  private static String quote(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      int named = "\"\\\b\f\n\r\t".indexOf(c);
      if (named >= 0) {
        out.append('\\').append("\"\\bfnrt".charAt(named));
      } else if (c < ' ') {
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    return out.append('"').toString();
  }
}
