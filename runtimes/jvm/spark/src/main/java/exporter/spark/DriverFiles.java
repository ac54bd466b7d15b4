package exporter.spark;

import java.io.File;
import java.io.InputStream;
import java.nio.channels.Channels;
import org.apache.spark.SparkEnv;

/**
 * Files that the driver serves to its executors, as Spark itself sends jars and archives.
 *
 * <p>{@code SparkContext.addArchive} does not serve here: sessions are isolated from each other since Spark 4.1, and a
 * query is given the archives of its own session, not those that were added to the context after its start. Spark shows
 * this interface to Java only.
 */
final class DriverFiles {
  private DriverFiles() {}

  /**
   * Serves a file for as long as the application runs. No two files may have one name.
   *
   * @return its address for {@link #open}
   */
  static String serve(File file) {
    return SparkEnv.get().rpcEnv().fileServer().addFile(file);
  }

  /** Reads a file from the driver; errors come with the first bytes. */
  static InputStream open(String address) {
    return Channels.newInputStream(SparkEnv.get().rpcEnv().openChannel(address));
  }
}
