package exporter.tensorflow;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.tensorflow.Graph;
import org.tensorflow.Operand;
import org.tensorflow.Output;
import org.tensorflow.SavedModelBundle;
import org.tensorflow.Session;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.op.Ops;
import org.tensorflow.op.core.Placeholder;
import org.tensorflow.op.core.ReduceSum;
import org.tensorflow.proto.AttrValue;
import org.tensorflow.proto.DataType;
import org.tensorflow.proto.GraphDef;
import org.tensorflow.proto.MetaGraphDef;
import org.tensorflow.proto.NodeDef;
import org.tensorflow.proto.SavedModel;
import org.tensorflow.proto.SignatureDef;
import org.tensorflow.proto.TensorInfo;
import org.tensorflow.proto.TensorShapeProto;
import org.tensorflow.types.TBool;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TInt64;
import org.tensorflow.types.TString;
import org.tensorflow.types.family.TType;

/**
 * SavedModels for tests, made by TensorFlow Java: no Python is needed to test the JVM side. Each method writes one to a
 * directory and returns the directory; weights are fixed numbers, so that results can be computed by hand.
 */
public final class SavedModels {
  public static final String DEFAULT = "serving_default";

  private SavedModels() {}

  /** {@code features} float32 [?, 2] to {@code outputs} float32 [?, 1]: 0.5 a - 2 b + 0.25, from variables. */
  public static Path linear(Path directory) {
    try (Graph graph = new Graph();
        Session session = new Session(graph)) {
      Ops tf = Ops.create(graph);
      Placeholder<TFloat32> features = placeholder(tf, TFloat32.class, -1, 2);
      Operand<TFloat32> kernel = tf.variable(tf.constant(new float[][] {{0.5f}, {-2f}}));
      Operand<TFloat32> bias = tf.variable(tf.constant(new float[] {0.25f}));
      Operand<TFloat32> outputs = tf.math.add(tf.linalg.matMul(features, kernel), bias);
      session.initialize();
      SavedModelBundle.exporter(directory.toString())
          .withSession(session)
          .withSignature(
              org.tensorflow.Signature.builder()
                  .key(DEFAULT)
                  .input("features", features)
                  .output("outputs", outputs)
                  .build())
          .export();
      return directory;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** {@code features} float32 [?, widths[0]] to {@code outputs} float32 [?, last]: dense layers with ReLU between. */
  public static Path mlp(Path directory, int... widths) {
    return write(directory, model -> {
      Placeholder<TFloat32> features = placeholder(model.tf, TFloat32.class, -1, widths[0]);
      Operand<TFloat32> layer = features;
      for (int i = 1; i < widths.length; i++) {
        Operand<TFloat32> kernel = model.tf.constant(kernel(widths[i - 1], widths[i]));
        layer = model.tf.linalg.matMul(i == 1 ? layer : model.tf.nn.relu(layer), kernel);
      }
      model.signature(DEFAULT, Map.of("features", features), Map.of("outputs", layer));
    });
  }

  /** The weights of {@link #mlp}: small numbers of both signs, in a pattern without period. */
  public static float[][] kernel(int rows, int columns) {
    float[][] kernel = new float[rows][columns];
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        kernel[i][j] = ((i * 31 + j * 17 + i * j) % 97 - 48) / 256f;
      }
    }
    return kernel;
  }

  /**
   * {@code amount} float32 [?] and {@code ids} int64 [?, 3] to {@code total} int64 [?], the sum of the ids, and
   * {@code large} bool [?], whether the amount is over 10.
   */
  public static Path mixed(Path directory) {
    return write(directory, model -> {
      Ops tf = model.tf;
      Placeholder<TFloat32> amount = placeholder(tf, TFloat32.class, -1);
      Placeholder<TInt64> ids = placeholder(tf, TInt64.class, -1, 3);
      Operand<TInt64> total = tf.reduceSum(ids, tf.constant(1));
      Operand<TBool> large = tf.math.greater(amount, tf.constant(10f));
      model.signature(DEFAULT, Map.of("amount", amount, "ids", ids), Map.of("total", total, "large", large));
    });
  }

  /** {@code text} string [?] to {@code same} string [?], and {@code marked} string [?] with an exclamation mark. */
  public static Path strings(Path directory) {
    return write(directory, model -> {
      Placeholder<TString> text = placeholder(model.tf, TString.class, -1);
      Operand<TString> marked = model.tf.strings.join(Arrays.asList(text, model.tf.constant("!")));
      model.signature(DEFAULT, Map.of("text", text), Map.of("same", model.tf.identity(text), "marked", marked));
    });
  }

  /** {@code text} string [?] to {@code number} float32 [?]; text that is no number fails the whole run. */
  public static Path numbers(Path directory) {
    return write(directory, model -> {
      Placeholder<TString> text = placeholder(model.tf, TString.class, -1);
      model.signature(DEFAULT, Map.of("text", text), Map.of("number", model.tf.strings.toNumber(text)));
    });
  }

  /** {@code x} float32 of unknown rank to {@code y}, the same. */
  public static Path unknownRank(Path directory) {
    return write(directory, model -> {
      Placeholder<TFloat32> x = model.tf.placeholder(TFloat32.class);
      model.signature(DEFAULT, Map.of("x", x), Map.of("y", model.tf.identity(x)));
    });
  }

  /** {@code x} float32 [4, 2] to {@code y} float32 [4], the sums of the rows. */
  public static Path fixedBatch(Path directory) {
    return write(directory, model -> {
      Placeholder<TFloat32> x = placeholder(model.tf, TFloat32.class, 4, 2);
      model.signature(DEFAULT, Map.of("x", x), Map.of("y", model.tf.reduceSum(x, model.tf.constant(1))));
    });
  }

  /** {@code x} float32 [] to {@code y} float32 [], twice as much. */
  public static Path scalar(Path directory) {
    return write(directory, model -> {
      Placeholder<TFloat32> x = placeholder(model.tf, TFloat32.class);
      model.signature(DEFAULT, Map.of("x", x), Map.of("y", model.tf.math.add(x, x)));
    });
  }

  /** {@code x} float32 [?, ?] to {@code y} float32 [?, 1], the sums of the rows, which may have any length. */
  public static Path rowSums(Path directory) {
    return write(directory, model -> {
      Placeholder<TFloat32> x = placeholder(model.tf, TFloat32.class, -1, -1);
      Operand<TFloat32> sums = model.tf.reduceSum(x, model.tf.constant(1), ReduceSum.keepDims(true));
      model.signature(DEFAULT, Map.of("x", x), Map.of("y", sums));
    });
  }

  /** {@code x} float32 [?, 2] to {@code first} and {@code second}, one tensor (twice x), and {@code x}, the input. */
  public static Path sameTensor(Path directory) {
    return write(directory, model -> {
      Placeholder<TFloat32> x = placeholder(model.tf, TFloat32.class, -1, 2);
      Operand<TFloat32> twice = model.tf.math.add(x, x);
      model.signature(DEFAULT, Map.of("x", x), Map.of("first", twice, "second", twice, "x", x));
    });
  }

  /** {@code text} string [?] to {@code text}, the input itself: there is nothing to compute. */
  public static Path echo(Path directory) {
    return write(directory, model -> {
      Placeholder<TString> text = placeholder(model.tf, TString.class, -1);
      model.signature(DEFAULT, Map.of("text", text), Map.of("text", text));
    });
  }

  /**
   * {@code serving_default} from {@code x} float32 [?] to {@code y}, twice as much, and {@code minus} from {@code a}
   * and {@code b} float32 [?] to {@code difference}. With the entry that marks the op to initialise with.
   */
  public static Path twoSignatures(Path directory) {
    return write(directory, model -> {
      Ops tf = model.tf;
      Placeholder<TFloat32> x = placeholder(tf, TFloat32.class, -1);
      Placeholder<TFloat32> a = placeholder(tf, TFloat32.class, -1);
      Placeholder<TFloat32> b = placeholder(tf, TFloat32.class, -1);
      model.signature(DEFAULT, Map.of("x", x), Map.of("y", tf.math.add(x, x)));
      model.signature("minus", Map.of("a", a, "b", b), Map.of("difference", tf.math.sub(a, b)));
      model.meta.putSignatureDef(
          "__saved_model_init_op",
          SignatureDef.newBuilder()
              .putOutputs("__saved_model_init_op", TensorInfo.newBuilder().setName(tf.noOp().op().name()).build())
              .build());
    });
  }

  /** For each type one input and one output of its name in TensorFlow ({@code DT_FLOAT}), [?, 3]: the same values. */
  public static Path identity(Path directory, DataType... types) {
    TensorShapeProto shape =
        TensorShapeProto.newBuilder()
            .addDim(TensorShapeProto.Dim.newBuilder().setSize(-1))
            .addDim(TensorShapeProto.Dim.newBuilder().setSize(3))
            .build();
    GraphDef.Builder graph = GraphDef.newBuilder();
    SignatureDef.Builder signature = SignatureDef.newBuilder();
    for (DataType type : types) {
      // nodes by hand: the bindings cannot build with types they have no class for
      String name = type.name();
      AttrValue attribute = AttrValue.newBuilder().setType(type).build();
      graph.addNode(NodeDef.newBuilder().setName("in_" + name).setOp("Placeholder")
          .putAttr("dtype", attribute).putAttr("shape", AttrValue.newBuilder().setShape(shape).build()));
      graph.addNode(NodeDef.newBuilder().setName("out_" + name).setOp("Identity")
          .addInput("in_" + name).putAttr("T", attribute));
      TensorInfo.Builder info = TensorInfo.newBuilder().setDtype(type).setTensorShape(shape);
      signature.putInputs(name, info.setName("in_" + name + ":0").build());
      signature.putOutputs(name, info.setName("out_" + name + ":0").build());
    }
    MetaGraphDef.Builder meta = MetaGraphDef.newBuilder().setGraphDef(graph);
    meta.getMetaInfoDefBuilder().addTags("serve");
    return write(directory, meta.putSignatureDef(DEFAULT, signature.build()).build());
  }

  /** Changes the only MetaGraph of a SavedModel, to make a broken or a strange one of it. */
  public static Path edit(Path directory, UnaryOperator<MetaGraphDef> change) {
    try {
      SavedModel model = SavedModel.parseFrom(Files.readAllBytes(directory.resolve(SavedModelFile.NAME)));
      return write(directory, change.apply(model.getMetaGraphs(0)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Writes MetaGraphs as they are. */
  public static Path write(Path directory, MetaGraphDef... metaGraphs) {
    try {
      Files.createDirectories(directory);
      try (OutputStream out = Files.newOutputStream(directory.resolve(SavedModelFile.NAME))) {
        SavedModel.newBuilder().setSavedModelSchemaVersion(1).addAllMetaGraphs(Arrays.asList(metaGraphs)).build()
            .writeTo(out);
      }
      return directory;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A graph under construction, whose weights are constants, with its signatures. */
  private static final class Building {
    private final Ops tf;
    private final MetaGraphDef.Builder meta = MetaGraphDef.newBuilder();

    Building(Graph graph) {
      tf = Ops.create(graph);
      meta.getMetaInfoDefBuilder().addTags("serve");
    }

    void signature(String key, Map<String, Operand<?>> inputs, Map<String, Operand<?>> outputs) {
      SignatureDef.Builder signature = SignatureDef.newBuilder();
      inputs.forEach((name, tensor) -> signature.putInputs(name, info(tensor)));
      outputs.forEach((name, tensor) -> signature.putOutputs(name, info(tensor)));
      meta.putSignatureDef(key, signature.build());
    }

    private static TensorInfo info(Operand<?> tensor) {
      Output<?> output = tensor.asOutput();
      TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
      if (output.shape().isUnknown()) {
        shape.setUnknownRank(true);
      } else {
        for (long dim : output.shape().asArray()) {
          shape.addDim(TensorShapeProto.Dim.newBuilder().setSize(dim));
        }
      }
      return TensorInfo.newBuilder()
          .setName(output.name())
          .setDtype(output.dataType())
          .setTensorShape(shape)
          .build();
    }
  }

  private static Path write(Path directory, Consumer<Building> build) {
    try (Graph graph = new Graph()) {
      Building model = new Building(graph);
      build.accept(model);
      return write(directory, model.meta.setGraphDef(graph.toGraphDef()).build());
    }
  }

  private static <T extends TType> Placeholder<T> placeholder(Ops tf, Class<T> type, long... shape) {
    return tf.placeholder(type, Placeholder.shape(Shape.of(shape)));
  }
}
