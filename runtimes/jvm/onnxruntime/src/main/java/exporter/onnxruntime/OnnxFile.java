package exporter.onnxruntime;

import exporter.core.ModelException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;

/**
 * What ONNX Runtime's Java binding leaves out of a model's description: which tensors have no shape at all. It shows
 * them as scalars.
 *
 * <p>Source: onnx.proto (ModelProto, GraphProto, ValueInfoProto, TypeProto). A protocol buffer is a sequence of fields,
 * each with its number, its kind and, where it is a message, its length, so what is not asked for can be skipped.
 */
final class OnnxFile {
  private static final int MODEL_GRAPH = 7;
  private static final int GRAPH_INPUT = 11;
  private static final int GRAPH_OUTPUT = 12;
  private static final int VALUE_NAME = 1;
  private static final int VALUE_TYPE = 2;
  private static final int TYPE_TENSOR = 1;
  private static final int TENSOR_SHAPE = 2;

  private OnnxFile() {}

  /**
   * Names of the graph's inputs and outputs of unknown rank.
   *
   * @param file one that ONNX Runtime has opened
   * @throws ModelException it cannot be read
   */
  static Set<String> unranked(Path file) {
    Set<String> names = new HashSet<>();
    try (FileChannel channel = FileChannel.open(file)) {
      ByteBuffer model = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
      messages(model, MODEL_GRAPH, graph -> {
        messages(graph.duplicate(), GRAPH_INPUT, value -> addUnranked(value, names));
        messages(graph, GRAPH_OUTPUT, value -> addUnranked(value, names));
      });
    } catch (IOException e) {
      throw new ModelException("unreadable", "cannot read " + file + ": " + e, e);
    }
    return names;
  }

  private static void addUnranked(ByteBuffer value, Set<String> names) {
    boolean[] ranked = new boolean[1];
    messages(value.duplicate(), VALUE_TYPE, type ->
        messages(type, TYPE_TENSOR, tensor ->
            messages(tensor, TENSOR_SHAPE, shape -> ranked[0] = true)));
    if (!ranked[0]) {
      messages(value, VALUE_NAME, name -> names.add(StandardCharsets.UTF_8.decode(name).toString()));
    }
  }

  /** Hands every field of this number, which is one with a length, to the reader. */
  private static void messages(ByteBuffer in, int number, Consumer<ByteBuffer> reader) {
    while (in.hasRemaining()) {
      long tag = varint(in);
      int length;
      switch ((int) tag & 7) {
        case 0:
          varint(in);
          continue;
        case 1:
          length = 8;
          break;
        case 5:
          length = 4;
          break;
        default:
          length = (int) varint(in);
      }
      int end = in.position() + length;
      if (tag >>> 3 == number) {
        ByteBuffer message = in.duplicate();
        message.limit(end);
        reader.accept(message);
      }
      in.position(end);
    }
  }

  private static long varint(ByteBuffer in) {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte part = in.get();
      value |= (part & 0x7FL) << shift;
      if (part >= 0) {
        return value;
      }
    }
  }
}
