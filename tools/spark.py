"""The Spark matrix: the library on an older Spark, in the newest PySpark of pip, and from the one jar to submit.

usage: python tools/spark.py jar     builds runtimes/jvm/dist/target/exporter-spark_*.jar and reads what is inside
       python tools/spark.py old     the library's tests on Spark 3.5 and Scala 2.12
       python tools/spark.py new     its tests, its application and PySpark in pip's newest Spark, on a cluster of two
       python tools/spark.py all     these three

Run by the Python that this package is installed in. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
JVM = TOP / "runtimes" / "jvm"
BUILD = TOP / "build"
OLD = BUILD / "spark-3.5"
NEW = BUILD / "venv-pyspark"
# the tests need pytest, and NumPy to read tensors
PACKAGES = ("pyspark==4.3.0", "pytest", "numpy", "ml-dtypes")
MAVEN = [sys.executable, str(TOP / "tools" / "jvm.py"), "mvn", "--quiet"]


def run(command: list[str], **environment: str) -> None:
    text = " ".join(command)
    print("spark:", text, flush=True)
    done = subprocess.run(command, cwd=TOP, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"spark: found exit status {done.returncode}, expected 0; to see it alone run: {text}")


def jar() -> None:
    """One jar with everything for this platform, and a thin one."""
    only = ["-Dtest=SparkJarTest", "-Dsurefire.failIfNoSpecifiedTests=false"]
    run([*MAVEN, "-Pdist", "--projects=dist", "--also-make", *only, "verify"])
    run([sys.executable, "-m", "pytest", "tests/spark/test_jar.py"])


def old() -> None:
    """In a copy of the sources: classes of two Scala versions cannot be in one directory."""
    shutil.rmtree(OLD / "src", ignore_errors=True)
    shutil.copytree(JVM, OLD / "src", ignore=shutil.ignore_patterns("target"))
    only = ["-Dtest=exporter/spark/**/*Test", "-Dsurefire.failIfNoSpecifiedTests=false"]
    project = ["-f", str(OLD / "src" / "pom.xml"), "-Pspark-3.5", "--projects=spark", "--also-make"]
    run([*MAVEN, *project, *only, "verify"])


def new() -> None:
    """The jars stay those built for the default Spark."""
    if not any((JVM / "dist" / "target").glob("exporter-spark_*-*-*.jar")):  # which the shells of the page submit
        jar()
    python = NEW / "bin" / "python"
    if not python.exists():
        venv.create(NEW, with_pip=True)
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES])
    (home,) = NEW.glob("lib/python*/site-packages/pyspark")
    tests = ["tests/spark/test_cluster.py", "tests/spark/test_docs.py"]
    run([sys.executable, "-m", "pytest", *tests], EXPORTER_SPARK_HOME=str(home))
    # a session of PySpark finds its Spark by itself; the models are exported by this Python
    run(
        [str(python), "-m", "pytest", "tests/spark/test_pyspark.py"],
        PYTHONPATH=str(TOP),
        EXPORTER_PYTHON=sys.executable,
    )


TASKS: Mapping[str, Callable[[], None]] = {"jar": jar, "old": old, "new": new}

if __name__ == "__main__":
    chosen = sys.argv[1:]
    if len(chosen) != 1 or chosen[0] not in (*TASKS, "all"):
        sys.exit(__doc__)
    for name, task in TASKS.items():
        if chosen[0] in (name, "all"):
            task()
