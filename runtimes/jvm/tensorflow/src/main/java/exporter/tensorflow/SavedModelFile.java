package exporter.tensorflow;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.ExtensionRegistryLite;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.WireFormat;
import exporter.core.ModelException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.tensorflow.proto.MetaGraphDef;
import org.tensorflow.proto.SavedModel;
import org.tensorflow.proto.SignatureDef;

/**
 * {@code saved_model.pb} without its graph: all that can be known about a SavedModel before TensorFlow is loaded, on a
 * Spark driver for example. The graph and its constants may be gigabytes, so they are skipped and not parsed.
 */
public final class SavedModelFile {
  /** The file's name inside a SavedModel directory. */
  public static final String NAME = "saved_model.pb";

  // a map field of a protocol buffer is a repeated message with these two fields
  private static final int MAP_KEY = 1;
  private static final int MAP_VALUE = 2;

  private final String where;
  private final List<MetaGraph> metaGraphs;

  private SavedModelFile(String where, List<MetaGraph> metaGraphs) {
    this.where = where;
    this.metaGraphs = metaGraphs;
  }

  /**
   * Reads the file of a SavedModel directory.
   *
   * @throws ModelException no such directory, no such file in it, or not what the name says
   */
  public static SavedModelFile read(Path directory) {
    if (Files.notExists(directory)) {
      throw new ModelException(
          "no-artifact", "no SavedModel at " + directory + ": nothing is there; check the path");
    }
    if (!Files.isDirectory(directory)) {
      throw new ModelException(
          "no-artifact", directory + " is a file, expected a SavedModel directory (with " + NAME + " in it)");
    }
    Path file = directory.resolve(NAME);
    if (!Files.isRegularFile(file)) {
      throw new ModelException(
          "no-artifact",
          directory + " is no SavedModel: found " + listing(directory) + ", expected " + NAME);
    }
    try (InputStream in = Files.newInputStream(file)) {
      return read(in, file.toString());
    } catch (IOException e) {
      throw new ModelException("unreadable", "cannot read " + file + ": " + e, e);
    }
  }

  /**
   * Reads the bytes of a {@code saved_model.pb}.
   *
   * @param where what to call them in messages, usually the file's address
   * @throws IOException the stream cannot be read
   * @throws ModelException the bytes are no SavedModel
   */
  public static SavedModelFile read(InputStream bytes, String where) throws IOException {
    List<MetaGraph> metaGraphs = new ArrayList<>();
    CodedInputStream in = CodedInputStream.newInstance(bytes);
    try {
      for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
        if (WireFormat.getTagFieldNumber(tag) == SavedModel.META_GRAPHS_FIELD_NUMBER) {
          metaGraphs.add(inMessage(in, () -> metaGraph(in, where)));
        } else {
          in.skipField(tag);
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw broken(where, e.getMessage(), e);
    }
    if (metaGraphs.isEmpty()) {
      throw broken(where, "it holds no MetaGraph", null);
    }
    return new SavedModelFile(where, metaGraphs);
  }

  /**
   * The MetaGraph with exactly these tags.
   *
   * @throws ModelException none has them, or it has no signatures
   */
  public MetaGraph metaGraph(Set<String> tags) {
    MetaGraph found = metaGraphs.stream().filter(graph -> graph.tags().equals(tags)).findFirst().orElse(null);
    if (found == null) {
      String there = metaGraphs.stream().map(graph -> graph.tags().toString()).collect(Collectors.joining(", "));
      throw new ModelException(
          "no-tags", where + " has no MetaGraph with the tags " + new TreeSet<>(tags) + ", found " + there
              + "; choose one of these");
    }
    if (found.isEmpty()) {
      throw new ModelException(
          "no-signatures",
          where + " has no signatures, so nothing in it can be called; save the model again with signatures");
    }
    return found;
  }

  private static MetaGraph metaGraph(CodedInputStream in, String where) throws IOException {
    MetaGraphDef.MetaInfoDef.Builder info = MetaGraphDef.MetaInfoDef.newBuilder();
    Map<String, SignatureDef> signatures = new HashMap<>();
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      switch (WireFormat.getTagFieldNumber(tag)) {
        case MetaGraphDef.META_INFO_DEF_FIELD_NUMBER:
          in.readMessage(info, ExtensionRegistryLite.getEmptyRegistry());
          break;
        case MetaGraphDef.SIGNATURE_DEF_FIELD_NUMBER:
          inMessage(in, () -> putSignature(in, signatures));
          break;
        default:
          in.skipField(tag);
      }
    }
    return new MetaGraph(where, Set.copyOf(info.getTagsList()), info.getTensorflowVersion(), signatures);
  }

  private static Void putSignature(CodedInputStream in, Map<String, SignatureDef> signatures) throws IOException {
    String key = "";
    SignatureDef.Builder value = SignatureDef.newBuilder();
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      switch (WireFormat.getTagFieldNumber(tag)) {
        case MAP_KEY:
          key = in.readStringRequireUtf8();
          break;
        case MAP_VALUE:
          in.readMessage(value, ExtensionRegistryLite.getEmptyRegistry());
          break;
        default:
          in.skipField(tag);
      }
    }
    signatures.put(key, value.build());
    return null;
  }

  private interface Reader<T> {
    T read() throws IOException;
  }

  /** Reads an embedded message: its length, then exactly that many bytes. */
  private static <T> T inMessage(CodedInputStream in, Reader<T> reader) throws IOException {
    int outer = in.pushLimit(in.readRawVarint32());
    T value = reader.read();
    in.checkLastTagWas(0);
    if (in.getBytesUntilLimit() != 0) {
      throw new InvalidProtocolBufferException("the file ends early");
    }
    in.popLimit(outer);
    return value;
  }

  private static ModelException broken(String where, String why, Throwable cause) {
    return new ModelException(
        "broken-artifact", where + " is not the protocol buffer of a SavedModel (" + why + "); export the model again",
        cause);
  }

  private static String listing(Path directory) {
    try (Stream<Path> entries = Files.list(directory)) {
      List<String> names = entries.map(entry -> entry.getFileName().toString()).sorted().collect(Collectors.toList());
      int more = names.size() - 8;
      return names.isEmpty()
          ? "an empty directory"
          : String.join(", ", names.subList(0, Math.min(8, names.size()))) + (more > 0 ? " and " + more + " more" : "");
    } catch (IOException e) {
      return e.toString();
    }
  }
}
