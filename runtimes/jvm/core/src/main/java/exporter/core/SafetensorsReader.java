package exporter.core;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Parses one safetensors file, which is taken for hostile until every byte of it has been accounted for. */
final class SafetensorsReader {
  private static final long MAX_HEADER = 100_000_000; // the limit of the reference implementation
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private final ReadableByteChannel channel;
  private final long size;
  private final String where;
  private long left;

  /**
   * @param size of the whole file in bytes
   * @param where what to call it in messages
   */
  SafetensorsReader(ReadableByteChannel channel, long size, String where) {
    this.channel = channel;
    this.size = size;
    this.where = where;
    this.left = size;
  }

  Map<String, HostTensor> read() throws IOException {
    JsonNode header = header();
    JsonNode metadata = header.path(Safetensors.METADATA);
    if (!metadata.isMissingNode() && !metadata.isObject()) {
      throw unreadable("__metadata__ is not an object");
    }
    Map<String, HostTensor> raw = tensors(entries(header));
    Map<String, HostTensor> out = new LinkedHashMap<>();
    for (Map.Entry<String, HostTensor> entry : raw.entrySet()) {
      String name = entry.getKey();
      int mark = name.indexOf('#');
      String base = mark < 0 ? name : name.substring(0, mark);
      if (mark < 0) {
        out.put(name, entry.getValue());
      } else if (name.equals(base + Safetensors.BYTES) && !raw.containsKey(base)) {
        HostTensor offsets = raw.get(base + Safetensors.OFFSETS);
        out.put(base, strings(base, entry.getValue(), offsets, metadata.path(base + Safetensors.SHAPE)));
      } else if (!name.equals(base + Safetensors.OFFSETS) || !raw.containsKey(base + Safetensors.BYTES)) {
        throw broken("'" + name + "' is no part of a string tensor (#bytes with #offsets)");
      }
    }
    return out;
  }

  private JsonNode header() throws IOException {
    if (size < Long.BYTES) {
      throw broken(size + " bytes is too short for a safetensors file");
    }
    long length = take(Long.BYTES).getLong();
    if (length < 0 || length > Math.min(MAX_HEADER, size - Long.BYTES)) {
      throw broken(
          "header of " + Long.toUnsignedString(length) + " bytes does not fit into " + size + " bytes");
    }
    try {
      CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(take(length));
      JsonNode header = JSON.readTree(text.toString());
      if (!header.isObject()) {
        throw unreadable("expected a JSON object");
      }
      return header;
    } catch (JsonProcessingException | CharacterCodingException e) {
      throw unreadable(e instanceof JsonProcessingException ? ((JsonProcessingException) e).getOriginalMessage()
          : "not UTF-8");
    }
  }

  /** One tensor of the header; every number is a count. */
  private static final class Entry {
    final String name;
    final DType dtype;
    final long[] shape;
    final long begin;
    final long end;

    Entry(String name, DType dtype, long[] shape, long[] offsets) {
      this.name = name;
      this.dtype = dtype;
      this.shape = shape;
      this.begin = offsets[0];
      this.end = offsets[1];
    }
  }

  /** In the order of the data. */
  private List<Entry> entries(JsonNode header) throws TensorFileException {
    List<Entry> entries = new ArrayList<>();
    for (Iterator<Map.Entry<String, JsonNode>> fields = header.fields(); fields.hasNext(); ) {
      Map.Entry<String, JsonNode> field = fields.next();
      String name = field.getKey();
      if (name.equals(Safetensors.METADATA)) {
        continue;
      }
      JsonNode tag = field.getValue().path("dtype");
      DType dtype =
          Safetensors.TAGS.entrySet().stream()
              .filter(known -> known.getValue().equals(tag.textValue()))
              .map(Map.Entry::getKey)
              .findFirst()
              .orElseThrow(() -> unreadable("tensor '" + name + "' has unknown dtype " + tag));
      long[] shape = counts(field.getValue().path("shape"));
      long[] offsets = counts(field.getValue().path("data_offsets"));
      if (shape == null || offsets == null || offsets.length != 2) {
        throw unreadable("tensor '" + name + "' is described by " + field.getValue());
      }
      entries.add(new Entry(name, dtype, shape, offsets));
    }
    entries.sort(Comparator.<Entry>comparingLong(entry -> entry.begin).thenComparingLong(entry -> entry.end));
    return entries;
  }

  private Map<String, HostTensor> tensors(List<Entry> entries) throws IOException {
    long total = left;
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    long position = 0;
    for (Entry entry : entries) {
      long length = length(entry);
      if (entry.begin != position || entry.end - entry.begin != length || entry.end > total) {
        throw broken(
            "tensor '" + entry.name + "' of " + TensorSpec.describe(entry.dtype, entry.shape) + " occupies bytes "
                + entry.begin + ".." + entry.end + " of " + total + ", expected " + length + " bytes from " + position);
      }
      tensors.put(entry.name, HostTensor.of(entry.dtype, entry.shape, take(length)));
      position = entry.end;
    }
    if (position != total) {
      throw broken((total - position) + " bytes after the last tensor");
    }
    return tensors;
  }

  private long length(Entry entry) throws TensorFileException {
    try {
      return Math.multiplyExact(Shapes.elements(entry.shape), (long) entry.dtype.size());
    } catch (ArithmeticException e) {
      throw broken("tensor '" + entry.name + "' has the impossible shape " + Arrays.toString(entry.shape));
    }
  }

  private HostTensor strings(String name, HostTensor data, HostTensor offsets, JsonNode shapeText)
      throws TensorFileException {
    if (offsets == null || !shapeText.isTextual()) {
      throw broken("string tensor '" + name + "' lacks its offsets or its shape");
    }
    if (data.dtype() != DType.UINT8 || offsets.dtype() != DType.INT64
        || data.shape().length != 1 || offsets.shape().length != 1) {
      throw broken(
          "string tensor '" + name + "' is stored as " + data + " and " + offsets + ", expected two vectors, uint8 and"
              + " int64");
    }
    long[] shape = shape(name, shapeText.textValue());
    long[] bounds = new long[(int) offsets.elements()];
    offsets.bytes().asLongBuffer().get(bounds);
    boolean consistent = bounds.length > 0 && bounds[0] == 0 && bounds[bounds.length - 1] == data.elements();
    for (int i = 1; i < bounds.length && consistent; i++) {
      consistent = bounds[i - 1] <= bounds[i];
    }
    if (!consistent || Shapes.elements(shape) != bounds.length - 1) {
      throw broken("string tensor '" + name + "' has inconsistent offsets");
    }
    ByteBuffer bytes = data.bytes();
    byte[][] values = new byte[bounds.length - 1][];
    for (int i = 0; i < values.length; i++) {
      values[i] = new byte[(int) (bounds[i + 1] - bounds[i])];
      bytes.get(values[i]);
    }
    return HostTensor.ofStrings(shape, values);
  }

  private long[] shape(String name, String text) throws TensorFileException {
    try {
      long[] shape = counts(JSON.readTree(text));
      if (shape != null) {
        Shapes.elements(shape);
        return shape;
      }
    } catch (JsonProcessingException | ArithmeticException e) {
      // the same complaint
    }
    throw broken("string tensor '" + name + "' has the shape '" + text + "'");
  }

  /** A list of counts; null for anything else. */
  private static long[] counts(JsonNode list) {
    if (!list.isArray()) {
      return null;
    }
    long[] counts = new long[list.size()];
    for (int i = 0; i < counts.length; i++) {
      JsonNode item = list.get(i);
      if (!item.isIntegralNumber() || !item.canConvertToLong() || item.longValue() < 0) {
        return null;
      }
      counts[i] = item.longValue();
    }
    return counts;
  }

  /** The next bytes of the file. */
  private ByteBuffer take(long count) throws IOException {
    if (count > Integer.MAX_VALUE - 8) {
      throw broken("a tensor of " + count + " bytes, and this reader holds at most 2 GiB in one; split it");
    }
    ByteBuffer bytes = ByteBuffer.allocate((int) count).order(ByteOrder.LITTLE_ENDIAN);
    while (bytes.hasRemaining()) {
      if (channel.read(bytes) < 0) {
        throw broken("it ends early, while it is being read");
      }
    }
    left -= count;
    return bytes.flip();
  }

  private TensorFileException unreadable(String why) {
    return broken("unreadable safetensors header (" + why + ")");
  }

  private TensorFileException broken(String why) {
    return new TensorFileException(where + ": " + why);
  }
}
