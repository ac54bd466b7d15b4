package exporter.core;

import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;

/** How a model is opened. Immutable. */
public final class EngineOptions {
  private final int threads;
  private final Set<String> tags;

  /**
   * @param threads inside one run of the model; 1 or more. Some libraries have one pool per process, which the first
   *     model fixes.
   * @param tags the MetaGraph of a SavedModel; other formats have none
   */
  public EngineOptions(int threads, Set<String> tags) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads is " + threads + ", expected 1 or more");
    }
    this.threads = threads;
    this.tags = Set.copyOf(Objects.requireNonNull(tags));
  }

  /** One thread, and the tag {@code serve}. */
  public static EngineOptions defaults() {
    return new EngineOptions(1, Set.of("serve"));
  }

  public EngineOptions withThreads(int count) {
    return new EngineOptions(count, tags);
  }

  public EngineOptions withTags(Set<String> chosen) {
    return new EngineOptions(threads, chosen);
  }

  public int threads() {
    return threads;
  }

  public Set<String> tags() {
    return tags;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof EngineOptions
        && ((EngineOptions) other).threads == threads
        && ((EngineOptions) other).tags.equals(tags);
  }

  @Override
  public int hashCode() {
    return Objects.hash(threads, tags);
  }

  @Override
  public String toString() {
    return "threads=" + threads + ", tags=" + new TreeSet<>(tags);
  }
}
