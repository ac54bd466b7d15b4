package exporter.onnxruntime;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import exporter.core.Call;
import exporter.core.DType;
import exporter.core.Model;
import exporter.core.ModelException;
import exporter.core.Signature;
import exporter.core.TensorBuffer;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;

/** One session; ONNX Runtime runs it for any number of threads at once. */
final class OnnxRuntimeModel implements Model {
  private final OrtEnvironment environment;
  private final OrtSession session;
  private final OrtSession.SessionOptions options;
  private final Signature signature;
  private final StringAccess strings;
  private final Queue<Scratch> unused = new ConcurrentLinkedQueue<>();
  private boolean closed;

  /**
   * @param options have to live as long as the session; both are closed by {@link #close}
   * @param strings null where the signature has no strings
   */
  OnnxRuntimeModel(
      OrtEnvironment environment,
      OrtSession session,
      OrtSession.SessionOptions options,
      Signature signature,
      StringAccess strings) {
    this.environment = environment;
    this.session = session;
    this.options = options;
    this.signature = signature;
    this.strings = strings;
  }

  @Override
  public Map<String, Signature> signatures() {
    return Map.of(signature.key(), signature);
  }

  /** The one signature, whatever the key: the file has none, and each exporter of ONNX names it its own way. */
  @Override
  public Signature signature(String key) {
    return signature;
  }

  @Override
  public Call newCall(String key, Map<String, long[]> shapes) {
    if (!key.equals(signature.key())) {
      throw new ModelException("no-signature", "no signature '" + key + "', found " + signature.key());
    }
    signature.checkShapes(shapes);
    Scratch scratch = unused.poll();
    return new OnnxRuntimeCall(this, signature, shapes, scratch == null ? new Scratch() : scratch);
  }

  /** An input as ONNX Runtime takes it: numbers in place, strings copied. For the caller to close. */
  OnnxTensor tensor(TensorBuffer input) throws OrtException {
    if (input.dtype() == DType.STRING) {
      return strings.create(environment, input);
    }
    return OnnxTensor.createTensor(environment, input.bytes(), input.shape(), OnnxTypes.javaType(input.dtype()));
  }

  OrtSession.Result run(Map<String, OnnxTensor> feeds) throws OrtException {
    return session.run(feeds);
  }

  StringAccess strings() {
    return strings;
  }

  void giveBack(Scratch scratch) {
    unused.add(scratch);
  }

  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    unused.clear();
    try {
      session.close();
    } catch (OrtException e) {
      throw new ModelException("close-failed", "ONNX Runtime cannot close the model: " + Failures.words(e), e);
    } finally {
      options.close();
    }
  }
}
