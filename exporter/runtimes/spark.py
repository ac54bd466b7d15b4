"""SavedModels in Spark, through each of the three interfaces of the Spark library: RDD, DataFrame and SQL."""

from exporter.runtimes import Recycle, Runtime
from exporter.runtimes._jvm import jvm_worker

_TITLES = {
    "spark-rdd": "Spark RDD, scorePartitions, TensorFlow Java",
    "spark-dataframe": "Spark DataFrame, TensorFlowModel.transform, TensorFlow Java",
    "spark-sql": "Spark SQL, tfpredict, TensorFlow Java",
}

RUNTIMES = tuple(
    Runtime(
        name=name,
        title=title,
        formats=("saved-model",),
        kind="cpu",
        # three ways into one application, as a user has them; a second Spark would be another 5 s of two cores
        command=jvm_worker(*_TITLES, spark=True),
        process="spark",
        recycle=Recycle(loads=200),
        unordered=True,
        # nothing outside this machine has to find the driver
        environment={"SPARK_LOCAL_IP": "127.0.0.1"},
    )
    for name, title in _TITLES.items()
)
