package exporter.worker;

import exporter.core.DType;
import exporter.core.Engine;
import exporter.core.EngineOptions;
import exporter.core.Model;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/** An engine whose library runs out of memory, which no real one does on demand. */
public final class FailingEngine implements Engine {
  @Override
  public String name() {
    return "failing";
  }

  @Override
  public String format() {
    return "any";
  }

  @Override
  public boolean accepts(Path artifact) {
    return true;
  }

  @Override
  public Map<String, String> versions() {
    return Map.of();
  }

  @Override
  public Set<DType> dtypes() {
    return Set.of();
  }

  @Override
  public Model load(Path artifact, EngineOptions options) {
    throw new OutOfMemoryError("of the test");
  }
}
