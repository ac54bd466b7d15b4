"""The commands of docs/spark.md do what the page says.

They run in the Spark that EXPORTER_SPARK_HOME names: that of pip, which has the shells that the page uses.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
PAGE = (TOP / "docs" / "spark.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A home directory with the repository in `exporter`, and spark-submit and exporter on the path."""
    home = tmp_path_factory.mktemp("home")
    (home / "exporter").symlink_to(TOP)
    spark = Path(os.environ["EXPORTER_SPARK_HOME"])
    programs = [spark.parents[3] / "bin", Path(sys.executable).parent]
    return {
        **os.environ,
        "HOME": str(home),
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "PYTHONPATH": str(TOP),
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def shell(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """All shell blocks of the page as one script."""
    script = "set -e\n" + "\n".join(fenced("bash"))
    return subprocess.run(
        ["bash", "-c", script], cwd=environment["HOME"], env=environment, capture_output=True, text=True, timeout=600
    )


def test_the_shell_commands_work(shell: subprocess.CompletedProcess[str], environment: Mapping[str, str]) -> None:
    assert shell.returncode == 0, f"{shell.stdout[-3000:]}\n{shell.stderr[-6000:]}"
    scored = [json.loads(line) for line in shell.stdout.splitlines() if line.startswith('{"id":')]
    assert [row["id"] for row in scored] == [1, 2]
    # the model approximates 2 x - y + 3
    assert [round(row["outputs"]) for row in scored] == [8, -1]
    figures = json.loads((Path(environment["HOME"]) / "figures.json").read_text())
    assert figures["rows"] == 2


def test_sql_and_scala_print_the_same_scores(shell: subprocess.CompletedProcess[str]) -> None:
    numbers = [float(text) for text in re.findall(r"-?\d+\.\d{4,}", shell.stdout)]
    # the application, spark-sql, the transformer, SQL in the shell, the scorer
    assert sum(7.5 < number < 8.5 for number in numbers) == 5, shell.stdout[-4000:]


def test_the_python_program_works(shell: subprocess.CompletedProcess[str], environment: Mapping[str, str]) -> None:
    (program,) = fenced("python")
    python = Path(environment["SPARK_HOME"]).parents[3] / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", program],
        cwd=environment["HOME"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("|  1|") == 2, done.stdout


def test_every_setting_and_option_is_on_the_page() -> None:
    sources = TOP / "runtimes" / "jvm" / "spark" / "src" / "main" / "scala" / "exporter" / "spark"
    options = re.findall(r'^    "(\w+)" -> ', (sources / "ScoreOptions.scala").read_text(), re.M)
    assert len(options) == 11
    for option in options:
        assert f"`spark.exporter.{option}`" in PAGE, option
    flags = re.findall(r'Flag\("([\w-]+)"', (sources / "app" / "Request.scala").read_text())
    assert len(flags) > 20
    for flag in flags:
        assert f"--{flag}" in PAGE, flag
