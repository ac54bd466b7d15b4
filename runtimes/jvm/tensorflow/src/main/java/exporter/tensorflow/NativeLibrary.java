package exporter.tensorflow;

import exporter.core.ModelException;
import java.io.IOException;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.bytedeco.javacpp.ClassProperties;
import org.bytedeco.javacpp.Loader;
import org.tensorflow.TensorFlow;
import org.tensorflow.internal.c_api.presets.tensorflow;

/**
 * Loads TensorFlow's native library, once per process.
 *
 * <p>JavaCPP unpacks some 700 MB of it into a cache directory that all processes of a user share, from inside a static
 * initialiser. A failure there (another process unpacking at the same moment, an interrupted thread, a full disk)
 * leaves a class that can never be initialised again, and with it a Spark executor that fails every task from then on.
 * So the files are unpacked before that class is touched, where it can be tried again.
 */
final class NativeLibrary {
  private static final long RETRY_AFTER_MS = 1000;
  private static boolean loaded;

  static {
    // JavaCPP reads these once, when its first class is initialised. It compares the memory of the whole process with
    // its limits, a multiple of the Java heap, and ends in an OutOfMemoryError where models are larger than the heap;
    // and it registers each pointer under one lock for the garbage collector, though everything here is closed.
    setDefault("org.bytedeco.javacpp.maxPhysicalBytes", "0");
    setDefault("org.bytedeco.javacpp.maxBytes", "0");
    setDefault("org.bytedeco.javacpp.noPointerGC", "true");
  }

  private NativeLibrary() {}

  private static void setDefault(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }

  /**
   * Makes TensorFlow's classes usable.
   *
   * @throws ModelException the library cannot be unpacked or loaded
   */
  static synchronized void load() {
    if (!loaded) {
      uninterrupted(NativeLibrary::unpackAndLink);
      loaded = true;
    }
  }

  /**
   * Runs on a thread of its own: a Spark task that is killed while it loads the library interrupts its thread, and an
   * interrupted thread cannot lock the cache. Waiting for the end is not cut short by an interrupt, and keeps it.
   */
  private static void uninterrupted(Runnable work) {
    try {
      CompletableFuture.runAsync(work, task -> new Thread(task, "tensorflow-native-library").start()).join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof ModelException) {
        throw (ModelException) e.getCause();
      }
      throw e;
    }
  }

  private static void unpackAndLink() {
    twice(NativeLibrary::unpack, RETRY_AFTER_MS);
    try {
      TensorFlow.version();
    } catch (LinkageError e) {
      throw failed(e);
    }
  }

  /** One step that fails as unpacking does. */
  interface Step {
    void run() throws IOException;
  }

  /** Runs a step, and once more after a while if it fails. */
  static void twice(Step step, long pauseMs) {
    try {
      step.run();
    } catch (IOException | UnsatisfiedLinkError first) {
      try {
        Thread.sleep(pauseMs);
        step.run();
      } catch (IOException | UnsatisfiedLinkError | InterruptedException second) {
        throw failed(second);
      }
    }
  }

  private static void unpack() throws IOException {
    Class<?> preset = tensorflow.class;
    ClassProperties properties = Loader.loadProperties(preset, Loader.loadProperties(), true);
    // not those of "platform.preload": they are CUDA's, and a search for eighteen files that are not there costs more
    // than half a second where the class path is that of Spark
    List<String> libraries = new ArrayList<>(properties.get("platform.link"));
    libraries.add(properties.getProperty("platform.library"));
    for (String library : libraries) {
      // the first place it is found in; a file there, of an image that brings the libraries, needs no unpacking
      URL[] places = Loader.findLibrary(preset, properties, library);
      if (places.length > 0 && !"file".equals(places[0].getProtocol())) {
        Loader.cacheResource(places[0]);
      }
    }
  }

  private static ModelException failed(Throwable cause) {
    return new ModelException(
        "native-library",
        "cannot load TensorFlow's native library for " + Loader.getPlatform() + ": " + cause
            + "; the jar tensorflow-core-native for this platform has to be on the class path, and "
            + cacheDirectory() + " needs to be writable, with 700 MB free (or name another directory with"
            + " -Dorg.bytedeco.javacpp.cachedir=...)",
        cause);
  }

  private static String cacheDirectory() {
    try {
      return "the cache directory " + Loader.getCacheDir();
    } catch (IOException e) {
      return "the cache directory (" + e.getMessage() + ")";
    }
  }
}
