"""SavedModels in Spark, through each of the three interfaces of the Spark library: RDD, DataFrame and SQL."""

from exporter.runtimes import Recycle, Runtime
from exporter.runtimes._jvm import jvm_worker


def _spark(name: str, title: str) -> Runtime:
    return Runtime(
        name=name,
        title=title,
        formats=("saved-model",),
        kind="cpu",
        command=jvm_worker(name, spark=True),
        recycle=Recycle(loads=200),
        unordered=True,
        # nothing outside this machine has to find the driver
        environment={"SPARK_LOCAL_IP": "127.0.0.1"},
    )


RUNTIMES = (
    _spark("spark-rdd", "Spark RDD, scorePartitions, TensorFlow Java"),
    _spark("spark-dataframe", "Spark DataFrame, TensorFlowModel.transform, TensorFlow Java"),
    _spark("spark-sql", "Spark SQL, tfpredict, TensorFlow Java"),
)
