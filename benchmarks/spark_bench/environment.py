"""The environment of the Spark side: PySpark of the version that the library is compiled for, pandas and pyarrow.

TensorFlow, numpy and `exporter` are those of the project's own environment, seen from this one by a .pth file: there is
one TensorFlow on this machine, and Python's arms run the one that exported the models.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PINS = ("pandas==2.3.3", "pyarrow==26.0.1")


def spark_version() -> str:
    """The one the JVM modules are compiled for."""
    found = re.search(r"<spark\.version>([^<]+)<", (TOP / "runtimes" / "jvm" / "pom.xml").read_text())
    assert found, "runtimes/jvm/pom.xml names no spark.version"
    return found[1]


def ensure(directory: Path) -> Path:
    """Make the environment unless it is there; returns its `python`."""
    wanted = [f"pyspark=={spark_version()}", *PINS]
    state = "\n".join([sys.version, sys.prefix, *wanted])
    python = directory / "bin" / "python"
    marker = directory / "made-of"
    if marker.exists() and marker.read_text() == state:
        return python
    print(f"bench-spark: making {directory} (the first time pip fetches about 500 MB)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
    purelib = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # addsitedir and not a path: the project's own package is there through a .pth file as well
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(purelib) / "project.pth").write_text(line)
    subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted], check=True)
    marker.write_text(state)
    return python


def variables(python: Path) -> dict[str, str]:
    """For the processes of a session: one thread in every library, and the Spark that pip installed."""
    path = os.pathsep.join([str(TOP / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {
        **{name: value for name, value in os.environ.items() if name != "SPARK_HOME"},
        **dict.fromkeys(threads, "1"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "PYTHONPATH": path,
    }
