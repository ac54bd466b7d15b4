package exporter.spark

import scala.collection.mutable
import scala.reflect.ClassTag

import exporter.core.{ModelException, TensorSpec}
import org.apache.spark.SparkContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.Row
import org.apache.spark.sql.catalyst.{CatalystTypeConverters, InternalRow}
import org.apache.spark.sql.catalyst.expressions.{GenericInternalRow, SpecificInternalRow}
import org.apache.spark.sql.types.{DataType, StructField, StructType}

/**
 * Scores RDDs, partition by partition, in batches; partitions and the order of rows stay.
 * {{{
 * val scorer = Scorer(spark.sparkContext, "model")
 * val scores: RDD[Float] = scorer.scorePartitions[Array[Float], Float](features)
 * }}}
 * It serializes into closures. The model is opened once in each executor.
 */
final class Scorer private (model: ScoringModel, options: ScoreOptions) extends Serializable {

  /** The inputs by name, in the order of the signature, with their types and shapes. */
  def inputs: Seq[TensorSpec] = Java.seq[TensorSpec](model.signature.inputs.values)

  /** All outputs of the signature. */
  def outputs: Seq[TensorSpec] = Java.seq[TensorSpec](model.signature.outputs.values)

  /**
   * One value in and one out, for models with one input, and one output (or the one named in the options).
   *
   * @throws ModelException the types are not those of the model, or a row cannot be fed
   */
  def scorePartitions[T, U: ClassTag](rdd: RDD[T])(implicit in: Values[T], out: Values[U]): RDD[U] =
    scoreBy(rdd)(identity[T])(in, out).map(_._2)

  /**
   * As [[scorePartitions]], of a part of every element, which comes with its result.
   *
   * @param features the value to feed
   */
  def scoreBy[R, T, U](rdd: RDD[R])(features: R => T)(implicit in: Values[T], out: Values[U]): RDD[(R, U)] = {
    if (inputs.size != 1) {
      fail(s"the model has the inputs ${inputs.mkString(", ")}; score rows with a schema, or a DataFrame")
    }
    val plan = planned(Seq(inputs.head.name -> in.dataType))
    val found = plan.dataType
    if (found != out.dataType) {
      fail(s"the model gives ${found.catalogString}, expected ${out.dataType.catalogString}; ask for that type, or choose an output")
    }
    val program = ScoreProgram(model.handle, plan, Nil)
    rdd.mapPartitions { elements =>
      if (elements.hasNext) {
        new ScoredElements[R, (R, U)](
          elements,
          program,
          element => new GenericInternalRow(Array[Any](in.toSpark(features(element)))),
          (element, value) =>
            if (value == null) throw new ModelException("null", "a null has no result of this type; score rows with a schema instead")
            else (element, out.fromSpark(value)))
      } else Iterator.empty
    }
  }

  /**
   * Rows with the results behind their columns.
   *
   * @param schema of the rows
   * @param columns by input the columns that fill it; inputs not named are filled by the column of their name
   * @throws ModelException names or types do not fit the model, or a row cannot be fed
   */
  def scorePartitions(rdd: RDD[Row], schema: StructType, columns: Map[String, Seq[String]]): RDD[Row] = {
    val plan = planned(schema, columns)
    val needed = plan.inputs.flatMap(_.source.leaves).sortBy(_.ordinal).map(leaf => schema.fieldIndex(leaf.name))
    val program = ScoreProgram(model.handle, plan, Nil)
    rdd.mapPartitions { rows =>
      if (rows.hasNext) {
        val toSpark = needed.map(i => CatalystTypeConverters.createToCatalystConverter(schema(i).dataType)).toArray
        val toScala = CatalystTypeConverters.createToScalaConverter(plan.dataType)
        val several = plan.outputs.size > 1
        new ScoredElements[Row, Row](
          rows,
          program,
          row => new GenericInternalRow(Array.tabulate[Any](needed.size)(i => toSpark(i)(row.get(needed(i))))),
          (row, value) => {
            val result = toScala(value)
            val added =
              if (!several) Seq(result)
              else if (result == null) Seq.fill(plan.outputs.size)(null)
              else result.asInstanceOf[Row].toSeq
            Row.fromSeq(row.toSeq ++ added)
          })
      } else Iterator.empty
    }
  }

  /** As above, every input from the column of its name. */
  def scorePartitions(rdd: RDD[Row], schema: StructType): RDD[Row] = scorePartitions(rdd, schema, Map.empty[String, Seq[String]])

  /** The schema of rows that were scored. */
  def schema(schema: StructType, columns: Map[String, Seq[String]] = Map.empty): StructType =
    StructType(schema ++ planned(schema, columns).outputs.map(output => StructField(output.name, output.dataType)))

  private def planned(columns: Seq[(String, DataType)]): ScorePlan =
    planned(StructType(columns.map { case (name, dataType) => StructField(name, dataType) }), Map.empty)

  private def planned(schema: StructType, columns: Map[String, Seq[String]]): ScorePlan = {
    columns.keys.find(name => !inputs.exists(_.name == name)).foreach { name =>
      fail(s"the model has no input '$name', found ${inputs.map(_.name).mkString(", ")}")
    }
    var count = 0
    val matched = inputs.map { input =>
      val names = columns.getOrElse(input.name, Seq(input.name))
      val leaves = names.map { name =>
        val field = schema.find(_.name == name).getOrElse {
          fail(s"no column '$name' for the input '${input.name}', found ${schema.fieldNames.mkString(", ")}")
        }
        count += 1
        Leaf(name, field.dataType, count - 1)
      }
      InputColumns(names.mkString(", "), leaves, names.size > 1)
    }
    RowSchema.plan(model, matched, options).fold(fail, identity)
  }

  private def fail(message: String): Nothing = throw new ModelException("schema", message)
}

object Scorer {

  /**
   * @param source a local path, a URI of a Hadoop file system, or `archive:NAME`
   * @throws ModelException there is no such model or signature, or it cannot be loaded
   */
  def apply(context: SparkContext, source: String, options: ScoreOptions = ScoreOptions()): Scorer =
    new Scorer(ModelCatalog.model(context, source, options), options)
}

/** The elements of one partition with their results. */
private final class ScoredElements[A, B](
    elements: Iterator[A],
    program: ScoreProgram,
    scorer: BatchScorer,
    work: Work,
    feed: A => InternalRow,
    finish: (A, Any) => B)
    extends ChunkedIterator[A, B](elements, program.plan.options.batchSize, Array(scorer), work, _ => ()) {
  private val kept = new mutable.ArrayBuffer[A]
  private val plan = program.plan
  // one for all: what becomes of the values does not keep them
  private val values = new SpecificInternalRow(plan.outputs.map(_.dataType))

  def this(elements: Iterator[A], program: ScoreProgram, work: Work, feed: A => InternalRow, finish: (A, Any) => B) =
    this(elements, program, program.open(work), work, feed, finish)

  def this(elements: Iterator[A], program: ScoreProgram, feed: A => InternalRow, finish: (A, Any) => B) =
    this(elements, program, new Work, feed, finish)

  override protected def take(element: A): Unit = {
    scorer.add(feed(element))
    kept += element
  }

  override protected def clear(): Unit = kept.clear()

  override protected def result(i: Int): B = {
    val value =
      if (!scorer.has(i)) null
      else {
        plan.outputs.indices.foreach(output => scorer.put(i, output, values, output))
        if (plan.outputs.size == 1) values.get(0, plan.dataType) else values
      }
    finish(kept(i), value)
  }
}
