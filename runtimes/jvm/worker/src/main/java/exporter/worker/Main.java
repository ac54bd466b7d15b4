package exporter.worker;

import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.protocol.Server;
import exporter.core.protocol.Session;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Worker program: {@code java -cp 'target/lib/*' exporter.worker.Main RUNTIME…} hosts engines and answers the worker
 * protocol on file descriptors 3 and 4 until {@code bye} or the end of the requests. stdout and stderr are its log.
 *
 * <p>The runtimes are the engines on the class path; adding one needs no change here.
 */
public final class Main {
  private static final int USAGE = 2;
  private static final int SOFTWARE = 70; // EX_SOFTWARE of sysexits.h

  private Main() {}

  public static void main(String[] arguments) {
    int status = run(arguments);
    // libraries keep threads; the conversation is over, so are they
    System.exit(status);
  }

  private static int run(String[] arguments) {
    try {
      Map<String, Engine> engines = new TreeMap<>();
      ServiceLoader.load(Engine.class).forEach(engine -> engines.put(engine.name(), engine));
      List<String> names = List.of(arguments);
      if (names.isEmpty() || !engines.keySet().containsAll(names)) {
        System.err.println(
            "usage: exporter.worker.Main RUNTIME... with RUNTIME one of " + String.join(", ", engines.keySet())
                + "; found '" + String.join(" ", arguments) + "'");
        return USAGE;
      }
      try (InputStream requests = new FileInputStream("/dev/fd/3");
          OutputStream replies = new FileOutputStream("/dev/fd/4")) {
        List<Engine> hosted = names.stream().map(engines::get).collect(Collectors.toList());
        Session session = new Session(hosted, EngineOptions.defaults());
        new Server(session, System.err).serve(requests, replies);
        session.close();
      }
      return 0;
    } catch (Throwable e) {
      // also errors: this process cannot go on, and the host sees it as a crash with this log
      e.printStackTrace();
      return SOFTWARE;
    }
  }
}
