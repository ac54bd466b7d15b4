"""Finding Java and the jars: what is taken, what is too old, and the command that helps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.runtimes import Missing, _jvm


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("EXPORTER_JAVA", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    for cached in (_jvm.java, _jvm.jars_directory):
        cached.cache_clear()
    yield
    for cached in (_jvm.java, _jvm.jars_directory):
        cached.cache_clear()


def fake_java(directory: Path, version: str) -> str:
    """A program that prints a version where `java -version` does, on stderr."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    path.chmod(0o755)
    return str(path)


def on_path(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/bin")


@pytest.mark.parametrize(("text", "feature"), [("17.0.15", 17), ("25", 25), ("21-ea", 21)])
def test_java_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, feature: int) -> None:
    program = fake_java(tmp_path, text)
    on_path(monkeypatch, tmp_path)
    assert _jvm.java() == (program, feature)


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path / "path", "17.0.1")
    at_home = fake_java(tmp_path / "home" / "bin", "21.0.1")
    on_path(monkeypatch, tmp_path / "path")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert _jvm.java() == (at_home, 21)


def test_an_old_java_gives_way_to_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(tmp_path / "path", "1.8.0_402")
    wheel = fake_java(tmp_path / "wheel", "21.0.2")
    on_path(monkeypatch, tmp_path / "path")
    monkeypatch.setattr(_jvm, "_wheel_java", lambda: wheel)
    assert _jvm.java() == (wheel, 21)


@pytest.mark.parametrize(
    ("version", "words"), [("", "Java is not installed"), ("1.8.0_402", "Java 8 is too old"), ("11.0.2", "Java 11 is")]
)
def test_no_usable_java_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, words: str
) -> None:
    if version:
        fake_java(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_jvm, "_wheel_java", lambda: None)
    with pytest.raises(Missing, match=words) as caught:
        _jvm.java()
    assert "apt-get install" in caught.value.hint


def test_a_java_that_was_named_is_not_replaced_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_JAVA", fake_java(tmp_path / "old", "11.0.2"))
    with pytest.raises(Missing, match="EXPORTER_JAVA="):
        _jvm.java()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources that are not built, and an empty cache."""
    top = tmp_path / "jvm"
    for name in ("pom.xml", "worker/pom.xml", "worker/src/main/java/Main.java"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    monkeypatch.setattr(_jvm, "jvm_sources", lambda: top)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return top


def mark(directory: Path, digest: str) -> None:
    marker = directory / "worker" / "target" / "built"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(digest)


def test_jars_that_are_not_built_are_missing_with_the_command(tree: Path) -> None:
    with pytest.raises(Missing, match="not built") as caught:
        _jvm.jars_directory()
    assert caught.value.hint == "exporter doctor --install jvm"


def test_jars_of_other_sources_are_not_used(tree: Path) -> None:
    mark(tree, _jvm.digest(tree))
    assert _jvm.jars_directory() == tree
    _jvm.jars_directory.cache_clear()
    (tree / "worker/src/main/java/Main.java").write_text("changed")
    with pytest.raises(Missing, match="other sources"):
        _jvm.jars_directory()


def test_the_cache_serves_where_the_checkout_is_not_built(tree: Path) -> None:
    mark(_jvm.cache_directory(), _jvm.digest(tree))
    assert _jvm.jars_directory() == _jvm.cache_directory()
    assert _jvm.install() == _jvm.cache_directory()


def test_tests_and_build_results_do_not_change_the_digest(tree: Path) -> None:
    before = _jvm.digest(tree)
    for name in ("worker/src/test/java/MainTest.java", "worker/target/lib/worker.jar", "README.md"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    assert _jvm.digest(tree) == before
    (tree / "worker/src/main/resources").mkdir()
    (tree / "worker/src/main/resources/services").write_text("x")
    assert _jvm.digest(tree) != before


def test_building_without_maven_says_what_to_install(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree))
    with pytest.raises(Missing, match="JDK and Maven"):
        _jvm.install()
    assert not list(_jvm.cache_directory().parent.glob(".jvm-*")), "staging was left behind"


def test_a_build_that_fails_leaves_nothing_and_says_why(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tree.parent / "bin"
    tools.mkdir()
    for name in ("mvn", "javac"):
        (tools / name).write_text("#!/bin/sh\necho '[ERROR] no such artifact'; exit 1\n")
        (tools / name).chmod(0o755)
    on_path(monkeypatch, tools)
    with pytest.raises(Missing, match="no such artifact"):
        _jvm.install()
    assert not _jvm.cache_directory().exists()
    assert not list(_jvm.cache_directory().parent.glob(".jvm-*"))


def test_the_command_of_a_spark_worker(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(tree, _jvm.digest(tree))
    monkeypatch.setenv("EXPORTER_JAVA", fake_java(tmp_path, "25.0.1"))
    argv = _jvm.jvm_worker("spark-sql", spark=True)()
    assert argv[-2:] == ["exporter.worker.Main", "spark-sql"]
    assert "--enable-native-access=ALL-UNNAMED" in argv
    assert sum(a.startswith("--add-opens") for a in argv) == 14
    classpath = argv[argv.index("-cp") + 1].split(os.pathsep)
    assert [Path(c).relative_to(tree).parts[0] for c in classpath] == ["spark-home", "spark-worker", "worker"]
    plain = _jvm.jvm_worker("tflite-java")()
    assert not any(a.startswith("--add-opens") for a in plain)
    assert plain[plain.index("-cp") + 1] == str(tree / "worker/target/lib/*")
