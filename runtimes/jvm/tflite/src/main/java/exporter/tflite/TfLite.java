package exporter.tflite;

import com.sun.jna.Callback;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.IntByReference;
import exporter.core.ModelException;
import exporter.core.Unsupported;
import java.io.File;
import java.io.IOException;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.tensorflowlite.presets.tensorflowlite;

/**
 * TensorFlow Lite's C API, as far as it is used here. There is no Java binding of it outside of Android; the library
 * inside JavaCPP's jar exports the C functions, and JNA calls them.
 *
 * <p>Sources: {@code c_api.h}, {@code c_api_opaque.h} and {@code common.h} of TensorFlow Lite 2.20. Texts are UTF-8 and
 * end in a NUL, {@code size_t} is a long (every platform the library exists for has 64 bits), a status is 0 when all is
 * well.
 */
final class TfLite {
  private static boolean loaded;

  private TfLite() {}

  /**
   * Makes the functions callable.
   *
   * @throws Unsupported there is no library for this platform
   * @throws ModelException it cannot be unpacked or loaded
   */
  static synchronized void load() {
    if (loaded) {
      return;
    }
    String resource =
        "/org/bytedeco/tensorflowlite/" + Loader.getPlatform() + "/" + System.mapLibraryName("jnitensorflowlite");
    try {
      // only unpacked by JavaCPP: its own classes would be left unusable by a failure that may be passing
      File library = Loader.cacheResource(tensorflowlite.class, resource);
      if (library == null) {
        throw new Unsupported(
            "no native library of TensorFlow Lite for " + Loader.getPlatform() + " on the class path; add "
                + "org.bytedeco:tensorflow-lite with this platform as its classifier");
      }
      Native.register(TfLite.class, library.getPath());
      loaded = true;
    } catch (LinkageError | IOException e) {
      throw new ModelException("native-library", "cannot load the native library of TensorFlow Lite: " + e, e);
    }
  }

  /** Called with {@code printf}'s arguments when something fails. */
  interface ErrorReporter extends Callback {
    void report(Pointer userData, Pointer format, Pointer arguments);
  }

  static native Pointer TfLiteVersion();

  static native Pointer TfLiteModelCreateFromFileWithErrorReporter(
      byte[] path, ErrorReporter reporter, Pointer userData);

  static native void TfLiteModelDelete(Pointer model);

  static native Pointer TfLiteInterpreterOptionsCreate();

  static native void TfLiteInterpreterOptionsSetNumThreads(Pointer options, int threads);

  static native void TfLiteInterpreterOptionsSetErrorReporter(
      Pointer options, ErrorReporter reporter, Pointer userData);

  static native void TfLiteInterpreterOptionsDelete(Pointer options);

  static native Pointer TfLiteInterpreterCreate(Pointer model, Pointer options);

  static native void TfLiteInterpreterDelete(Pointer interpreter);

  static native int TfLiteInterpreterResetVariableTensors(Pointer interpreter);

  static native int TfLiteInterpreterGetSignatureCount(Pointer interpreter);

  static native Pointer TfLiteInterpreterGetSignatureKey(Pointer interpreter, int index);

  static native Pointer TfLiteInterpreterGetSignatureRunner(Pointer interpreter, byte[] key);

  static native void TfLiteSignatureRunnerDelete(Pointer runner);

  static native Pointer TfLiteSignatureRunnerGetInputTensor(Pointer runner, byte[] name);

  static native int TfLiteSignatureRunnerResizeInputTensor(Pointer runner, byte[] name, int[] dims, int rank);

  static native int TfLiteSignatureRunnerAllocateTensors(Pointer runner);

  static native int TfLiteSignatureRunnerInvoke(Pointer runner);

  static native Pointer TfLiteSignatureRunnerGetOutputTensor(Pointer runner, byte[] name);

  static native int TfLiteTensorType(Pointer tensor);

  static native Pointer TfLiteTypeGetName(int type);

  static native int TfLiteTensorNumDims(Pointer tensor);

  static native int TfLiteTensorDim(Pointer tensor, int index);

  static native long TfLiteTensorByteSize(Pointer tensor);

  static native Pointer TfLiteTensorData(Pointer tensor);

  static native int TfLiteTensorRealloc(long bytes, Pointer tensor);

  /** Gives -1 dimensions where every dimension is fixed. */
  static native int TfLiteOpaqueTensorGetNumDimsSignature(Pointer tensor, IntByReference rank);

  /** Gives -1 for a dimension that is open. */
  static native int TfLiteOpaqueTensorGetDimSignature(Pointer tensor, int index, IntByReference length);
}
