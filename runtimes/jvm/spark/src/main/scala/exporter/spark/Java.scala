package exporter.spark

import java.util.stream.{Stream => JavaStream}

/** Java collections as Scala's, in the way that Scala 2.12 and 2.13 share without a warning. */
private[spark] object Java {
  def seq[T](values: java.lang.Iterable[_ <: T]): Seq[T] = {
    val all = Vector.newBuilder[T]
    val iterator = values.iterator
    while (iterator.hasNext) {
      all += iterator.next()
    }
    all.result()
  }

  /** All of a stream, which is closed. */
  def seq[T](values: JavaStream[_ <: T]): Seq[T] =
    try {
      val all = Vector.newBuilder[T]
      values.iterator.forEachRemaining((value: T) => all += value)
      all.result()
    } finally values.close()

  def map[K, V](values: Iterable[(K, V)]): java.util.Map[K, V] = {
    val map = new java.util.HashMap[K, V]
    values.foreach { case (key, value) => map.put(key, value) }
    map
  }

  def list[T](values: Iterable[T]): java.util.List[T] = {
    val list = new java.util.ArrayList[T]
    values.foreach(list.add)
    list
  }

  def set[T](values: Iterable[T]): java.util.Set[T] = {
    val set = new java.util.HashSet[T]
    values.foreach(set.add)
    set
  }
}
