package exporter.tflite;

import exporter.core.ModelException;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * In which order callers by index feed and read a model. The C API shows the names of a signature sorted, and the lists of
 * the first subgraph only; a file may have a subgraph for each signature.
 *
 * <p>Source: schema.fbs of LiteRT (Model, SubGraph, SignatureDef, TensorMap). A table of a flatbuffer starts with the
 * distance to its vtable, which tells at which distance from the start each field lies.
 */
final class LiteFile {
  private static final int MODEL_SUBGRAPHS = 2;
  private static final int MODEL_SIGNATURES = 7;
  private static final int GRAPH_INPUTS = 1;
  private static final int GRAPH_OUTPUTS = 2;
  private static final int SIGNATURE_INPUTS = 0;
  private static final int SIGNATURE_OUTPUTS = 1;
  private static final int SIGNATURE_KEY = 2;
  private static final int SIGNATURE_SUBGRAPH = 4;
  private static final int MAP_NAME = 0;
  private static final int MAP_TENSOR = 1;

  /** Names of one signature by position. */
  static final class Order {
    final List<String> inputs;
    final List<String> outputs;

    private Order(List<String> inputs, List<String> outputs) {
      this.inputs = inputs;
      this.outputs = outputs;
    }
  }

  private final FileChannel file;

  private LiteFile(FileChannel file) {
    this.file = file;
  }

  /**
   * The order of each signature, by its key.
   *
   * @param path a file that TensorFlow Lite has opened
   * @throws ModelException it cannot be read
   */
  static Map<String, Order> orders(Path path) {
    // read piece by piece: a file that is mapped stays so until the garbage collector comes
    try (FileChannel channel = FileChannel.open(path)) {
      return new LiteFile(channel).orders();
    } catch (IOException | IndexOutOfBoundsException e) {
      throw new ModelException("unreadable", "cannot read the signatures of " + path + ": " + e, e);
    }
  }

  private Map<String, Order> orders() throws IOException {
    Map<String, Order> found = new LinkedHashMap<>();
    long model = follow(0);
    List<Long> graphs = tables(model, MODEL_SUBGRAPHS);
    for (long signature : tables(model, MODEL_SIGNATURES)) {
      long graph = graphs.get(number(signature, SIGNATURE_SUBGRAPH));
      found.put(
          text(signature, SIGNATURE_KEY),
          new Order(
              ordered(names(signature, SIGNATURE_INPUTS), integers(graph, GRAPH_INPUTS)),
              ordered(names(signature, SIGNATURE_OUTPUTS), integers(graph, GRAPH_OUTPUTS))));
    }
    return found;
  }

  /** Names by the places of their tensors; two names of one tensor have two places, what has none comes last. */
  private static List<String> ordered(Map<String, Integer> names, List<Integer> places) {
    Map<String, Integer> left = new LinkedHashMap<>(names);
    List<String> ordered = new ArrayList<>();
    for (Integer place : places) {
      for (Map.Entry<String, Integer> entry : left.entrySet()) {
        if (entry.getValue().equals(place)) {
          ordered.add(entry.getKey());
          left.remove(entry.getKey());
          break;
        }
      }
    }
    ordered.addAll(left.keySet());
    return ordered;
  }

  private Map<String, Integer> names(long signature, int side) throws IOException {
    Map<String, Integer> names = new LinkedHashMap<>();
    for (long entry : tables(signature, side)) {
      names.put(text(entry, MAP_NAME), number(entry, MAP_TENSOR));
    }
    return names;
  }

  private ByteBuffer bytes(long at, int count) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
    while (bytes.hasRemaining()) {
      if (file.read(bytes, at + bytes.position()) < 0) {
        throw new EOFException("the file ends before " + (at + count));
      }
    }
    return bytes.flip();
  }

  private int integer(long at) throws IOException {
    return bytes(at, 4).getInt();
  }

  private long follow(long at) throws IOException {
    return at + Integer.toUnsignedLong(integer(at));
  }

  /** Where a field's value lies; 0 where the table leaves it at its default. */
  private long field(long table, int number) throws IOException {
    long vtable = table - integer(table);
    int slot = 4 + 2 * number;
    int size = Short.toUnsignedInt(bytes(vtable, 2).getShort());
    int offset = slot < size ? Short.toUnsignedInt(bytes(vtable + slot, 2).getShort()) : 0;
    return offset == 0 ? 0 : table + offset;
  }

  private int number(long table, int field) throws IOException {
    long at = field(table, field);
    return at == 0 ? 0 : integer(at);
  }

  private List<Integer> integers(long table, int number) throws IOException {
    List<Integer> found = new ArrayList<>();
    for (long at : elements(table, number)) {
      found.add(integer(at));
    }
    return found;
  }

  private List<Long> tables(long table, int number) throws IOException {
    List<Long> found = new ArrayList<>();
    for (long at : elements(table, number)) {
      found.add(follow(at));
    }
    return found;
  }

  /** Where the elements of a vector lie, which take four bytes each. */
  private List<Long> elements(long table, int number) throws IOException {
    List<Long> found = new ArrayList<>();
    long at = field(table, number);
    if (at != 0) {
      long vector = follow(at);
      int count = integer(vector);
      for (long i = 0; i < count; i++) {
        found.add(vector + 4 + 4 * i);
      }
    }
    return found;
  }

  private String text(long table, int number) throws IOException {
    long at = field(table, number);
    if (at == 0) {
      return "";
    }
    long vector = follow(at);
    return StandardCharsets.UTF_8.decode(bytes(vector + 4, integer(vector))).toString();
  }
}
