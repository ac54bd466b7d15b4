package exporter.onnxruntime;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes small ONNX files, field by field (onnx.proto), so that tests need no converter. */
final class OnnxWriter {
  static final int FLOAT = 1;
  static final int STRING = 8;

  private final Message graph = new Message();
  private int ir = 10;
  private int opset = 16;

  OnnxWriter ir(int version) {
    ir = version;
    return this;
  }

  OnnxWriter opset(int version) {
    opset = version;
    return this;
  }

  OnnxWriter node(String op, String domain, String[] inputs, String output) {
    Message node = new Message();
    for (String input : inputs) {
      node.text(1, input);
    }
    graph.message(1, node.text(2, output).text(4, op).text(7, domain));
    return this;
  }

  /**
   * @param dims null for no shape at all; negative for a dimension with a name only
   */
  OnnxWriter input(String name, int type, long... dims) {
    graph.message(11, value(name, type, dims));
    return this;
  }

  OnnxWriter output(String name, int type, long... dims) {
    graph.message(12, value(name, type, dims));
    return this;
  }

  OnnxWriter strings(String name, byte[]... values) {
    Message tensor = new Message().number(1, values.length).number(2, STRING);
    for (byte[] value : values) {
      tensor.bytes(6, value);
    }
    graph.message(5, tensor.text(8, name));
    return this;
  }

  /** Three float32 weights that are kept in another file. */
  OnnxWriter external(String name, String file) {
    Message tensor = new Message().number(1, 3).number(2, FLOAT).text(8, name);
    graph.message(5, tensor.message(13, new Message().text(1, "location").text(2, file)).number(14, 1));
    return this;
  }

  Path write(Path file) throws IOException {
    Message model = new Message().number(1, ir);
    model.message(8, new Message().number(2, opset)).message(8, new Message().text(1, "com.acme").number(2, 1));
    return Files.write(file, model.message(7, graph.text(2, "test")).out.toByteArray());
  }

  private static Message value(String name, int type, long[] dims) {
    Message tensor = new Message().number(1, type);
    if (dims != null) {
      Message shape = new Message();
      for (int i = 0; i < dims.length; i++) {
        shape.message(1, dims[i] < 0 ? new Message().text(2, name + i) : new Message().number(1, dims[i]));
      }
      tensor.message(2, shape);
    }
    return new Message().text(1, name).message(2, new Message().message(1, tensor));
  }

  private static final class Message {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    Message number(int field, long value) {
      varint((long) field << 3);
      varint(value);
      return this;
    }

    Message bytes(int field, byte[] value) {
      varint((long) field << 3 | 2);
      varint(value.length);
      out.writeBytes(value);
      return this;
    }

    Message text(int field, String value) {
      return bytes(field, value.getBytes(StandardCharsets.UTF_8));
    }

    Message message(int field, Message value) {
      return bytes(field, value.out.toByteArray());
    }

    private void varint(long value) {
      for (; (value & ~0x7FL) != 0; value >>>= 7) {
        out.write((int) (value & 0x7F | 0x80));
      }
      out.write((int) value);
    }
  }
}
