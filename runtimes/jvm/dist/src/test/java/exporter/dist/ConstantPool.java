package exporter.dist;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;

/** The text constants of a class file (Java Virtual Machine Specification, section 4.4): every name it refers to. */
final class ConstantPool {
  private static final int UTF8 = 1;
  private static final int LONG = 5;
  private static final int DOUBLE = 6;

  private ConstantPool() {}

  static List<String> texts(InputStream classFile) throws IOException {
    DataInputStream in = new DataInputStream(classFile);
    if (in.readInt() != 0xCAFEBABE) {
      throw new IOException("no class file");
    }
    in.readInt(); // its version
    List<String> texts = new ArrayList<>();
    int count = in.readUnsignedShort();
    for (int i = 1; i < count; i++) {
      int tag = in.readUnsignedByte();
      if (tag == UTF8) {
        texts.add(in.readUTF());
      } else {
        in.readFully(new byte[size(tag)]);
        if (tag == LONG || tag == DOUBLE) {
          i++; // these take two entries
        }
      }
    }
    return texts;
  }

  private static int size(int tag) throws IOException {
    switch (tag) {
      case 7: // class
      case 8: // string
      case 16: // method type
      case 19: // module
      case 20: // package
        return 2;
      case 15: // method handle
        return 3;
      case 3: // int
      case 4: // float
      case 9: // field
      case 10: // method
      case 11: // interface method
      case 12: // name and type
      case 17: // dynamic
      case 18: // invokedynamic
        return 4;
      case LONG:
      case DOUBLE:
        return 8;
      default:
        throw new IOException("unknown constant " + tag);
    }
  }
}
