"""The Spark library from PySpark: its jars, its SQL function and its transformer, all of it run by the JVM.

No Python worker is started and no row passes through Python: these functions only build plans. PySpark itself is not a
dependency of this package, because it has to be the one that belongs to the cluster.

    spark = exporter.spark.configure(SparkSession.builder).getOrCreate()
    scored = exporter.spark.score(df, "build/m/artifacts/saved-model/model", {"inputs": "features"})

docs/spark.md has the rules for columns, nulls and arrays of different lengths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import ExporterError, MissingRuntimeError, UsageError
from exporter.runtimes import Missing, _jvm

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

EXTENSIONS = "exporter.spark.ExporterExtensions"
# what an application needs of what the workers need: their other engines would only make it larger
_LIBRARY = re.compile(
    r"(exporter-(core|tensorflow|spark)|tensorflow-core-(api|native)|ndarray|javacpp|protobuf-java)-\d"
)
_OPTIONS: Mapping[str, tuple[type, ...]] = {
    "signature": (str,),
    "tags": (list, tuple),
    "batch_size": (int,),
    "threads": (int,),
    "nulls": (str,),
    "ragged": (str,),
    "narrow": (bool,),
    "strings": (str,),
    "squeeze": (bool,),
    "pad_to": (int,),
}


class SparkError(ExporterError):
    """Spark, or the library inside it, cannot do what was asked for."""


def jars() -> list[str]:
    """Paths of the jars that an application needs: for `spark.jars`, `--jars`, or the image of a cluster.

    Raises:
        MissingRuntimeError: they are not built.
    """
    return _library()


def configure(builder: Any, jars: Iterable[str | os.PathLike[str]] | None = None) -> Any:
    """A `SparkSession.builder` that knows the library; it is returned, with what was set on it before.

    Args:
        builder: of a classic session that is not there yet: a JVM that runs takes no more jars.
        jars: instead of `jars()`, for example the one with everything for one platform.

    Raises:
        MissingRuntimeError: PySpark is not installed, or the jars are not built.
        SparkError: a session runs already, or Spark Connect is asked for.
    """
    pyspark = _pyspark()
    before: Mapping[str, Any] = getattr(builder, "_options", {})
    connect = (before.get("spark.api.mode"), os.environ.get("SPARK_API_MODE"))
    if "spark.remote" in before or "SPARK_REMOTE" in os.environ or "connect" in connect:
        raise _no_connect()
    if pyspark.SparkContext._gateway is not None:
        raise SparkError(
            "running",
            "Spark's JVM runs already and takes no more jars",
            "call configure before the first session of the process, or start it with --jars "
            f"and --conf spark.sql.extensions={EXTENSIONS}",
        )
    chosen = _library() if jars is None else [os.fspath(jar) for jar in jars]
    return builder.config("spark.jars", _joined(before.get("spark.jars"), chosen)).config(
        "spark.sql.extensions", _joined(before.get("spark.sql.extensions"), [EXTENSIONS])
    )


def register(spark: SparkSession, name: str | None, model: str | os.PathLike[str], **options: Any) -> None:
    """Gives a model a name in SQL: `tfpredict('name', column)`; with the name None it is that of `tfpredict(column)`.

    Args:
        model: a local path, a URI such as `hdfs://...`, or `archive:NAME` of an archive of the application.
        options: `signature`, `tags`, `outputs` (names), `batch_size`, `threads`, `nulls`, `ragged`, `narrow`,
            `strings`, `squeeze`, `pad_to`.

    Raises:
        SparkError: there is no such model, or the session has no such library.
        UsageError: an option that does not exist, or that has another type.
    """
    _class(spark, "ExporterExtensions").register(spark._jsparkSession)
    source = _source(model)
    _calling(lambda: _class(spark, "TensorFlowModel").load(source))
    key = "spark.exporter.model" if name is None else f"spark.exporter.model.{name}"
    spark.conf.set(key, source)
    prefix = "spark.exporter" if name is None else key
    for option, value in _checked(options, outputs=(list, tuple)).items():
        spark.conf.set(f"{prefix}.{_camel(option)}", _text(value))


def tfpredict(
    *columns: Column | str, model: str | None = None, inputs: Mapping[str, Column | str] | None = None
) -> Column:
    """The call of a registered model as a column, for `select`, `where` and wherever else a column can be.

    Args:
        columns: one per input of the model, in the order of the inputs' sorted names.
        model: its name; None for the default model.
        inputs: instead of `columns`, by the inputs' names.

    Raises:
        MissingRuntimeError: PySpark is not installed.
        UsageError: columns and inputs, or none of them.
    """
    _pyspark()
    from pyspark.sql import functions

    if bool(columns) == bool(inputs):
        raise UsageError("columns", "expected columns, or inputs by name", 'write tfpredict("features")')

    def column(value: Column | str) -> Column:
        return functions.col(value) if isinstance(value, str) else value

    arguments = [column(value) for value in columns]
    if inputs:
        arguments = [functions.struct(*(column(value).alias(name) for name, value in inputs.items()))]
    named = [] if model is None else [functions.lit(model)]
    return functions.call_function("tfpredict", *named, *arguments)


def score(
    df: DataFrame,
    model: str | os.PathLike[str],
    inputs: Mapping[str, str | Sequence[str]] | None = None,
    outputs: Mapping[str, str] | None = None,
    **options: Any,
) -> DataFrame:
    """`df` with the outputs of a model as further columns. Nothing is computed yet.

    Args:
        model: a local path, a URI such as `hdfs://...`, or `archive:NAME` of an archive of the application.
        inputs: by input its column, or the columns that make up its vector; others take the column of their name.
        outputs: by output the column that it becomes; without them all outputs, by their names.
        options: as those of `register`, without `outputs`.

    Raises:
        SparkError: model, inputs, outputs and columns do not fit, or the session has no such library.
        pyspark.errors.AnalysisException: the type of a column does not fit; it names column and both types.
        UsageError: an option that does not exist, or that has another type.
    """
    spark = df.sparkSession
    loader = _class(spark, "TensorFlowModel")
    python = spark._jvm.org.apache.spark.api.python.PythonUtils

    def transformed() -> Any:
        transformer = loader.load(_source(model))
        for name, columns in (inputs or {}).items():
            one = isinstance(columns, str)
            transformer.setInputColumns(name, python.toSeq(_java_list(spark, [columns] if one else columns)))
        if outputs:
            names = spark._jvm.java.util.HashMap()
            for name, column in outputs.items():
                names.put(name, column)
            transformer.setOutputs(python.toScalaMap(names))
        for option, value in _checked(options).items():
            setter = getattr(transformer, "set" + _camel(option)[0].upper() + _camel(option)[1:])
            setter(python.toSeq(_java_list(spark, value)) if option == "tags" else value)
        return transformer.transform(df._jdf)

    result: DataFrame = type(df)(_calling(transformed), spark)
    return result


def _library() -> list[str]:
    try:
        top = _jvm.jars_directory()
    except Missing as missing:
        raise MissingRuntimeError("spark", missing.reason, missing.hint) from missing
    found = [jar for part in (_jvm.SPARK, _jvm.WORKER) for jar in sorted((top / part).glob("*.jar"))]
    return [str(jar) for jar in found if _LIBRARY.match(jar.name)]


def _pyspark() -> Any:
    try:
        import pyspark
    except ImportError as error:
        raise MissingRuntimeError(
            "pyspark",
            "PySpark is not installed in this environment",
            "pip install pyspark, in the version of your cluster; Scala, Java and spark-submit need no Python",
        ) from error
    return pyspark


def _no_connect() -> SparkError:
    return SparkError(
        "connect",
        "found Spark Connect, expected a classic session: only that has access to the JVM that runs the model",
        'start it with SparkSession.builder.master("local[*]"), or with spark-submit, without a remote',
    )


def _class(spark: Any, name: str) -> Any:
    """A class of the library in the session's JVM. Raises `SparkError`."""
    _pyspark()
    from py4j.java_gateway import JavaClass

    if ".connect" in type(spark).__module__:
        raise _no_connect()
    found = getattr(spark._jvm.exporter.spark, name)
    if not isinstance(found, JavaClass):
        raise SparkError(
            "jars",
            "the session was started without the library's jars",
            "start it with exporter.spark.configure(SparkSession.builder), or with --jars",
        )
    return found


def _calling(call: Callable[[], Any]) -> Any:
    """What `call` returns; what the library refuses as a `SparkError` with its message."""
    from py4j.protocol import Py4JJavaError

    try:
        return call()
    except Py4JJavaError as error:
        thrown = error.java_exception
        if thrown.getClass().getName() == "exporter.core.ModelException":
            raise SparkError(thrown.code(), thrown.getMessage()) from error
        raise


def _java_list(spark: Any, values: Iterable[Any]) -> Any:
    result = spark._jvm.java.util.ArrayList()
    for value in values:
        result.add(value)
    return result


def _source(model: str | os.PathLike[str]) -> str:
    """The model as the JVM finds it: its working directory need not be ours."""
    text = os.fspath(model)
    return str(Path(text).resolve()) if Path(text).exists() else text


def _checked(options: Mapping[str, Any], **more: tuple[type, ...]) -> Mapping[str, Any]:
    known = {**_OPTIONS, **more}
    for name, value in options.items():
        if name not in known:
            raise UsageError("option", f"unknown option {name!r}, expected {', '.join(sorted(known))}")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and bool not in known[name]):
            expected = " or ".join(kind.__name__ for kind in known[name])
            raise UsageError("option", f"{name} is {value!r}, expected {expected}")
    return options


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, (list, tuple)) else str(value)


def _camel(name: str) -> str:
    return re.sub("_(.)", lambda match: match[1].upper(), name)


def _joined(before: str | None, more: Sequence[str]) -> str:
    kept = [part for part in (before or "").split(",") if part]
    return ",".join([*kept, *(part for part in more if part not in kept)])
