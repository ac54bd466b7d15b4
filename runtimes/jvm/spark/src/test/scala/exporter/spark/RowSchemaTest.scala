package exporter.spark

import exporter.core.{DType, Signature, TensorSpec}
import exporter.core.DType._
import org.apache.spark.ml.linalg.SQLDataTypes.VectorType
import org.apache.spark.sql.types._
import org.junit.jupiter.api.Assertions._
import org.junit.jupiter.api.Test

/** The table of rules between columns and tensors, without Spark running and without a model. */
class RowSchemaTest {
  private def spec(name: String, dtype: DType, dims: Long*) = new TensorSpec(name, dtype, dims.toArray)
  private def unknown(name: String, dtype: DType) = new TensorSpec(name, dtype, null)
  private def array(element: DataType, levels: Int = 1): DataType =
    (0 until levels).foldLeft(element)((inner, _) => ArrayType(inner))

  private def plan(
      inputs: Seq[TensorSpec],
      outputs: Seq[TensorSpec],
      columns: Seq[Seq[DataType]],
      options: ScoreOptions = ScoreOptions()): Either[String, ScorePlan] = {
    val signature = new Signature("serving_default", Java.list(inputs), Java.list(outputs))
    val ref = ModelRef("m", "0" * 64, 1, LocalFiles("/m"))
    val model = new ScoringModel(ModelHandle(ref, 1, Seq("serve")), signature, "test engine", DType.values.toSet - COMPLEX64)
    var ordinal = -1
    val matched = columns.map { types =>
      val leaves = types.zipWithIndex.map { case (dataType, i) =>
        ordinal += 1
        Leaf(s"c$i", dataType, ordinal)
      }
      InputColumns("c", leaves, types.size > 1)
    }
    RowSchema.plan(model, matched, options)
  }

  private def input(tensor: TensorSpec, column: DataType*)(options: ScoreOptions = ScoreOptions()): Either[String, InputPlan] =
    plan(Seq(tensor), Seq(spec("y", FLOAT32, -1)), Seq(column), options).map(_.inputs.head)

  @Test def columnsThatFillATensor(): Unit = {
    val cases: Seq[(TensorSpec, Seq[DataType], Seq[Long])] = Seq(
      (spec("x", FLOAT32, -1), Seq(FloatType), Nil),
      (spec("x", FLOAT32, -1, 1), Seq(FloatType), Nil),
      (spec("x", FLOAT32, -1, 1), Seq(array(FloatType)), Seq(1L)),
      (spec("x", FLOAT32, -1, 3), Seq(array(FloatType)), Seq(3L)),
      (spec("x", FLOAT32, -1, 3), Seq(FloatType, FloatType, FloatType), Seq(3L)),
      (spec("x", FLOAT32, -1, 3), Seq(FloatType, ByteType, ShortType), Seq(3L)),
      (spec("x", FLOAT32, -1, 3), Seq(VectorType), Seq(3L)),
      (spec("x", FLOAT64, -1, 3), Seq(VectorType), Seq(3L)),
      (spec("x", FLOAT32, -1, 2, 3), Seq(array(FloatType, 2)), Seq(2L, 3L)),
      (spec("x", FLOAT32, -1, 2, 3), Seq(array(FloatType)), Seq(6L)),
      (spec("x", FLOAT32, -1, 2, 3), Seq(VectorType), Seq(6L)),
      (spec("x", FLOAT32, -1, 2, 1), Seq(FloatType, FloatType), Seq(2L)),
      (spec("x", UINT8, -1, 2, 2), Seq(BinaryType), Seq(4L)),
      (spec("x", UINT8, -1, -1), Seq(BinaryType), Seq(-1L)),
      (spec("x", FLOAT32, -1, -1), Seq(array(FloatType)), Seq(-1L)),
      (spec("x", FLOAT32, -1, -1), Seq(FloatType, FloatType), Seq(2L)),
      (spec("x", FLOAT32, -1, -1, 3), Seq(array(FloatType, 2)), Seq(-1L, 3L)),
      (unknown("x", FLOAT32), Seq(FloatType), Nil),
      (unknown("x", FLOAT32), Seq(array(FloatType, 3)), Seq(-1L, -1L, -1L)),
      (spec("x", STRING, -1), Seq(StringType), Nil),
      (spec("x", STRING, -1), Seq(BinaryType), Nil),
      (spec("x", STRING, -1, 2), Seq(array(BinaryType)), Seq(2L)),
      (spec("x", BOOL, -1), Seq(BooleanType), Nil))
    cases.foreach { case (tensor, column, lengths) =>
      assertEquals(Right(lengths), input(tensor, column: _*)().map(_.lengths), s"$tensor <- $column")
    }
  }

  @Test def columnsThatDoNot(): Unit = {
    val cases: Seq[(TensorSpec, Seq[DataType], String)] = Seq(
      (spec("x", FLOAT32, -1), Seq(array(FloatType)), "column 'c' is array<float>, expected float for input x: float32 [?]"),
      (spec("x", FLOAT32, -1, 3), Seq(FloatType), "column 'c' is float, expected array<float> of 3 or 3 columns of float"),
      (spec("x", FLOAT32, -1, 3), Seq(FloatType, FloatType), "column 'c' is 2 columns, expected array<float> of 3"),
      (spec("x", FLOAT32, -1, 3), Seq(array(FloatType, 2)), "column 'c' is array<array<float>>"),
      (spec("x", FLOAT32, -1, 2, 3), Seq(array(FloatType, 3)), "expected array<array<float>> of 2 x 3 or array<float> of 6"),
      (spec("x", FLOAT32, -1, -1, 3), Seq(array(FloatType)), "expected array<array<float>> of any x 3 for input"),
      (spec("x", FLOAT32, -1, -1, 3), Seq(FloatType, FloatType), "is 2 columns, expected array<array<float>> of any x 3"),
      (spec("x", FLOAT32, -1, 1), Seq(StringType), "column 'c0' is string, expected float or array<float> of 1"),
      (spec("x", STRING, -1), Seq(FloatType), "float is not converted to string; cast it, or choose another column"),
      (spec("x", STRING, -1), Seq(VectorType), "expected string"),
      (spec("x", INT64, -1, 3), Seq(VectorType), "double is not converted to int64"),
      (spec("x", BOOL, -1), Seq(IntegerType), "int is not converted to bool"),
      (spec("x", FLOAT32, -1), Seq(DateType), "date is not converted to float32"),
      (spec("x", FLOAT32, -1), Seq(DecimalType(10, 2)), "decimal(10,2) is not converted to float32"),
      (unknown("x", FLOAT32), Seq(StringType), "expected float or arrays of it for input x: float32 of unknown rank"),
      (spec("x", COMPLEX64, -1), Seq(FloatType), "x: complex64 [?]: test engine cannot carry this type"),
      (spec("x", UINT64, -1), Seq(LongType), "x: uint64 [?]: Spark has no such type; cast it inside of the model"))
    cases.foreach { case (tensor, column, message) =>
      val found = input(tensor, column: _*)()
      assertTrue(found.left.exists(_.contains(message)), s"$tensor <- $column: $found")
    }
  }

  @Test def conversions(): Unit = {
    // what goes by itself, and what goes with narrow; everything else is refused
    val free: Map[DataType, Set[DType]] = Map(
      BooleanType -> Set(BOOL),
      ByteType -> Set(INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, FLOAT32, FLOAT64),
      ShortType -> Set(INT16, INT32, INT64, UINT8, UINT16, UINT32, FLOAT32, FLOAT64),
      IntegerType -> Set(INT32, INT64, UINT16, UINT32, FLOAT64),
      LongType -> Set(INT64, UINT32),
      FloatType -> Set(FLOAT16, BFLOAT16, FLOAT32, FLOAT64),
      DoubleType -> Set(FLOAT64),
      StringType -> Set(STRING),
      BinaryType -> Set(STRING))
    val narrow: Map[DataType, Set[DType]] = Map(
      ShortType -> Set(INT8),
      IntegerType -> Set(INT8, INT16, UINT8, FLOAT32),
      LongType -> Set(INT8, INT16, INT32, UINT8, UINT16, FLOAT32, FLOAT64),
      DoubleType -> Set(FLOAT16, BFLOAT16, FLOAT32))
    for (from <- free.keys; to <- Element.sparkTypes.keys) {
      val withNarrow = free(from) ++ narrow.getOrElse(from, Set.empty)
      assertEquals(free(from)(to), Element.of(from, to, narrow = false).isRight, s"$from to $to")
      assertEquals(withNarrow(to), Element.of(from, to, narrow = true).isRight, s"$from to $to with narrow")
    }
  }

  @Test def outputs(): Unit = {
    def types(tensors: Seq[TensorSpec], options: ScoreOptions = ScoreOptions()): Either[String, Seq[String]] =
      plan(Seq(spec("x", FLOAT32, -1)), tensors, Seq(Seq(FloatType)), options).map(_.outputs.map(_.dataType.catalogString))
    val cases: Seq[(TensorSpec, String)] = Seq(
      (spec("y", FLOAT32, -1), "float"),
      (spec("y", FLOAT32, -1, 1), "float"),
      (spec("y", FLOAT32, -1, 10), "array<float>"),
      (spec("y", FLOAT32, -1, -1), "array<float>"),
      (spec("y", FLOAT32, -1, 2, 3), "array<array<float>>"),
      (spec("y", FLOAT32, -1, 1, 1), "array<array<float>>"),
      (spec("y", BOOL, -1), "boolean"),
      (spec("y", INT8, -1), "tinyint"),
      (spec("y", UINT8, -1), "smallint"),
      (spec("y", INT16, -1), "smallint"),
      (spec("y", UINT16, -1), "int"),
      (spec("y", INT32, -1), "int"),
      (spec("y", UINT32, -1), "bigint"),
      (spec("y", INT64, -1), "bigint"),
      (spec("y", FLOAT16, -1), "float"),
      (spec("y", BFLOAT16, -1), "float"),
      (spec("y", FLOAT64, -1), "double"),
      (spec("y", STRING, -1, 2), "array<string>"))
    cases.foreach { case (tensor, expected) => assertEquals(Right(Seq(expected)), types(Seq(tensor)), tensor.toString) }
    assertEquals(Right(Seq("array<float>")), types(Seq(spec("y", FLOAT32, -1, 1)), ScoreOptions(squeeze = false)))
    assertEquals(Right(Seq("binary")), types(Seq(spec("y", STRING, -1)), ScoreOptions(text = false)))
    assertTrue(types(Seq(unknown("y", FLOAT32))).left.exists(_.contains("of unknown rank, so its column would have no type")))
    assertTrue(types(Seq(spec("y", UINT64, -1))).left.exists(_.contains("Spark has no such type")))
    val two = Seq(spec("z", FLOAT32, -1), spec("a", INT64, -1))
    assertEquals(
      Right("struct<z:float,a:bigint>"),
      plan(Seq(spec("x", FLOAT32, -1)), two, Seq(Seq(FloatType))).map(_.dataType.catalogString))
    // what is not asked for may be anything
    assertEquals(Right(Seq("float")), types(Seq(unknown("u", FLOAT32), spec("y", FLOAT32, -1)), ScoreOptions(outputs = Seq("y"))))
  }

  @Test def whereTheRowsAre(): Unit = {
    def batching(input: TensorSpec, output: TensorSpec, column: DataType) =
      plan(Seq(input), Seq(output), Seq(Seq(column))).map(_.batching)
    assertEquals(Right(Batching.Open), batching(spec("x", FLOAT32, -1, 3), spec("y", FLOAT32, -1), array(FloatType)))
    assertEquals(Right(Batching.Fixed(8)), batching(spec("x", FLOAT32, 8, 3), spec("y", FLOAT32, 8), array(FloatType)))
    assertEquals(Right(Batching.Fixed(1)), batching(spec("x", FLOAT32, 1, 3), spec("y", FLOAT32, 1, 2), array(FloatType)))
    // a length that both have is that of rows if the column has no such dimension
    assertEquals(Right(Batching.Fixed(3)), batching(spec("x", FLOAT32, 3), spec("y", FLOAT32, 3), FloatType))
    assertEquals(Right(Batching.None), batching(spec("x", FLOAT32, 3), spec("y", FLOAT32, 3), array(FloatType)))
    assertEquals(Right(Batching.None), batching(spec("x", FLOAT32), spec("y", FLOAT32), FloatType))
    assertEquals(Right(Batching.None), batching(spec("x", FLOAT32, -1, 3), spec("y", FLOAT32), array(FloatType)))
    assertEquals(Right(Batching.None), batching(spec("x", FLOAT32, -1, 3), spec("y", FLOAT32, 5), array(FloatType)))
    assertEquals(Right(Batching.None), batching(spec("x", FLOAT32, 2, 3), spec("y", FLOAT32, 4), array(FloatType, 2)))
    val mixed = plan(
      Seq(spec("x", FLOAT32, -1, 3), spec("rate", FLOAT32)),
      Seq(spec("y", FLOAT32, -1, 2)),
      Seq(Seq(array(FloatType)), Seq(FloatType)))
    assertEquals(Right(Batching.None), mixed.map(_.batching))
    assertEquals(Right(Seq(true, false)), mixed.map(_.inputs.map(_.leading)))
    assertEquals(Right("array<float>"), mixed.map(_.dataType.catalogString))
  }

  @Test def policiesAreReadAndChecked(): Unit = {
    val parsed = ScoreOptions.parse(Map("nulls" -> "default=-1", "ragged" -> "pad=0", "batchSize" -> "8", "tags" -> "a, b").get)
    assertEquals(ScoreOptions(nulls = NullPolicy.Default("-1"), ragged = RaggedPolicy.Pad("0"), batchSize = 8, tags = Seq("a", "b")), parsed)
    assertEquals(parsed, ScoreOptions.parse(parsed.texts.get))
    Seq("nulls" -> "skip", "ragged" -> "cut", "batchSize" -> "0", "batchSize" -> "x", "narrow" -> "yes", "strings" -> "utf8", "threads" -> "-1")
      .foreach { case (name, value) => TestSession.fails(s"$name is ")(ScoreOptions.parse(Map(name -> value).get)) }
    val x = spec("x", UINT8, -1, 3)
    assertTrue(input(x, array(ShortType))(ScoreOptions(nulls = NullPolicy.Default("256"))).left.exists(_.contains("no value of input 'x', which is uint8")))
    assertTrue(input(x, array(ShortType))(ScoreOptions(ragged = RaggedPolicy.Pad("-1"))).left.exists(_.contains("ragged=pad=-1")))
    assertTrue(input(x, array(ShortType))(ScoreOptions(ragged = RaggedPolicy.Pad("255"))).isRight)
  }
}
