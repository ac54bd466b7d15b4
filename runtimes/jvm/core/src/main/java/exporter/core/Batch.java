package exporter.core;

import java.util.HashMap;
import java.util.Map;

/**
 * A run over rows: every input and output has the rows in its first dimension, and columns are written and read row by
 * row. Belongs to one thread.
 */
public final class Batch implements AutoCloseable {
  private final Signature signature;
  private final Call call;
  private final int rows;

  private Batch(Signature signature, Call call, int rows) {
    this.signature = signature;
    this.call = call;
    this.rows = rows;
  }

  /**
   * Allocates the inputs of {@code rows} rows.
   *
   * @param rowShapes by input name, the shape of one row (without the batch dimension); needed only for inputs whose
   *     row shape the signature leaves open
   * @throws ModelException no such signature, an input that takes no rows, or a shape that does not fit
   * @throws Unsupported as {@link Model#newCall}
   */
  public static Batch open(Model model, String key, int rows, Map<String, long[]> rowShapes) {
    Signature signature = model.signature(key);
    Map<String, long[]> shapes = new HashMap<>();
    for (TensorSpec spec : signature.inputs().values()) {
      shapes.put(spec.name(), withRows(spec, rows, rowShapes.get(spec.name())));
    }
    return new Batch(signature, model.newCall(key, shapes), rows);
  }

  private static long[] withRows(TensorSpec spec, int rows, long[] given) {
    long[] declared = spec.shape();
    if (declared != null && declared.length == 0) {
      throw new ModelException("no-rows", "input " + spec + " is a scalar and takes no rows");
    }
    int rank = given != null ? given.length + 1 : declared == null ? -1 : declared.length;
    if (rank < 0) {
      throw new ModelException("open-shape", "input " + spec + ": the shape of a row has to be given");
    }
    long[] shape = new long[rank];
    shape[0] = rows;
    for (int i = 1; i < rank; i++) {
      shape[i] = given != null ? given[i - 1] : declared[i];
      if (shape[i] == TensorSpec.DYNAMIC) {
        throw new ModelException("open-shape", "input " + spec + ": the shape of a row has to be given");
      }
    }
    return shape;
  }

  public int rows() {
    return rows;
  }

  public Signature signature() {
    return signature;
  }

  /**
   * @throws ModelException the signature has no such input
   */
  public ColumnWriter writer(String input) {
    return new ColumnWriter(input, call.input(input), rows);
  }

  /** Runs the model, once. */
  public void run() {
    call.run();
  }

  /**
   * @throws ModelException the signature has no such output, or it did not come back with these rows
   */
  public ColumnReader reader(String output) {
    TensorBuffer buffer = call.output(output);
    long[] shape = buffer.shape();
    if (shape.length == 0 || shape[0] != rows) {
      throw new ModelException(
          "output-rows",
          "output '" + output + "' is " + TensorSpec.describe(buffer.dtype(), shape) + " for " + rows
              + " rows; expected one entry per row");
    }
    return new ColumnReader(output, buffer, rows);
  }

  @Override
  public void close() {
    call.close();
  }
}
