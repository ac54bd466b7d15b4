package exporter.spark

import java.util.concurrent.ConcurrentHashMap

/**
 * Values that are expensive to make, one per key: threads that ask for the same one wait for the first of them, those
 * that ask for another do not. A failure is thrown to the one who asked and not kept.
 */
private[spark] final class Once[K, V] {
  private final class Slot {
    private var value: Option[V] = None

    def get(make: => V): V = synchronized {
      if (value.isEmpty) {
        value = Some(make)
      }
      value.get
    }
  }

  // computeIfAbsent alone would hold back other keys that happen to share a bin
  private val slots = new ConcurrentHashMap[K, Slot]

  def get(key: K)(make: => V): V = slots.computeIfAbsent(key, _ => new Slot).get(make)

  def forget(key: K): Unit = slots.remove(key)
}
