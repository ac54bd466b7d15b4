package exporter.tflite;

import exporter.core.ModelException;
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

  private final ByteBuffer file;

  private LiteFile(ByteBuffer file) {
    this.file = file.order(ByteOrder.LITTLE_ENDIAN);
  }

  /**
   * The order of each signature, by its key.
   *
   * @param path a file that TensorFlow Lite has opened
   * @throws ModelException it cannot be read
   */
  static Map<String, Order> orders(Path path) {
    try (FileChannel channel = FileChannel.open(path)) {
      // tables lie in front: what is behind 2 GB is the data of buffers
      long size = Math.min(channel.size(), Integer.MAX_VALUE);
      return new LiteFile(channel.map(FileChannel.MapMode.READ_ONLY, 0, size)).orders();
    } catch (IOException | IndexOutOfBoundsException e) {
      throw new ModelException("unreadable", "cannot read the signatures of " + path + ": " + e, e);
    }
  }

  private Map<String, Order> orders() {
    Map<String, Order> found = new LinkedHashMap<>();
    int model = follow(0);
    List<Integer> graphs = tables(model, MODEL_SUBGRAPHS);
    for (int signature : tables(model, MODEL_SIGNATURES)) {
      int at = field(signature, SIGNATURE_SUBGRAPH);
      int graph = graphs.get(at == 0 ? 0 : file.getInt(at));
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

  private Map<String, Integer> names(int signature, int side) {
    Map<String, Integer> names = new LinkedHashMap<>();
    for (int entry : tables(signature, side)) {
      int at = field(entry, MAP_TENSOR);
      names.put(text(entry, MAP_NAME), at == 0 ? 0 : file.getInt(at));
    }
    return names;
  }

  private int follow(int at) {
    return at + file.getInt(at);
  }

  /** Where a field's value lies; 0 where the table leaves it at its default. */
  private int field(int table, int number) {
    int vtable = table - file.getInt(table);
    int slot = 4 + 2 * number;
    int offset = slot < Short.toUnsignedInt(file.getShort(vtable)) ? file.getShort(vtable + slot) & 0xFFFF : 0;
    return offset == 0 ? 0 : table + offset;
  }

  private List<Integer> integers(int table, int number) {
    List<Integer> found = new ArrayList<>();
    for (int at : elements(table, number)) {
      found.add(file.getInt(at));
    }
    return found;
  }

  private List<Integer> tables(int table, int number) {
    List<Integer> found = new ArrayList<>();
    for (int at : elements(table, number)) {
      found.add(follow(at));
    }
    return found;
  }

  /** Where the elements of a vector lie, which take four bytes each. */
  private List<Integer> elements(int table, int number) {
    List<Integer> found = new ArrayList<>();
    int at = field(table, number);
    if (at != 0) {
      int vector = follow(at);
      for (int i = 0; i < file.getInt(vector); i++) {
        found.add(vector + 4 + 4 * i);
      }
    }
    return found;
  }

  private String text(int table, int number) {
    int at = field(table, number);
    if (at == 0) {
      return "";
    }
    int vector = follow(at);
    byte[] utf8 = new byte[file.getInt(vector)];
    for (int i = 0; i < utf8.length; i++) {
      utf8[i] = file.get(vector + 4 + i);
    }
    return new String(utf8, StandardCharsets.UTF_8);
  }
}
