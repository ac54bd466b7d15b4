package exporter.tflite;

import com.sun.jna.Pointer;
import exporter.core.Call;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.Unsupported;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * A model and as many interpreters as calls were ever open at once: an interpreter holds the memory of all tensors, so
 * two threads cannot share one. Weights are shared, they stay in the file.
 *
 * <p>The state of recurrent ops starts anew in each call. Variables that a graph reads and assigns by handle belong to
 * an interpreter, so calls may or may not see what others assigned.
 */
final class LiteModel implements Model {
  private final int threads;
  private final Map<String, Signature> signatures = new LinkedHashMap<>();
  private final Map<String, String> unsupported = new LinkedHashMap<>();
  private final Deque<LiteInterpreter> unused = new ArrayDeque<>();
  private Pointer model;

  /**
   * @param model closed by {@link #close}, or when this throws
   * @param file what it was opened from
   * @throws Unsupported none of its signatures can be run here
   * @throws ModelException it has no signatures, or cannot be prepared
   */
  LiteModel(Pointer model, int threads, Path file) {
    this.model = model;
    this.threads = threads;
    try {
      LiteInterpreter first = new LiteInterpreter(model, threads);
      unused.add(first);
      Map<String, LiteFile.Order> orders = LiteFile.orders(file);
      for (String key : first.keys()) {
        describe(first, key, orders.get(key));
      }
      if (signatures.isEmpty()) {
        throw nothingToRun(file.toString());
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private RuntimeException nothingToRun(String where) {
    return unsupported.isEmpty()
        ? new ModelException(
            "no-signatures",
            where + " has no signatures, so its tensors have no names to rely on; convert the model with signatures")
        : new Unsupported(String.join("; ", unsupported.values()));
  }

  private void describe(LiteInterpreter interpreter, String key, LiteFile.Order order) {
    try {
      Signature signature = interpreter.signature(key, order);
      interpreter.checkOps(key);
      signatures.put(key, signature);
    } catch (Unsupported reason) {
      unsupported.put(key, "signature '" + key + "': " + reason.getMessage());
    }
  }

  @Override
  public Map<String, Signature> signatures() {
    return Collections.unmodifiableMap(signatures);
  }

  @Override
  public Signature signature(String key) {
    Signature found = signatures.get(key);
    if (found != null) {
      return found;
    }
    if (unsupported.containsKey(key)) {
      throw new Unsupported(unsupported.get(key));
    }
    Set<String> keys = new TreeSet<>(signatures.keySet());
    keys.addAll(unsupported.keySet());
    throw new ModelException("no-signature", "no signature '" + key + "', found " + String.join(", ", keys));
  }

  @Override
  public Call newCall(String key, Map<String, long[]> shapes) {
    Signature signature = signature(key);
    signature.checkShapes(shapes);
    LiteInterpreter interpreter = take();
    try {
      return new LiteCall(this, interpreter, signature, shapes);
    } catch (RuntimeException e) {
      giveBack(interpreter, false);
      throw e;
    }
  }

  private LiteInterpreter take() {
    synchronized (this) {
      if (model == null) {
        throw new IllegalStateException("the model is closed");
      }
      if (!unused.isEmpty()) {
        return unused.pop();
      }
    }
    return new LiteInterpreter(model, threads);
  }

  void giveBack(LiteInterpreter interpreter, boolean usable) {
    synchronized (this) {
      if (usable && model != null) {
        unused.push(interpreter);
        return;
      }
    }
    interpreter.close();
  }

  @Override
  public synchronized void close() {
    unused.forEach(LiteInterpreter::close);
    unused.clear();
    if (model != null) {
      TfLite.TfLiteModelDelete(model);
      model = null;
    }
  }
}
