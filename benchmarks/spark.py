"""What scoring a row in Spark costs, in this library and in the ways there are beside it.

usage: python benchmarks/spark.py [--quick] [--rounds N] [--models NAME,…] [-o DIRECTORY]

Writes DIRECTORY/benchmark-spark.md and .svg; default: docs. The arms, and what makes them comparable, are described on
the page itself (spark_bench/report.py). Needs the JVM modules built with the profile `bench`; exported models, rows and
the environment with PySpark are kept in build/.

--quick: one small model, two rounds and no other batch sizes; a smoke test, whose page goes to build/bench-spark.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from spark_bench import environment, models
from spark_bench.plot import svg
from spark_bench.report import missed, page
from spark_bench.results import Result

TOP = Path(__file__).resolve().parents[1]
WORK = TOP / "build" / "bench-spark"


def measure(name: str, python: Path, rounds: int, *, quick: bool) -> Result:
    """One model, in a Spark application of its own."""
    directory = WORK / name
    directory.mkdir(parents=True, exist_ok=True)
    print(f"bench-spark: {name}: exporting", flush=True)
    models.prepare(name, directory, quick=quick)
    log = directory / "log"
    command = [str(python), "-m", "spark_bench.session", str(directory), str(rounds)]
    with open(log, "wb") as err:
        done = subprocess.run(command, stderr=err, env=environment.variables(python))
    if done.returncode:
        sys.exit(f"{name} failed; the end of {log}:\n{log.read_text(errors='replace')[-3000:]}")
    return Result.load(directory / "result.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, help="that count; default 5, 2 with --quick")
    parser.add_argument("--models", help=f"default all: {','.join(models.PLANS)}; linear with --quick")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rounds = options.rounds or (2 if options.quick else 5)
    names = options.models.split(",") if options.models else ["linear"] if options.quick else list(models.PLANS)
    for name in names:
        if name not in models.PLANS:
            parser.error(f"no model {name!r}, found {', '.join(models.PLANS)}")
    output = options.output or (WORK if options.quick else TOP / "docs")
    python = environment.ensure(TOP / "build" / "venv-bench-spark")
    results = [measure(name, python, rounds, quick=options.quick) for name in names]
    output.mkdir(parents=True, exist_ok=True)
    (output / "benchmark-spark.svg").write_text(svg(results))
    (output / "benchmark-spark.md").write_text(page(results, rounds, models.CHECKED))
    print(f"bench-spark: wrote {output / 'benchmark-spark.md'}")
    for sentence in missed(results):
        print(f"bench-spark: {sentence}")


if __name__ == "__main__":
    main()
