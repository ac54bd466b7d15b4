"""Spark as its users start it: spark-submit in processes of its own, from the jars that Maven put together.

The model is exported by this package, with inputs and outputs as Python computed them.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exporter import spark
from exporter.runtimes import _jvm
from exporter.tensors import Tensors, load

# the environment of PySpark is another one, see tools/spark.py
collect_ignore = [] if importlib.util.find_spec("pyspark") else ["test_pyspark.py"]

# small enough for two executors, a driver and whatever else runs on a small machine
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.sql.shuffle.partitions": "4",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.extensions": spark.EXTENSIONS,
    # these processes live too short for the optimizing compiler to pay
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@dataclass(frozen=True)
class Distribution:
    """A SPARK_HOME. Its launcher turns the arguments of spark-submit into a command, as bin/spark-submit does."""

    home: Path
    java: str
    work: Path
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        java_home = Path(self.java).resolve().parents[1]
        (core,) = (self.home / "jars").glob("spark-core_*.jar")
        return {
            **os.environ,
            "SPARK_HOME": str(self.home),
            "SPARK_SCALA_VERSION": core.name.split("_")[1].split("-")[0],
            "JAVA_HOME": str(java_home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "SPARK_LOCAL_DIRS": str(self.work / "local"),
            **self.environment,
        }

    def command(self, main: str, *arguments: str) -> list[str]:
        """The command that bin/spark-class would start `main` by."""
        launcher = [self.java, "-Xmx128m", "-cp", f"{self.home}/jars/*", "org.apache.spark.launcher.Main", main]
        printed = subprocess.run([*launcher, *arguments], env=self.variables(), capture_output=True, check=True).stdout
        # the command follows a line that holds the separator alone
        return printed.decode().partition("\0\n")[2].split("\0")[:-1]

    def submit(
        self, master: str, *arguments: str, timeout: float = 300, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """spark-submit of an application; dots in the names of settings are written as two underscores."""
        conf = {**SETTINGS, **{name.replace("__", "."): value for name, value in settings.items()}}
        options = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
        command = self.command("org.apache.spark.deploy.SparkSubmit", "--master", master, *options, *arguments)
        process = subprocess.Popen(
            command,
            cwd=self.work,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            end(process)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    @contextmanager
    def standalone(self, *, workers: int, cores: int, memory: str) -> Iterator[str]:
        """A standalone master for as long as the block lasts; yields its URL.

        Each worker has an address of its own, as if it was another machine.
        """
        log = self.work / "standalone.log"
        port = free_port()
        master = f"spark://127.0.0.1:{port}"
        deploy = "org.apache.spark.deploy"
        web = ("--webui-port", "0")
        commands = [self.command(f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), *web)]
        for worker in range(workers):
            size = ("--cores", str(cores), "--memory", memory)
            commands.append(
                self.command(f"{deploy}.worker.Worker", "--host", f"127.0.0.{1 + worker}", *web, *size, master)
            )
        with open(log, "ab") as out:
            processes = []
            try:
                for command in commands:
                    processes.append(
                        subprocess.Popen(command, env=self.variables(), stdout=out, stderr=out, start_new_session=True)
                    )
                    # a worker that finds no master waits long before it asks again
                    wait_for(log, "Successfully registered" if processes[1:] else "I have been elected", processes)
                yield master
            finally:
                for process in reversed(processes):
                    end(process)


@dataclass(frozen=True)
class Exported:
    """A SavedModel, and one case of it: inputs and outputs by name."""

    model: Path
    inputs: Tensors
    outputs: Tensors

    def archive(self, path: Path) -> Path:
        """The model as a zip file, for --archives."""
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(self.model.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(self.model))
        return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(log: Path, text: str, processes: list[subprocess.Popen[bytes]], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while text not in log.read_text():
        dead = [process.args for process in processes if process.poll() is not None]
        assert not dead, f"{dead} ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"no {text!r} in {seconds} s: {log.read_text()[-3000:]}"
        time.sleep(0.2)


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The linear reference model: `inputs` (N, 2) to `outputs` (N, 1)."""
    bundle = tmp_path_factory.mktemp("exported") / "linear-spark"
    python = os.environ.get("EXPORTER_PYTHON", sys.executable)
    command = [python, "-m", "exporter", "convert", "linear-spark", "--to", "saved-model", "--no-verify"]
    subprocess.run([*command, "-o", str(bundle)], check=True, capture_output=True, timeout=300)
    (saved,) = (path.parent for path in (bundle / "artifacts").rglob("saved_model.pb"))
    (case,) = (bundle / "cases").rglob("data.safetensors")
    return Exported(saved, load(case), load(bundle / "references" / case.relative_to(bundle / "cases")))


@pytest.fixture(scope="session")
def jars() -> list[str]:
    return spark.jars()


@pytest.fixture
def distribution(tmp_path: Path) -> Distribution:
    """The Spark that the library is compiled for, or the one that EXPORTER_SPARK_HOME names."""
    # the workers of local-cluster write below it
    home = tmp_path / "spark-home"
    home.mkdir()
    found = os.environ.get("EXPORTER_SPARK_HOME") or _jvm.jars_directory() / _jvm.SPARK_HOME
    (home / "jars").symlink_to(Path(found) / "jars")
    return Distribution(home, _jvm.java()[0], tmp_path)
